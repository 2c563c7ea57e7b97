"""Differences behind the claims: paired over identical cells, with intervals over wells and over plates."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from campfire.core.columns import CELL_KEYS, QUADRANTS
from campfire.core.errors import DataError
from campfire.evaluation.plate_intervals import holm
from campfire.evaluation.statistics import MEAN, paired_bootstrap
from campfire.evaluation.tally import MIN_UNITS
from campfire.report.tables.accuracies import interval_note, leading_metric
from campfire.report.tables.claims import Claim, Pair, configured, default
from campfire.report.tables.inputs import Files, Settings
from campfire.report.tables.options import TableOptions
from campfire.report.tables.render import Table, interval, number
from campfire.report.tables.sources import ProbeResult, find, probe_results
from campfire.report.tables.verdict import ABOVE, BELOW, DIFFERS, INCLUDES, TOUCHES, leading, verdict

log = logging.getLogger(__name__)

SHARED = 0.5
"""Minimum share of each encoder's scored cells that the other must have scored as well."""

FEW_PLATES = f"fewer than {MIN_UNITS} plates on a side, so it does not extend to other plates"
MEANINGS = {
    ABOVE: "above zero",
    BELOW: "below zero",
    INCLUDES: "no difference shown",
    TOUCHES: "no difference shown: the interval ends at zero as printed",
}
"""Wording of a sentence by verdict."""
FEW = 4
"""Comparisons that an answer lists whole, whatever they show."""


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
    """Rows of `statistics.paired_bootstrap`; the row of the mean has the wells of all quadrants."""
    tables = [find(results, *pair).predictions(options.protocol) for pair in (first, second)]
    tables = [table[table["split"].isin(list(QUADRANTS))] for table in tables]
    tables = list(common_cells(*tables))
    try:
        metric = leading_metric(tables[0])
        rows = paired_bootstrap(tables[0], tables[1], options.bootstrap(metric))
    except DataError as error:
        raise DataError(f"probes/{'/'.join(first)} and probes/{'/'.join(second)}: {error}") from error
    mean = rows["split"] == MEAN
    rows.loc[mean, "n_wells"] = rows.loc[~mean, "n_wells"].sum()
    return rows


def common_cells(first: pd.DataFrame, second: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two tables of predictions restricted to cells scored by both; unchanged if all are shared.

    Also unchanged if they share few cells: such results are not comparable, and the statistics raise an error.
    An external embedding table may lack cells, which changes the folds: the remaining fits of a cell are renumbered in
    both.
    """
    keys = ["task", "split", *CELL_KEYS]
    cells = [pd.MultiIndex.from_frame(table[keys]) for table in (first, second)]
    inside = [cells[0].isin(cells[1]), cells[1].isin(cells[0])]
    if all(kept.all() for kept in inside) or any(kept.mean() < SHARED for kept in inside):
        return first, second
    lost = [int((~kept).sum()) for kept in inside]
    log.warning("%d and %d predictions of cells that only one of two encoders has are not compared", *lost)
    parts = [table[kept].sort_values([*keys, "fit"]) for table, kept in zip((first, second), inside, strict=True)]
    one, other = (part.assign(fit=part.groupby(keys, sort=False).cumcount()) for part in parts)
    return one, other


def collect(
    results: Sequence[ProbeResult], options: TableOptions, claims: Sequence[Claim] | None = None
) -> pd.DataFrame:
    """One row per claim and quadrant, and one for the mean over the quadrants (`split` is "mean").

    Columns: claim, statement, first and second (encoder/channel set), candidates (the seconds that the best was chosen
    from), protocol, split, quadrant, metric (balanced accuracy where classes are uneven), accuracy_first,
    accuracy_second, difference, low and high (over wells of these plates), low_plates, high_plates and p_plates (over
    plates; nan for fewer than three), p_holm (p_plates adjusted for the number of claims in rows of the mean, of all
    quadrants of all claims in the others), level, n_wells, n_plates, verdict (of the leading interval as printed, see
    `tables.verdict`; empty for fewer than three wells), over (plates, wells or nothing: the interval behind
    the verdict), holds (different over plates after the adjustment).
    claims: by default those of the configuration, else `claims.default`.
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
                    "metric": found["metric"],
                    "accuracy_first": found["first"],
                    "accuracy_second": found["second"],
                    **{name: found[name] for name in ("difference", "low", "high")},
                    **{name: found[name] for name in ("low_plates", "high_plates", "p_plates")},
                    "level": options.level,
                    "n_wells": int(found["n_wells"]),
                    "n_plates": int(found["n_plates"]),
                }
            )
    return _judge(pd.DataFrame(rows))


def _judge(data: pd.DataFrame) -> pd.DataFrame:
    """Add p_holm, verdict, over and holds; see `collect`."""
    means = data["split"] == MEAN
    data["p_holm"] = float("nan")
    for family in (means, ~means):
        data.loc[family, "p_holm"] = holm(data.loc[family, "p_plates"])
    found = [leading(record) for record in data.to_dict("records")]
    data["verdict"] = [verdict(low, high) for low, high, _ in found]
    data["over"] = [over for *_, over in found]
    data["holds"] = (data["over"] == "plates") & data["verdict"].isin(DIFFERS) & (data["p_holm"] < 1 - data["level"])
    return data


