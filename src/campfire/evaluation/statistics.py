"""Intervals of accuracies and of their differences: over wells, by a bootstrap, and over plates.

Cells of a well share everything but the cell, so the well is the unit that is resampled: with replacement, within
quadrant and compound, all cells and all fits of a well together. A difference of two encoders resamples the same
wells for both. These intervals cover other wells of these compounds on these plates. `plate_intervals` covers other
plates, in separate columns (`low_plates`, ...). Neither covers another training run. Fewer than three wells, or plates,
have no interval.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core import columns as names
from campfire.core.errors import DataError
from campfire.core.random import keyed_generator
from campfire.evaluation.options import BootstrapOptions
from campfire.evaluation.plate_intervals import PlateInterval, add, over_plates, plate_sides, plate_totals
from campfire.evaluation.tally import MIN_UNITS, Tally, by_compound, tally

Floats = NDArray[np.float64]

MEAN = "mean"
"""Value of `split` in the row of the mean over quadrants."""

GROUP = ["protocol", "task", "split"]


def _resamples(wells: Tally, options: BootstrapOptions) -> Iterator[tuple[NDArray[np.intp], Floats]]:
    """Strata of wells and the weight of each well in each resample: rows (n,), draws (R, n).

    Compounds with a single well cannot vary on their own; they are resampled as one stratum.
    """
    # The wells are part of the seed: the same wells give the same draws for every encoder, and quadrants with different
    # wells are drawn independently.
    text = wells.keys[names.WELL_KEYS].drop_duplicates().to_csv(index=False, header=False, lineterminator="\n")
    rng = keyed_generator(options.seed, text)
    sizes = np.bincount(wells.compound)
    stratum = np.where(sizes[wells.compound] > 1, wells.compound, -1)
    for value in np.unique(stratum):
        rows = np.flatnonzero(stratum == value)
        yield rows, multiplicity(rng, len(rows), options.replicates)


def multiplicity(rng: np.random.Generator, units: int, replicates: int) -> Floats:
    """Weight of each unit in each resample, (R, n).

    n - 1 of n units are drawn with replacement and weigh n / (n - 1) (Rao and Wu's rescaling bootstrap): drawing n
    would understate the variance by (n - 1) / n, a quarter where a compound has four wells.
    """
    drawn = max(units - 1, 1)
    picks = rng.integers(0, units, (replicates, drawn)) + units * np.arange(replicates)[:, None]
    counts = np.bincount(picks.ravel(), minlength=replicates * units).reshape(replicates, units)
    return counts * (units / drawn)


def _metric(hits: Floats, cells: Floats, metric: str) -> Floats:
    """Mean over fits of the metric; hits, cells (..., K, F) by compound and fit -> (...)."""
    if metric == "accuracy":
        return _mean(hits.sum(axis=-2), cells.sum(axis=-2))
    present = cells > 0
    recall = hits / np.where(present, cells, 1)
    return _mean(recall.sum(axis=-2), present.sum(axis=-2).astype(np.float64))


def _mean(sums: Floats, counts: Floats) -> Floats:
    """Mean over the last axis of sums / counts, without fits that have no count; nan where none has."""
    present = counts > 0
    total = (sums / np.where(present, counts, 1)).sum(axis=-1)
    return np.where(present.any(axis=-1), total / np.maximum(present.sum(axis=-1), 1), np.nan)


def _each_fit(wells: Tally, metric: str) -> list[float]:
    """The metric of every fit."""
    hits, cells = by_compound(wells.hits, wells.compound), by_compound(wells.cells, wells.compound)
    return [float(_metric(hits[:, [i]], cells[:, [i]], metric)) for i in range(hits.shape[1])]


def _draw(group: Sequence[Tally], options: BootstrapOptions) -> tuple[list[float], list[Floats]]:
    """Point value and replicates (R,) of several tallies of the same wells, with shared draws."""
    if options.metric not in ("accuracy", "balanced_accuracy"):
        raise DataError(f"statistics: unknown metric `{options.metric}`; allowed: accuracy, balanced_accuracy")
    wells = group[0]
    points = [
        float(_metric(by_compound(w.hits, w.compound), by_compound(w.cells, w.compound), options.metric)) for w in group
    ]
    compounds = int(wells.compound.max()) + 1 if options.metric == "balanced_accuracy" else 1
    hits = [np.zeros((options.replicates, compounds, w.hits.shape[1])) for w in group]
    cells = [np.zeros_like(h) for h in hits]
    for rows, draws in _resamples(wells, options):
        kinds = wells.compound[rows] if compounds > 1 else np.zeros(len(rows), np.int64)
        for kind in np.unique(kinds):
            here = kinds == kind
            for i, w in enumerate(group):
                hits[i][:, kind] += draws[:, here] @ w.hits[rows[here]]
                cells[i][:, kind] += draws[:, here] @ w.cells[rows[here]]
    return points, [_metric(h, c, options.metric) for h, c in zip(hits, cells, strict=True)]


def _interval(draws: Floats, level: float, wells: int) -> tuple[float, float]:
    """Percentiles of the draws; unknown (nan) for fewer than three wells."""
    if wells < MIN_UNITS:
        return float("nan"), float("nan")
    low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _quadrants(predictions: pd.DataFrame) -> Iterator[tuple[tuple[str, str, str], pd.DataFrame]]:
    """Each protocol, task and quadrant, quadrants in the order of Table 3.1."""
    groups = dict(iter(predictions.groupby(GROUP, sort=False, observed=True)))
    order = {split: i for i, split in enumerate(names.QUADRANTS)}
    for key in sorted(groups, key=lambda k: (str(k[0]), order.get(str(k[2]), len(order)), str(k[1]))):
        yield key, groups[key]  # type: ignore[misc]


def bootstrap_accuracy(predictions: pd.DataFrame, options: BootstrapOptions | None = None) -> pd.DataFrame:
    """Accuracy of one encoder by quadrant, with its interval over wells.

    predictions: columns of `predictions.parquet` (docs/contracts.md).
    Returns `protocol, task, split, metric, value, low, high, sd, sd_sample, fits, n_wells, n_cells`: value is the mean
    over fits, `sd` and `sd_sample` its deviation over fits (ddof 0 and 1; the paper prints one of them). A row whose
    split is `mean` averages the quadrants of a protocol.
    """
    options = options or BootstrapOptions()
    rows, pooled = [], _Pool()
    for (protocol, task, split), table in _quadrants(predictions):
        wells = tally(table)
        (value,), (draws,) = _draw([wells], options)
        pooled.add(protocol, value, draws, len(wells.keys))
        each = _each_fit(wells, options.metric)
        rows.append(
            {"protocol": protocol, "task": task, "split": split, "metric": options.metric, "value": value}
            | dict(zip(("low", "high"), _interval(draws, options.level, len(wells.keys)), strict=True))
            | {"sd": float(np.std(each)), "sd_sample": float(np.std(each, ddof=1)) if len(each) > 1 else np.nan}
            | {"fits": len(each), "n_wells": len(wells.keys), "n_cells": len(table[names.CELL_KEYS].drop_duplicates())}
        )
    for protocol, (value,), draws, fewest in pooled.means():
        low, high = _interval(draws, options.level, fewest)
        rows.append(
            {"protocol": protocol, "task": "", "split": MEAN, "metric": options.metric, "value": float(value)}
            | {"low": low, "high": high, "sd": np.nan, "sd_sample": np.nan, "fits": 0, "n_wells": 0, "n_cells": 0}
        )
    return pd.DataFrame(rows)


def paired_bootstrap(
    first: pd.DataFrame, second: pd.DataFrame, options: BootstrapOptions | None = None
) -> pd.DataFrame:
    """Difference of accuracy, first minus second, on identical cells, by quadrant and over their mean.

    first, second: `predictions.parquet` of two encoders or channel sets.
    Returns `protocol, task, split, metric, first, second, difference, low, high, n_wells, low_plates, high_plates,
    p_plates, n_plates`: low and high bound the difference over wells of these plates; bounds over plates come from
    `plate_intervals`. n_plates and, of the mean's row, n_wells are those of the quadrant with the fewest.
    Raises DataError where the two were not scored on the same cells by the same fits.
    """
    return paired_intervals(paired_tallies(first, second), options or BootstrapOptions())


def paired_tallies(first: pd.DataFrame, second: pd.DataFrame) -> dict[tuple[str, str, str], tuple[Tally, Tally]]:
    """Counts of two predictions of identical cells by protocol, task and quadrant; DataError where cells differ."""
    others = dict(_quadrants(second))
    keys = [key for key, _ in _quadrants(first)]
    if set(keys) != set(others):
        odd = sorted(" ".join(key) for key in set(keys) ^ set(others))
        raise DataError(f"statistics: {odd[0]} was scored for only one of the two; evaluate both with one sample table")
    tallies = {}
    for key, table in _quadrants(first):
        _check_same_cells(table, others[key], " ".join(key))
        tallies[key] = tally(table), tally(others[key])
    return tallies


def paired_intervals(
    tallies: Mapping[tuple[str, str, str], tuple[Tally, Tally]], options: BootstrapOptions
) -> pd.DataFrame:
    """The table of `paired_bootstrap` from counts: protocol, task and quadrant -> those of the first and the second."""
    rows, pooled = [], _Pool()
    for (protocol, task, split), (a, b) in tallies.items():
        points, draws = _draw([a, b], options)
        difference, spread = points[0] - points[1], draws[0] - draws[1]
        totals = add([plate_totals(a, options.metric), plate_totals(b, options.metric)], [1, -1])
        pooled.add(protocol, np.array([*points, difference]), spread, len(a.keys), split, totals)
        low, high = _interval(spread, options.level, len(a.keys))
        rows.append(
            {"protocol": protocol, "task": task, "split": split, "metric": options.metric}
            | {"first": points[0], "second": points[1], "difference": difference}
            | {"low": low, "high": high, "n_wells": len(a.keys)}
            | _plate_columns(over_plates(difference, [totals], options.level))
        )
    for protocol, value, spread, fewest in pooled.means():
        low, high = _interval(spread, options.level, fewest)
        one, two, difference = value.tolist()
        rows.append(
            {"protocol": protocol, "task": "", "split": MEAN, "metric": options.metric}
            | {"first": one, "second": two, "difference": difference, "low": low, "high": high, "n_wells": fewest}
            | _plate_columns(over_plates(difference, pooled.sides(protocol), options.level))
        )
    return pd.DataFrame(rows)


def _plate_columns(found: PlateInterval) -> dict[str, Any]:
    return {"low_plates": found.low, "high_plates": found.high, "p_plates": found.p, "n_plates": found.plates}


def ood_gaps(predictions: pd.DataFrame, options: BootstrapOptions | None = None) -> pd.DataFrame:
    """Accuracy lost from ID to OOD plates, by protocol and task, with intervals.

    The two quadrants hold different wells, which are resampled independently, and different plates: the interval over
    plates (`plate_intervals`) is nan where either has fewer than three.
    Returns `protocol, task, metric, inside, outside, gap, low, high, low_plates, high_plates, n_plates_inside,
    n_plates_outside`.
    """
    options = options or BootstrapOptions()
    tallies = {key: tally(table) for key, table in _quadrants(predictions)}
    rows = []
    for protocol, task in dict.fromkeys((key[0], key[1]) for key in tallies):
        pair = [tallies.get((protocol, task, split)) for split in names.TASK_QUADRANTS[task]]
        wells = [w for w in pair if w is not None]
        if len(wells) < 2:
            continue
        inside, outside = (_draw([w], options) for w in wells)
        low, high = _interval(inside[1][0] - outside[1][0], options.level, min(len(w.keys) for w in wells))
        one, two = inside[0][0], outside[0][0]
        plates = over_plates(one - two, [plate_totals(w, options.metric) for w in wells], options.level)
        rows.append(
            {"protocol": protocol, "task": task, "metric": options.metric, "inside": one, "outside": two}
            | {"gap": one - two, "low": low, "high": high, "low_plates": plates.low, "high_plates": plates.high}
            | {"n_plates_inside": wells[0].plates, "n_plates_outside": wells[1].plates}
        )
    return pd.DataFrame(rows)


def _check_same_cells(first: pd.DataFrame, second: pd.DataFrame, where: str) -> None:
    columns = ["fit", *names.CELL_KEYS]
    a, b = (t.set_index(columns)["truth"].sort_index() for t in (first, second))
    if len(a) != len(b) or not a.index.equals(b.index) or not (a.to_numpy() == b.to_numpy()).all():
        raise DataError(
            f"statistics: {where}: the two predictions are not of the same cells; evaluate both with one sample table"
        )


class _Pool:
    """Collects quadrants and averages them by protocol; their draws are independent because they share no wells."""

    def __init__(self) -> None:
        self.values: dict[str, list[Floats]] = {}
        self.draws: dict[str, list[Floats]] = {}
        self.wells: dict[str, list[int]] = {}
        self.totals: dict[str, dict[str, pd.Series]] = {}

    def add(
        self,
        protocol: str,
        value: float | Floats,
        draws: Floats,
        wells: int,
        split: str = "",
        totals: pd.Series | None = None,
    ) -> None:
        self.values.setdefault(protocol, []).append(np.atleast_1d(value))
        self.draws.setdefault(protocol, []).append(draws)
        self.wells.setdefault(protocol, []).append(wells)
        if totals is not None:
            self.totals.setdefault(protocol, {})[split] = totals

    def means(self) -> Iterator[tuple[str, Floats, Floats, int]]:
        """Protocol, mean values, mean draws and the number of wells of the quadrant with the fewest."""
        for protocol, draws in self.draws.items():
            values = np.mean(self.values[protocol], axis=0)
            yield protocol, values, np.mean(draws, axis=0), min(self.wells[protocol])

    def sides(self, protocol: str) -> list[pd.Series]:
        """Plate totals of the mean over the quadrants: those on ID plates together, those on OOD plates together."""
        return plate_sides(self.totals[protocol])
