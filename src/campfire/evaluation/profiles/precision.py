"""Intervals of a mean average precision over other plates, by leaving out one plate at a time.

A pair of wells counts in the average precision of both, so precisions of wells are not independent: a bootstrap of them
takes a half of their spread, and its 95 % intervals held the truth in three of four simulated screens. Without a plate
all of its wells are gone, as queries and as what is retrieved. The spread of these values, times (P - 1) / P, is the
variance over plates (jackknife), its interval Student's t with P - 1 degrees of freedom; docs/statistics.md has the
coverage.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core import columns as names
from campfire.evaluation.tally import MIN_UNITS

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def reach_over_plates(
    wells: pd.DataFrame,
    embeddings: NDArray[np.float32],
    rules: tuple[Sequence[str], Sequence[str], Sequence[str]],
    stratum: str,
    level: float,
) -> tuple[float, float]:
    """Half the width of the interval over plates of the mean average precision: as it is, and above chance.

    wells: (W,) rows with plate and the columns of `rules`: those in which a well and its replicate agree, those in
    which they differ, and those in which a well and a negative differ. embeddings: (W, D), compared by cosine. The mean
    is that over strata of the wells' mean. nan for fewer than three plates.
    """
    from scipy.special import stdtrit

    plates = wells[names.PLATE].to_numpy(object)
    present = pd.unique(plates)
    if len(present) < MIN_UNITS:
        return float("nan"), float("nan")
    ranked = _Ranked(wells, embeddings, *rules)
    strata = np.unique(wells[stratum].to_numpy(object).astype(str), return_inverse=True)[1]
    values = np.array([ranked.means(strata, plates != plate) for plate in present])  # (P, 2)
    count = (~np.isnan(values)).sum(axis=0)
    if count.min() < MIN_UNITS:
        return float("nan"), float("nan")
    spread = np.sqrt(np.nansum((values - np.nanmean(values, axis=0)) ** 2, axis=0) * (count - 1) / count)
    plain, normalised = (stdtrit(count - 1, (1 + level) / 2) * spread).tolist()
    return plain, normalised


def within(value: float, reach: float, least: float = -np.inf) -> dict[str, float]:
    """The ends of an interval, `low` and `high`, none below `least` or above 1 (perfect); nan where `reach` is nan."""
    return {"low": float(np.maximum(least, value - reach)), "high": float(np.minimum(1.0, value + reach))}


class _Ranked:
    """All other wells of each well, the most similar first, with what they are to it: (W, W) flags."""

    def __init__(
        self,
        wells: pd.DataFrame,
        embeddings: NDArray[np.float32],
        same: Sequence[str],
        different: Sequence[str],
        negatives: Sequence[str],
    ) -> None:
        codes = {name: pd.factorize(wells[name])[0] for name in {*same, *different, *negatives}}
        equal = {name: code[:, None] == code[None, :] for name, code in codes.items()}
        other = ~np.eye(len(wells), dtype=bool)
        positive = np.logical_and.reduce([other, *(equal[n] for n in same), *(~equal[n] for n in different)])
        negative = np.logical_and.reduce([other & ~positive, *(~equal[n] for n in negatives)])
        units = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
        # Replicates before others of the same similarity, as copairs has it.
        rank = np.lexsort((~positive, -(units @ units.T)), axis=1)
        self.order: NDArray[np.intp] = rank
        self.positive: Flags = np.take_along_axis(positive, rank, axis=1)
        self.listed: Flags = np.take_along_axis(positive | negative, rank, axis=1)

    def precisions(self, kept: Flags) -> tuple[Floats, Floats]:
        """Average precision of each well among the wells `kept` (W,), as it is and above chance; nan without pairs."""
        inside = kept[self.order] & kept[:, None]
        listed, positive = self.listed & inside, self.positive & inside
        place, hits = listed.cumsum(axis=1), positive.cumsum(axis=1)
        found, total = positive.sum(axis=1), listed.sum(axis=1)
        precision = (positive * hits / np.maximum(place, 1)).sum(axis=1) / np.maximum(found, 1)
        usable = (found > 0) & (total > found)
        harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, len(kept) + 1))])[total]
        size = np.maximum(total, 2)
        # The expected precision of a random order, as in copairs.
        chance = ((found - 1) / (size - 1) * (size - harmonic) + harmonic) / size
        above = (precision - chance) / np.maximum(1 - chance, 1e-10)
        return np.where(usable, precision, np.nan), np.where(usable, above, np.nan)

    def means(self, strata: NDArray[np.intp], kept: Flags) -> list[float]:
        """Mean over strata (W,) of the mean of their wells: as it is, and above chance; nan without any."""
        found = []
        for values in self.precisions(kept):
            known = ~np.isnan(values)
            sizes = np.bincount(strata[known])
            sums = np.bincount(strata[known], weights=values[known])
            found.append(float((sums[sizes > 0] / sizes[sizes > 0]).mean()) if known.any() else float("nan"))
        return found