@dataclass(frozen=True)
class Difference:
    """A difference with its leading interval: over plates, over wells, or none."""

    value: float
    low: float
    high: float
    over: str

    def turned(self) -> "Difference":
        """Second minus first."""
        return Difference(-self.value, -self.high, -self.low, self.over)

    def in_words(self) -> str:
        """The value, its interval and the units it is over."""
        value = number(self.value, signed=True)
        over = {"plates": "over plates", "wells": "over wells of these plates"}.get(self.over, "(no interval)")
        return f"{value} {interval(self.low, self.high, signed=True)} {over}".replace("  ", " ")


def mean_difference(differences: pd.DataFrame | None, first: Pair, second: Pair) -> Difference | None:
    """The difference over the mean of the quadrants, from tables/differences.csv; None without such a claim."""
    if differences is None:
        return None
    rows = differences[
        (differences["split"] == MEAN)
        & (differences["first"] == "/".join(first))
        & (differences["second"] == "/".join(second))
    ]
    return None if rows.empty else Difference(float(rows.iloc[0]["difference"]), *leading(rows.iloc[0].to_dict()))


def sentence(record: Mapping[Any, Any]) -> str:
    """A row of the table as a sentence, with the interval over plates where there is one, else over wells."""
    found = Difference(float(record["difference"]), *leading(record))
    separator = "," if found.over else ":"
    return f"{record['statement']}: {found.in_words()}{separator} {sentence_end(record)}."


def sentence_end(record: Mapping[Any, Any]) -> str:
    """What a row of the table shows, in words."""
    low, high, over = leading(record)
    if not over:
        return f"fewer than {MIN_UNITS} wells are no verdict"
    position = verdict(low, high)
    if over == "wells":
        return f"{MEANINGS[position]} there; {FEW_PLATES}"
    if position in DIFFERS and not record["holds"]:
        adjusted = f"but not after adjustment for the number of comparisons (p = {number(record['p_holm'])})"
        return f"{MEANINGS[position]}, {adjusted}"
    return MEANINGS[position]


def _name(pair: str, options: TableOptions) -> str:
    encoder, _, channels = pair.partition("/")
    return f"{options.label(encoder)}, {options.channel_label(channels)}"


def _answer(records: Sequence[Mapping[Any, Any]]) -> str:
    """A few comparisons as a sentence each; of many, how many hold for other plates, and the largest."""
    held = [record for record in records if record["holds"]]
    if len(records) <= FEW or all(pd.isna(record["low_plates"]) for record in records):
        return " ".join(map(sentence, records))
    if not held:
        return f"None of {len(records)} comparisons differs for other plates after adjustment for their number."
    largest = max(held, key=lambda record: abs(float(record["difference"])))
    differ = "comparison differs" if len(held) == 1 else "comparisons differ"
    first = Difference(float(largest["difference"]), *leading(largest)).in_words()
    return (
        f"{len(held)} of {len(records)} {differ} for other plates, also after adjustment for their number; "
        f"the largest: {largest['statement']}, {first}."
    )


def build(results: Sequence[ProbeResult], options: TableOptions, claims: Sequence[Claim] | None = None) -> Table:
    """The differences as a table; `data` is what `collect` returns."""
    data = collect(results, options, claims)
    lines = []
    for statement, rows in data.groupby("statement", sort=False):
        for i, record in enumerate(rows.to_dict("records")):
            difference = number(record["difference"], signed=True)
            bold = "**" if record["holds"] else ""
            lines.append(
                {
                    "Comparison": statement if i == 0 else "",
                    "Second": _name(record["second"], options) if i == 0 else "",
                    "Quadrant": record["quadrant"],
                    "First": number(record["accuracy_first"]),
                    "Second accuracy": number(record["accuracy_second"]),
                    "Difference": f"{bold}{difference}{bold}",
                    "Over plates": interval(record["low_plates"], record["high_plates"], signed=True) or "–",
                    "p, adjusted": number(record["p_holm"]),
                    "Over wells": interval(record["low"], record["high"], signed=True) or "–",
                    "Plates": f"{int(record['n_plates']):,}",
                    "Wells": f"{int(record['n_wells']):,}",
                }
            )
    notes = [
        f"Protocol {options.protocol}. First minus second on identical cells, averaged over fits; of balanced accuracy "
        "where the classes of a quadrant are uneven, else of accuracy.",
        "Over plates: what other plates of such a screen, with other wells of these compounds, would show (Student's t "
        "on what each plate adds; quadrants that share plates are taken together). Over wells: what other wells of "
        f"these plates would show. {interval_note(options)} A dash: fewer than {MIN_UNITS} plates or wells. "
        "Neither covers the spread over pretraining runs or other compounds.",
        "p, adjusted: of the interval over plates, by Holm's method for the number of comparisons: rows of the mean "
        "among themselves, rows of single quadrants among themselves. Bold: different by it, and by the interval as "
        "printed.",
    ]
    if any(" " in text for text in data["candidates"]):
        notes.append(
            "The best single channel is the one with the highest mean over the quadrants in these data, which "
            "favours the single channel."
        )
    title = "Differences of accuracy between encoders and between channel sets, paired over cells."
    return Table(
        title, data, pd.DataFrame(lines), tuple(notes), _answer(data[data["split"] == MEAN].to_dict("records"))
    )


def make(files: Files, settings: Settings) -> Table:
    """The table from the probes' files."""
    return build(probe_results(files["probes"]), settings.options)
