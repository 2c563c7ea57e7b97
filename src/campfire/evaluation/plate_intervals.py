"""Intervals that generalise to other plates: Student's t on the contribution of each plate to an accuracy.

Wells of one plate share its staining, imaging and cells, so the wells of five plates say little about a sixth. The
plate is therefore the unit. An accuracy, averaged over fits, is a sum over wells, A = sum of u_w. Compounds are fixed,
so the contribution of a plate beyond expectation is the sum of u_w - d_c m_w over its wells, m_w being the well's share
of the scored cells and d_c the compound's mean. With n_c plates that carry the compound the residual is too short by
sqrt(1 - 1 / n_c), which is corrected (as by HC2 in regression); compounds on a single plate share a mean. The
variance of A is the sum of squares of these plate totals. Totals of quadrants that share plates are added before they
are squared, because they are correlated; sides that share no plate (ID and OOD) have separate variances and Welch's
degrees of freedom. `bench/interval_coverage.py` measures the coverage, docs/statistics.md has the table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from campfire.core import columns as names
from campfire.evaluation.tally import MIN_UNITS, Tally, by_compound

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PlateInterval:
    """An interval over plates; every field but `plates` is nan where a side has fewer than three plates."""

    low: float
    high: float
    p: float
    """Two-sided probability, under no difference, of a value at least as far from zero."""
    plates: int
    """Number of plates of the side with the fewest."""


def well_terms(tally: Tally, metric: str) -> tuple[Floats, Floats]:
    """The contribution of each well to the metric's mean over fits, and the largest possible one: two arrays (W,).

    The first sums to the accuracy or balanced accuracy, the second to 1.
    """
    if metric == "balanced_accuracy":
        by_class = by_compound(tally.cells, tally.compound)  # (K, F)
        present = (by_class > 0).sum(axis=0)
        weight = 1 / np.maximum(by_class * present, 1)[tally.compound]
    else:
        weight = 1 / np.maximum(tally.cells.sum(axis=0), 1)[None, :]
    scored = int((tally.cells.sum(axis=0) > 0).sum())
    return (tally.hits * weight).sum(axis=1) / scored, (tally.cells * weight).sum(axis=1) / scored


def plate_totals(tally: Tally, metric: str = "accuracy") -> pd.Series:
    """The contribution of each plate to the metric beyond expectation, by plate name; see the module."""
    terms, share = well_terms(tally, metric)
    pairs = pd.DataFrame({"compound": tally.compound, "plate": tally.plate}).drop_duplicates()
    plates = np.bincount(pairs["compound"], minlength=int(tally.compound.max()) + 1)  # (K,) plates of each compound
    alone = plates[tally.compound] == 1
    group = np.where(alone, -1, tally.compound)
    residual = np.zeros(len(terms))
    for number in np.unique(group):
        rows = group == number
        count = len(np.unique(tally.plate[rows])) if number < 0 else int(plates[number])
        if count > 1:
            mean = terms[rows].sum() / share[rows].sum()
            residual[rows] = (terms[rows] - mean * share[rows]) * np.sqrt(count / (count - 1))
    return pd.Series(residual).groupby(tally.keys[names.PLATE].to_numpy(object)).sum()


def add(parts: Sequence[pd.Series], weights: Sequence[float]) -> pd.Series:
    """Weighted sum of plate totals by plate; a plate missing from a part adds nothing there."""
    total = pd.concat([part * weight for part, weight in zip(parts, weights, strict=True)])
    return total.groupby(level=0).sum()


def plate_sides(totals: Mapping[str, pd.Series]) -> list[pd.Series]:
    """Plate totals of the mean over quadrants, from those by split: ID plates together, OOD plates together."""
    pairs = [[totals[s] for s in pair if s in totals] for pair in zip(*names.TASK_QUADRANTS.values(), strict=True)]
    found = [add(pair, [1 / len(totals)] * len(pair)) for pair in pairs if pair]
    return found or [pd.Series(dtype=np.float64)]


def over_plates(value: float, sides: Sequence[pd.Series], level: float) -> PlateInterval:
    """Student's t interval of `value`, whose variance is that of the plate totals of `sides`, which share no plate."""
    from scipy.special import stdtr, stdtrit

    fewest = min(len(side) for side in sides)
    if fewest < MIN_UNITS:
        return PlateInterval(float("nan"), float("nan"), float("nan"), fewest)
    variances = [float((side.to_numpy() ** 2).sum()) for side in sides]
    spread = float(np.sqrt(sum(variances)))
    if spread == 0:
        return PlateInterval(value, value, 1.0 if value == 0 else 0.0, fewest)
    shares = sum(v**2 / (len(side) - 1) for v, side in zip(variances, sides, strict=True))
    degrees = sum(variances) ** 2 / shares
    reach = float(stdtrit(degrees, (1 + level) / 2)) * spread
    return PlateInterval(value - reach, value + reach, float(2 * stdtr(degrees, -abs(value) / spread)), fewest)


def holm(probabilities: ArrayLike) -> Floats:
    """Probabilities adjusted for their number (Holm 1979): (N,) -> (N,); nan does not count as a comparison."""
    p = np.asarray(probabilities, np.float64)
    out = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    out[order] = np.minimum(1, np.maximum.accumulate(p[order] * factors))
    return out
