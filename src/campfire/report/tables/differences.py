"""Differences behind the claims: paired over identical cells, with intervals that resample wells."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from campfire.core.columns import QUADRANTS
from campfire.core.errors import DataError
from campfire.evaluation.statistics import MEAN, paired_bootstrap
from campfire.report.tables.accuracies import interval_note
from campfire.report.tables.claims import Claim, Pair, configured, default
from campfire.report.tables.options import TableOptions
from campfire.report.tables.render import Table, interval, number
from campfire.report.tables.sources import ProbeResult, find


def mean_accuracy(result: ProbeResult, protocol: str) -> float:
    """Mean over the quadrants of the mean accuracy over fits."""
    scores = result.scores()
    scores = scores[(scores["protocol"] == protocol) & scores["split"].isin(list(QUADRANTS))]
    if scores.empty:
        raise DataError(f"{result.folder / 'scores.parquet'}: has no protocol {protocol}; run the probes under it")
    return float(scores.groupby("split", observed=True)["accuracy"].mean().mean())


def _best(results: Sequence[ProbeResult], pairs: Sequence[Pair], protocol: str) -> Pair:
    return max(pairs, key=lambda pair: mean_accuracy(find(results, *pair), protocol))


def _paired(results: Sequence[ProbeResult], first: Pair, second: Pair, options: TableOptions) -> pd.DataFrame:
    """Rows of `statistics.paired_bootstrap`; the mean's row gets the wells of all quadrants."""
    tables = [find(results, *pair).predictions(options.protocol) for pair in (first, second)]
    tables = [table[table["split"].isin(list(QUADRANTS))] for table in tables]
    try:
        rows = paired_bootstrap(tables[0], tables[1], options.bootstrap())
    except DataError as error:
        raise DataError(f"probes/{'/'.join(first)} and probes/{'/'.join(second)}: {error}") from error
    rows.loc[rows["split"] == MEAN, "n_wells"] = rows["n_wells"].sum()
    return rows


def collect(
    results: Sequence[ProbeResult], options: TableOptions, claims: Sequence[Claim] | None = None
) -> pd.DataFrame:
    """One row per claim and quadrant, and one for the mean over the quadrants (`split` is "mean").

    Columns: claim, statement, first and second (encoder/channel set), candidates (the seconds that the best was chosen
    from), protocol, split, quadrant, accuracy_first, accuracy_second, difference, low, high, level, n_wells,
    above_zero (the whole interval). Without claims, those of the configuration, else `claims.default`.
    Raises DataError when nothing can be compared or when two results did not score identical cells.
    """
    if claims is None:
        claims = configured(options) or default(results, options)
    if not claims:
        raise DataError(
            "tables.differences: nothing to compare; evaluate a trained encoder and its untrained twin on "
            f"{options.id_channels}, or list tables.claims"
        )
    rows = []
    for claim in claims:
        second = _best(results, claim.second, options.protocol)
        for found in _paired(results, claim.first, second, options).to_dict("records"):
            split = str(found["split"])
            rows.append(
                {
                    "claim": claim.name,
                    "statement": claim.statement,
                    "first": "/".join(claim.first),
                    "second": "/".join(second),
                    "candidates": " ".join("/".join(pair) for pair in claim.second),
                    "protocol": options.protocol,
                    "split": split,
                    "quadrant": QUADRANTS.get(split, "mean of the quadrants"),
                    "accuracy_first": found["first"],
                    "accuracy_second": found["second"],
                    **{name: found[name] for name in ("difference", "low", "high")},
                    "level": options.level,
                    "n_wells": int(found["n_wells"]),
                    "above_zero": found["low"] > 0,
                }
            )
    return pd.DataFrame(rows)


def mean_difference(differences: pd.DataFrame | None, first: Pair, second: Pair) -> tuple[float, float, float] | None:
    """Difference, low and high over the mean of the quadrants, from tables/differences.csv; None where not claimed."""
    if differences is None:
        return None
    rows = differences[
        (differences["split"] == MEAN)
        & (differences["first"] == "/".join(first))
        & (differences["second"] == "/".join(second))
    ]
    return None if rows.empty else tuple(float(rows.iloc[0][name]) for name in ("difference", "low", "high"))  # type: ignore[return-value]


def sentence(record: Mapping[Any, Any]) -> str:
    """A row of the table in words."""
    verdict = "above zero" if record["low"] > 0 else "below zero" if record["high"] < 0 else "includes zero"
    return (
        f"{record['statement']}: {number(record['difference'], signed=True)} "
        f"{interval(record['low'], record['high'], signed=True)}, {verdict}."
    )


def _name(pair: str, options: TableOptions) -> str:
    encoder, _, channels = pair.partition("/")
    return f"{options.label(encoder)}, {options.channel_label(channels)}"


def build(results: Sequence[ProbeResult], options: TableOptions, claims: Sequence[Claim] | None = None) -> Table:
    """The differences as a table; `data` is what `collect` returns."""
    data = collect(results, options, claims)
    lines = []
    for statement, rows in data.groupby("statement", sort=False):
        for i, record in enumerate(rows.to_dict("records")):
            difference = number(record["difference"], signed=True)
            bold = "**" if record["low"] > 0 or record["high"] < 0 else ""
            lines.append(
                {
                    "Comparison": statement if i == 0 else "",
                    "Second": _name(record["second"], options) if i == 0 else "",
                    "Quadrant": record["quadrant"],
                    "First": number(record["accuracy_first"]),
                    "Second accuracy": number(record["accuracy_second"]),
                    "Difference": f"{bold}{difference} {interval(record['low'], record['high'], signed=True)}{bold}",
                    "Wells": f"{int(record['n_wells']):,}",
                }
            )
    sentences = [sentence(record) for record in data[data["split"] == MEAN].to_dict("records")]
    notes = [
        f"Protocol {options.protocol}. First minus second on identical cells, averaged over fits; one bootstrap draw "
        "of wells serves both. Bold: the interval excludes zero. " + interval_note(options),
        "Intervals hold the spread over wells, not that over pretraining runs, and are not corrected for the number of "
        "comparisons.",
    ]
    if any(" " in text for text in data["candidates"]):
        notes.append(
            "The best single channel is the one with the highest mean over the quadrants in these very data, which "
            "favours the single channel."
        )
    title = "Differences of accuracy between encoders and between channel sets, paired over cells."
    return Table(title, data, pd.DataFrame(lines), tuple(notes), " ".join(sentences))
