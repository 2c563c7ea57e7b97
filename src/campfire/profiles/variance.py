"""How much of the embeddings' variance compounds, plates and batches carry."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire import keys as names
from campfire.errors import DataError
from campfire.statistics import BootstrapOptions, multiplicity

Floats = NDArray[np.float64]


def variance_shares(
    wells: pd.DataFrame,
    embeddings: NDArray[np.float32],
    factors: Sequence[str] = (names.COMPOUND, names.PLATE),
    options: BootstrapOptions | None = None,
) -> pd.DataFrame:
    """Share of the variance of well means that each factor explains beyond the others, with an interval over wells.

    wells: (W,) rows with the factor columns; embeddings (W, D). Sums of squares are those of least squares on all
    factors, summed over the D dimensions; the chance share of the factor's levels is taken off (omega squared), so a
    factor without effect has a share near 0 and balanced shares sum to 1 with `residual`, what is left to wells.
    Returns `factor, share, low, high`; at most 200 resamples are made. Raises DataError where wells are too
    few for the levels.
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
    designs = [np.eye(count)[code] for count, code in zip(levels, codes, strict=True)]
    value = _shares(y, designs, np.ones(len(y)))
    rng = np.random.default_rng(options.seed)
    draws = []
    weights = np.empty((min(options.replicates, 200), len(y)))
    for level in range(levels[0]):
        rows = np.flatnonzero(codes[0] == level)
        weights[:, rows] = multiplicity(rng, len(rows), len(weights))
    for row in weights:
        kept = row > 0
        draws.append(_shares(y[kept], [d[kept] for d in designs], row[kept]))
    # A resample repeats wells, which least squares takes for agreement: its shares are off by a constant, so their
    # spread is laid around the value.
    around = value + np.array(draws) - np.mean(draws, axis=0)
    ends = np.quantile(around, [(1 - options.level) / 2, (1 + options.level) / 2], axis=0)
    return pd.DataFrame({"factor": [*factors, "residual"], "share": value, "low": ends[0], "high": ends[1]})


def _shares(y: Floats, designs: Sequence[Floats], weight: Floats) -> Floats:
    """Omega squared of each design given the others, and the residual's share; y (W, D), weight (W,)."""
    root = np.sqrt(weight)[:, None]
    ones = np.ones((len(y), 1))
    scaled = root * y
    rank, full = _explained([ones, *designs], root, scaled)
    base = _explained([ones], root, scaled)[1]
    total = float((scaled**2).sum()) - base
    residual = float((scaled**2).sum()) - full
    noise = residual / max(len(y) - rank, 1)
    shares = []
    for i in range(len(designs)):
        other_rank, other = _explained([ones, *designs[:i], *designs[i + 1 :]], root, scaled)
        shares.append((full - other - (rank - other_rank) * noise) / (total + noise))
    return np.array([*shares, weight.sum() * noise / (total + noise)])


def _explained(designs: Sequence[Floats], root: Floats, scaled: Floats) -> tuple[int, float]:
    """Rank of the joint design and the sum of squares that it explains."""
    left, singular, _ = np.linalg.svd(root * np.concatenate(designs, axis=1), full_matrices=False)
    rank = int((singular > 1e-9 * singular[0]).sum())
    return rank, float(((left[:, :rank].T @ scaled) ** 2).sum())
