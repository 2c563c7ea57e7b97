"""Shares of the embeddings' variance explained by compounds, batches and plates."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core import columns as names
from campfire.core.errors import DataError
from campfire.core.random import keyed_generator
from campfire.evaluation.statistics import BootstrapOptions, multiplicity

Floats = NDArray[np.float64]


def variance_shares(
    wells: pd.DataFrame,
    embeddings: NDArray[np.float32],
    factors: Sequence[str] = (names.COMPOUND, names.PLATE),
    options: BootstrapOptions | None = None,
) -> pd.DataFrame:
    """Share of the variance of well means that each factor explains in addition to the others, with intervals.

    wells: (W,) rows with the factor columns; embeddings (W, D). Sums of squares are from least squares on all
    factors, summed over the D dimensions; the share expected by chance is subtracted (omega squared), so a factor
    without effect has a share near 0, and balanced shares sum to 1 with `residual`, the variance between wells.
    Where one factor is nested in another (plates in batches), the share of the outer factor is what it explains without
    the inner one, minus what the spread of the inner levels alone would explain; the inner share is the remainder.
    Returns `factor, share, low, high`; intervals cover other wells, not other plates, and use at most 200 resamples.
    Raises DataError when there are too few wells for the levels, or all are alike.
    """
    options = options or BootstrapOptions()
    y = np.asarray(embeddings, np.float64)
    y = y - y.mean(axis=0)
    codes = [np.unique(wells[name].to_numpy(object).astype(str), return_inverse=True)[1] for name in factors]
    levels = [int(code.max()) + 1 for code in codes]
    if len(wells) <= sum(levels) or min(levels) < 2:
        raise DataError(
            f"profiles: {len(wells)} wells are too few for {', '.join(factors)} with {levels} levels; each factor "
            "needs two levels and more wells than levels"
        )
    if not y.any():
        raise DataError("profiles: the embeddings of all wells are equal, so there is no variance; look at the encoder")
    inside = [[j for j, other in enumerate(codes) if _holds(code, other)] for code in codes]
    design = _Design(y, codes, levels)
    value = _shares(design, inside, np.ones(len(y)))
    rng = keyed_generator(options.seed)
    weights = np.empty((min(options.replicates, 200), len(y)))
    for level in range(levels[0]):
        rows = np.flatnonzero(codes[0] == level)
        weights[:, rows] = multiplicity(rng, len(rows), len(weights))
    draws = [_shares(design, inside, row) for row in weights]
    # A resample repeats wells, which least squares takes for agreement and so shifts all shares by a constant: the
    # spread of the resamples is therefore centred on the value.
    around = value + np.array(draws) - np.mean(draws, axis=0)
    ends = np.quantile(around, [(1 - options.level) / 2, (1 + options.level) / 2], axis=0)
    return pd.DataFrame({"factor": [*factors, "residual"], "share": value, "low": ends[0], "high": ends[1]})


def _holds(outer: NDArray[np.integer[Any]], inner: NDArray[np.integer[Any]]) -> bool:
    """Whether every level of `inner` lies in one level of `outer`, which has fewer of them."""
    pairs = np.unique(np.stack([outer, inner]), axis=1).shape[1]
    return pairs == int(inner.max()) + 1 > int(outer.max()) + 1


class _Design:
    """Wells of every level of the factors, which weighted least squares needs only as sums: its time is linear in W."""

    def __init__(self, y: Floats, codes: Sequence[NDArray[np.integer[Any]]], levels: Sequence[int]) -> None:
        """y: (W, D) centred; codes: the level (W,) of each well for each factor."""
        from scipy.sparse import csr_array

        starts = np.cumsum([1, *levels])
        self.columns = [np.arange(a, b) for a, b in itertools.pairwise(starts)]
        every = np.stack([np.zeros(len(y), np.int64), *(c + a for c, a in zip(codes, starts, strict=False))], axis=1)
        rows = np.arange(0, every.size + 1, every.shape[1])
        self.cells = csr_array((np.ones(every.size), every.ravel(), rows), shape=(len(y), int(starts[-1])))
        """(W, 1 + levels): a column of ones, then one column per level."""
        self.y, self.squares = y, (y**2).sum(axis=1)

    def weigh(self, weight: Floats) -> tuple[Floats, Floats]:
        """Sums of weights of wells in two levels (L, L), and of weighted embeddings by level (L, D); weight (W,)."""
        weighted = (self.cells * weight[:, None]).T.tocsr()
        return (weighted @ self.cells).toarray(), weighted @ self.y


def _shares(design: _Design, inside: Sequence[Sequence[int]], weight: Floats) -> Floats:
    """Omega squared of each factor given the others, and the residual's share; weight (W,).

    inside: for each factor the factors nested in it.
    """
    among, sums = design.weigh(weight)

    def explained(members: Sequence[int]) -> tuple[int, float]:
        columns = np.concatenate([[0], *(design.columns[i] for i in members)])
        return _explained(among[np.ix_(columns, columns)], sums[columns])

    every = range(len(design.columns))
    rank, full = explained(every)
    base = explained([])[1]
    square = float(weight @ design.squares)
    total = square - base
    noise = (square - full) / max(int((weight > 0).sum()) - rank, 1)
    shares = []
    for i in every:
        with_it = explained([j for j in every if j not in inside[i]]) if inside[i] else (rank, full)
        others = explained([j for j in every if j != i and j not in inside[i]])
        chance = (full - with_it[1]) / (rank - with_it[0]) if rank > with_it[0] else noise
        shares.append((with_it[1] - others[1] - (with_it[0] - others[0]) * chance) / (total + noise))
    return np.array([*shares, weight.sum() * noise / (total + noise)])


def _explained(among: Floats, sums: Floats) -> tuple[int, float]:
    """Rank of a design and the sum of squares that it explains, from its normal equations (L, L) and (L, D)."""
    values, vectors = np.linalg.eigh(among)
    # Columns that depend on others (all levels of a factor add up to the ones) leave eigenvalues of some 1e-15.
    kept = values > 1e-10 * values[-1]
    return int(kept.sum()), float(((vectors[:, kept].T @ sums) ** 2 / values[kept, None]).sum())
