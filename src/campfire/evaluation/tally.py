"""Hits and cells of one quadrant by well and fit, from which every interval is computed."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core import columns as names

Floats = NDArray[np.float64]

MIN_UNITS = 3
"""Fewest wells or plates for an interval. Two give a single difference, which says almost nothing about the spread, so
no interval and no verdict is given."""

UNEVEN = 1.25
"""Classes are uneven where the largest has this many times its equal share of the scored cells. Always guessing it then
beats 1 / K, so balanced accuracy, whose chance is 1 / K, is the leading metric."""


@dataclass(frozen=True)
class Tally:
    """Hits and cells of one quadrant by well and fit, wells sorted by compound, plate and well."""

    hits: Floats
    """(W, F) cells predicted correctly."""
    cells: Floats
    """(W, F) cells scored."""
    compound: NDArray[np.int64]
    """(W,) number of the well's compound."""
    plate: NDArray[np.int64]
    """(W,) number of the well's plate."""
    keys: pd.DataFrame
    """(W,) plate, well and `truth`."""

    @property
    def plates(self) -> int:
        """Number of plates."""
        return int(self.plate.max()) + 1


def tally(predictions: pd.DataFrame) -> Tally:
    """Count the predictions of one quadrant, columns of `predictions.parquet` (docs/contracts.md)."""
    order = ["truth", *names.WELL_KEYS]
    wells = predictions.groupby(order, observed=True).ngroup().to_numpy()
    known, first = np.unique(wells, return_index=True)
    fits, fit = np.unique(predictions["fit"].to_numpy(), return_inverse=True)
    # Counted by number: a pivot table takes three times as long, and intervals take hundreds of them.
    place, shape = wells * len(fits) + fit, (len(known), len(fits))
    hit = (predictions["truth"] == predictions["predicted"]).to_numpy()
    keys = predictions.loc[:, [*names.WELL_KEYS, "truth"]].take(first).reset_index(drop=True)
    return Tally(
        hits=np.bincount(place[hit], minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64),
        cells=np.bincount(place, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64),
        compound=np.unique(keys["truth"], return_inverse=True)[1],
        plate=np.unique(keys[names.PLATE], return_inverse=True)[1],
        keys=keys,
    )


def by_compound(values: Floats, compound: NDArray[np.int64]) -> Floats:
    """Sum (W, F) over the wells of each compound -> (K, F)."""
    out = np.zeros((int(compound.max()) + 1, values.shape[1]))
    np.add.at(out, compound, values)
    return out


def class_shares(predictions: pd.DataFrame) -> tuple[float, float]:
    """Chance (1 / K, of the K classes that occur) and the share of the largest class in one quadrant's scored cells."""
    shares = predictions["truth"].astype(str).value_counts(normalize=True)
    return 1 / len(shares), float(shares.iloc[0])


def has_uneven_classes(predictions: pd.DataFrame) -> bool:
    """Whether any quadrant of a protocol's predictions has uneven classes (`UNEVEN`)."""
    shares = [class_shares(rows) for _, rows in predictions.groupby(["task", "split"], observed=True)]
    return any(majority > UNEVEN * chance for chance, majority in shares)
