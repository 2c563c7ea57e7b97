"""Differences between encoders trained from several seeds, with intervals that cover other seeds and other plates."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from campfire.core.columns import QUADRANTS
from campfire.core.errors import DataError
from campfire.evaluation.plate_intervals import holm
from campfire.evaluation.seed_intervals import seed_differences
from campfire.evaluation.statistics import MEAN
from campfire.report.tables.accuracies import leading_metric
from campfire.report.tables.differences import common_cells
from campfire.report.tables.inputs import Files, Settings
from campfire.report.tables.options import TableOptions
from campfire.report.tables.render import Table, interval, number
from campfire.report.tables.seeds import Group, Repeats, channel_sets, groups
from campfire.report.tables.sources import ProbeResult, find, probe_results
from campfire.report.tables.verdict import DIFFERS, verdict


def comparisons(found: Sequence[Group]) -> Iterator[tuple[Group, Group]]:
    """The first group against every other, then the other groups against each encoder of a single seed."""
    several = [group for group in found if len(group.encoders) > 1]
    for first in several:
        for second in found:
            if first is not second and (first is several[0] or len(second.encoders) == 1):
                yield first, second


def _seed_pairs(first: Group, second: Group) -> list[tuple[str, str]]:
    """Encoders of the same seed; an encoder of one seed stands beside each seed of the other."""
    if len(second.encoders) == 1:
        (other,) = second.encoders.values()
        return [(encoder, other) for encoder in first.encoders.values()]
    return [(encoder, second.encoders[seed]) for seed, encoder in first.encoders.items() if seed in second.encoders]


def _predictions(
    results: Sequence[ProbeResult], pair: tuple[str, str], channels: str, options: TableOptions
) -> tuple[pd.DataFrame, pd.DataFrame]:
    tables = [find(results, encoder, channels).predictions(options.protocol) for encoder in pair]
    return common_cells(*(table[table["split"].isin(list(QUADRANTS))] for table in tables))


def collect(results: Sequence[ProbeResult], repeats: Repeats, options: TableOptions) -> pd.DataFrame:
    """One row per comparison, channel set and quadrant, and one for the mean over the quadrants (`split` is "mean").

    Columns: those of `evaluation.seed_intervals.difference_over_seeds`, and channels, encoder and other (groups),
    label, other_label, metric, p_holm (p adjusted for the number of comparisons: rows of the mean among themselves,
    rows of quadrants among themselves), verdict (of the interval over seeds and plates as printed), level, holds
    (different after the adjustment, and by the interval as printed).
    Raises DataError where no comparison is possible.
    """
    there = {(result.encoder, result.channels) for result in results}
    tables = []
    for first, second in comparisons(groups(results, repeats, options)):
        pairs = _seed_pairs(first, second)
        for channels in channel_sets(results, options):
            if len(pairs) < 2 or any((encoder, channels) not in there for pair in pairs for encoder in pair):
                continue
            read = [_predictions(results, pair, channels, options) for pair in pairs]
            metric = leading_metric(read[0][0])
            table = seed_differences(read, options.level, metric)
            names = {"encoder": first.name, "other": second.name, "label": first.label, "other_label": second.label}
            tables.append(table.assign(**names, channels=channels, metric=metric, level=options.level))
    if not tables:
        raise DataError("no encoder of several seeds can be compared with another; evaluate both on the same channels")
    data = pd.concat(tables, ignore_index=True)
    means = data["split"] == MEAN
    for family in (means, ~means):
        data.loc[family, "p_holm"] = holm(data.loc[family, "p"])
    data["verdict"] = [verdict(low, high) for low, high in zip(data["low"], data["high"], strict=True)]
    data["holds"] = data["verdict"].isin(DIFFERS) & (data["p_holm"] < 1 - data["level"])
    return data


def _line(row: Mapping[Any, Any], options: TableOptions) -> dict[str, str]:
    bold = "**" if row["holds"] else ""
    return {
        "Comparison": f"{row['label']} minus {row['other_label']}",
        "Channels": options.channel_label(row["channels"]),
        "Difference": f"{bold}{number(row['difference'], signed=True)}{bold}",
        "SD over seeds": number(row["sd_seeds"]),
        "Over seeds": interval(row["low_seeds"], row["high_seeds"], signed=True) or "–",
        "Over plates": interval(row["low_plates"], row["high_plates"], signed=True) or "–",
        "Over both": interval(row["low"], row["high"], signed=True) or "–",
        "p, adjusted": number(row["p_holm"]),
        "Seeds": str(int(row["n_seeds"])),
        "Plates": str(int(row["n_plates"])),
    }


def build(results: Sequence[ProbeResult], repeats: Repeats, options: TableOptions) -> Table:
    """The means over the quadrants as a table; `data` is what `collect` returns, with the quadrants."""
    data = collect(results, repeats, options)
    means = data[data["split"] == MEAN].to_dict("records")
    layout = pd.DataFrame([_line(row, options) for row in means])
    layout["Comparison"] = layout["Comparison"].where(~layout["Comparison"].duplicated(), "")
    held = [
        f"{row['label']} minus {row['other_label']} on {options.channel_label(str(row['channels']))} "
        f"{number(row['difference'], signed=True)} {interval(row['low'], row['high'], signed=True)}"
        for row in means
        if row["holds"]
    ]
    known = sum(not pd.isna(row["p"]) for row in means)
    answer = (
        f"{len(held)} of {len(means)} comparisons differ for other seeds and other plates, also after adjustment for "
        f"their number: {'; '.join(held)}."
        if held
        else f"None of {known} comparisons differs for other seeds and other plates after adjustment for their number."
        if known
        else "Fewer than three seeds, or plates, allow no interval and no verdict."
    )
    notes = (
        f"Protocol {options.protocol}. Mean over the quadrants of the difference on identical cells, encoders of the "
        "same seed paired; an encoder of a single seed stands beside every seed. Quadrants are in the csv.",
        f"{100 * options.level:g} % intervals. Over seeds: other pretraining seeds, these plates (Student's t). Over "
        "plates: these seeds, other plates of such a screen. Over both: the two variances added, somewhat too wide. A "
        "dash: fewer than three. p, adjusted: of the interval over both, by Holm's method for the number of "
        "comparisons. Bold: different after it. No interval covers other compounds, other data or other settings.",
    )
    return Table("Differences between encoders over pretraining seeds.", data, layout, notes, answer)


def make(files: Files, settings: Settings) -> Table:
    """The table from the probes' files."""
    return build(probe_results(files["probes"]), settings.repeats, settings.options)
