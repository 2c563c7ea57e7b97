"""Bootstrap over wells for what the tables print."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from campfire.errors import DataError
from campfire.keys import CELL_KEYS, QUADRANTS, WELL_KEYS
from campfire.tables.options import TableOptions

MEAN = "mean"
"""Name of the mean over the four quadrants, beside the quadrants' own labels."""


def _counts(predictions: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, pd.MultiIndex]:
    right = (predictions["truth"].to_numpy() == predictions["predicted"].to_numpy()).astype(float)
    table = predictions[[*WELL_KEYS, "fit"]].assign(right=right)
    grouped = table.pivot_table("right", WELL_KEYS, "fit", ["sum", "size"], fill_value=0, observed=True).sort_index()
    return grouped["sum"].to_numpy(float), grouped["size"].to_numpy(float), grouped.index  # type: ignore[return-value]


def _accuracy(right: np.ndarray, total: np.ndarray, weights: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.nanmean((weights @ right) / (weights @ total), axis=1))


def _weights(wells: int, options: TableOptions, stream: int = 0) -> np.ndarray:
    rng = np.random.default_rng([options.seed, stream])
    return rng.multinomial(wells, np.full(wells, 1 / wells), size=options.replicates).astype(float)


def _bounds(replicates: np.ndarray, options: TableOptions) -> tuple[float, float]:
    tail = (1 - options.level) / 2
    low, high = np.quantile(replicates, [tail, 1 - tail])
    return float(low), float(high)


def accuracy_interval(predictions: pd.DataFrame, options: TableOptions) -> tuple[float, float]:
    """Interval of the accuracy (mean over fits) of one encoder on one quadrant."""
    right, total, wells = _counts(predictions)
    return _bounds(_accuracy(right, total, _weights(len(wells), options)), options)


def gap_interval(first: pd.DataFrame, second: pd.DataFrame, options: TableOptions) -> tuple[float, float]:
    """Interval of accuracy(first) - accuracy(second), of one encoder on two quadrants (other wells in each)."""
    parts = []
    for stream, predictions in enumerate((first, second)):
        right, total, wells = _counts(predictions)
        parts.append(_accuracy(right, total, _weights(len(wells), options, stream)))
    return _bounds(parts[0] - parts[1], options)


def paired_intervals(
    first: pd.DataFrame, second: pd.DataFrame, names: Sequence[str], options: TableOptions
) -> dict[str, dict[str, float]]:
    """Difference of accuracy on identical cells, per quadrant and, under "mean", averaged over the quadrants.

    Each value: accuracy_first, accuracy_second, difference, low, high, n_wells, n_cells. Quadrants draw their wells
    independently. Raises DataError when a quadrant's cells differ between the two.
    """
    rows, replicates = {}, []
    for stream, split in enumerate(QUADRANTS):
        parts = [table[table["split"] == split] for table in (first, second)]
        if all(part.empty for part in parts):
            continue
        cells = [part[CELL_KEYS].drop_duplicates().sort_values(CELL_KEYS).reset_index(drop=True) for part in parts]
        if not cells[0].equals(cells[1]):
            raise DataError(
                f"probes/{names[0]} and probes/{names[1]}: scored different cells of {QUADRANTS[split]}; "
                "probe both from the same sample/cells.parquet"
            )
        (right, total, wells), (other_right, other_total, _) = map(_counts, parts)
        weights = _weights(len(wells), options, stream)
        ours = np.ones((1, len(wells)))
        values = [_accuracy(right, total, ours)[0], _accuracy(other_right, other_total, ours)[0]]
        replicates.append(_accuracy(right, total, weights) - _accuracy(other_right, other_total, weights))
        rows[split] = _row(values[0], values[1], replicates[-1], len(wells), len(cells[0]), options)
    if not rows:
        raise DataError(f"probes/{names[0]} and probes/{names[1]}: no quadrant was scored by both")
    means = [float(np.mean([row[name] for row in rows.values()])) for name in ("accuracy_first", "accuracy_second")]
    counts = [int(sum(row[name] for row in rows.values())) for name in ("n_wells", "n_cells")]
    rows[MEAN] = _row(means[0], means[1], np.mean(replicates, axis=0), counts[0], counts[1], options)
    return rows


def _row(
    first: float, second: float, replicates: np.ndarray, wells: int, cells: int, options: TableOptions
) -> dict[str, float]:
    low, high = _bounds(replicates, options)
    return {
        "accuracy_first": first,
        "accuracy_second": second,
        "difference": first - second,
        "low": low,
        "high": high,
        "n_wells": wells,
        "n_cells": cells,
    }
