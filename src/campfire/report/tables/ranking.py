"""Ranking of encoders: mean over the quadrants, and the lead of the best over each other encoder."""

from collections.abc import Sequence

import pandas as pd

from campfire.core.errors import DataError
from campfire.evaluation.statistics import MEAN
from campfire.report.tables.claims import Claim
from campfire.report.tables.differences import Difference, collect, mean_accuracy
from campfire.report.tables.inputs import Files, Settings
from campfire.report.tables.options import TableOptions
from campfire.report.tables.render import Table, interval, number
from campfire.report.tables.sources import ProbeResult, probe_results
from campfire.report.tables.verdict import ABOVE, leading


def _compare(results: Sequence[ProbeResult], options: TableOptions) -> pd.DataFrame:
    """One row per encoder, best first: see `build`."""
    means = {result.encoder: mean_accuracy(result, options.protocol) for result in results}
    order = sorted(means, key=lambda name: (-means[name], name))
    rows: list[dict[str, object]] = [
        {"encoder": name, "label": options.label(name), "mean": means[name]} for name in order
    ]
    best = (order[0], options.id_channels)
    claims = [Claim(name, "", best, ((name, options.id_channels),)) for name in order[1:]]
    if claims:
        compared = collect(results, options, claims)
        for row, record in zip(rows[1:], compared[compared["split"] == MEAN].to_dict("records"), strict=True):
            low, high, over = leading(record)
            row |= {"behind": float(record["difference"]), "low": low, "high": high, "over": over}
            row |= {"verdict": record["verdict"], "holds": bool(record["holds"]), "metric": record["metric"]}
    return pd.DataFrame(rows)


def _answer(data: pd.DataFrame, options: TableOptions) -> str:
    """A sentence on which encoder is best, and which others it beats."""
    first, others = data.iloc[0], data.iloc[1:]
    lead = f"{first['label']} has the highest mean over the quadrants on {options.channel_label(options.id_channels)}"
    lead += f" ({number(first['mean'])})"
    if others.empty:
        return f"{first['label']} is the only encoder (mean over the quadrants {number(first['mean'])})."
    words: dict[bool, list[str]] = {True: [], False: []}
    for row in others.to_dict("records"):
        found = Difference(row["behind"], row["low"], row["high"], row["over"])
        sure = row["verdict"] == ABOVE and (row["holds"] or row["over"] == "wells")
        words[sure].append(f"{row['label']} ({found.in_words()})")
    parts = []
    if words[True]:
        parts.append(f"it beats {', '.join(words[True])}")
    if words[False]:
        parts.append(f"{'not' if words[True] else 'no difference is shown'} to {', '.join(words[False])}")
    text = f"{lead}: {'; '.join(parts)}." if words[True] else f"{lead}, but {parts[0]}."
    return text.replace("; not to", "; no difference is shown to")


def build(results: Sequence[ProbeResult], options: TableOptions) -> Table:
    """Encoders on the in-distribution channels, best first; paired difference of the best to each other one.

    data columns: encoder, label, mean (over quadrants and fits), behind (best minus this), low, high and over (plates
    or wells: what the interval is over), verdict, holds (after adjustment for the number of encoders), metric.
    Raises DataError when no encoder was scored on these channels.
    """
    chosen = [result for result in results if result.channels == options.id_channels]
    if not chosen:
        raise DataError(f"no encoder was scored on {options.id_channels}; add that channel set to the evaluation")
    data = _compare(chosen, options)
    lines = []
    for rank, row in enumerate(data.to_dict("records"), start=1):
        behind = float(row.get("behind", float("nan")))
        known = not pd.isna(behind)
        bold = "**" if known and row["holds"] else ""
        lines.append(
            {
                "Encoder": row["label"],
                "Rank": str(rank),
                "Mean of the quadrants": number(row["mean"]),
                "Best minus this": f"{bold}{number(behind, signed=True)}{bold}" if known else "–",
                f"{100 * options.level:g} % interval": interval(row["low"], row["high"], signed=True) if known else "",
                "Over": str(row["over"] or "–") if known else "",
            }
        )
    notes = (
        f"Protocol {options.protocol}: accuracy, balanced where classes are uneven, on identical cells. The best is "
        "chosen on these data, which favours it. Over: the interval is for other plates, or, where "
        "a side has fewer than three plates, for other wells of these. Bold: different over plates after "
        "adjustment for the number of encoders (Holm). No interval covers another pretraining run.",
    )
    title = "Encoders by mean accuracy over the four quadrants, and how far the best is ahead."
    return Table(title, data, pd.DataFrame(lines), notes, _answer(data, options))


def make(files: Files, settings: Settings) -> Table:
    """The table from the probes' files."""
    return build(probe_results(files["probes"]), settings.options)
