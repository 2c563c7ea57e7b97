"""Z'-scores between groups of well embeddings (paper section 3.5 and appendix C)."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from campfire.core.errors import ConfigError, DataError
from campfire.core.random import keyed_generator

Method = Literal["plain", "robust"]
Floats = NDArray[np.float64]

METHODS: tuple[Method, ...] = ("plain", "robust")
MAD_TO_SD = 1.482602218505602  # 1 / the upper quartile of the normal distribution
HUBER = 1.5  # Algorithm A winsorises at this many standard deviations
HUBER_VARIANCE = 0.778  # variance of a winsorised normal sample, relative to the plain one
TOLERANCE = 1e-4
ROUNDS = 1000


def algorithm_a(values: ArrayLike) -> tuple[Floats, Floats]:
    """Robust mean and standard deviation along the last axis (Analytical Methods Committee, Algorithm A).

    Starts from the median and 1.4826 times the median absolute deviation; values beyond 1.5 sqrt((n - 1) / n)
    deviations are clipped to that bound until mean and deviation converge. (..., n) -> two arrays (...).
    Equals the authors' released code on 1-D arrays; DataError for an empty axis.
    """
    x = np.asarray(values, np.float64)
    shape, n = x.shape[:-1], x.shape[-1]
    if n == 0:
        raise DataError("Z': a group has no wells; check group and control in the transfer sheet")
    x = x.reshape(-1, n)
    mean = np.median(x, axis=1)
    if n == 1:
        return mean.reshape(shape), np.zeros(shape)
    deviation = MAD_TO_SD * np.median(np.abs(x - mean[:, None]), axis=1)
    reach = HUBER * np.sqrt((n - 1) / n)
    open_rows = np.flatnonzero(deviation > 0)
    for _ in range(ROUNDS):
        if len(open_rows) == 0:
            break
        m, s = mean[open_rows], deviation[open_rows]
        drawn_in = np.clip(x[open_rows], (m - reach * s)[:, None], (m + reach * s)[:, None])
        new_m = drawn_in.mean(axis=1)
        new_s = np.sqrt(drawn_in.var(axis=1, ddof=1) / HUBER_VARIANCE)
        mean[open_rows], deviation[open_rows] = new_m, new_s
        moved = np.maximum(np.abs(new_m - m) / s, np.abs(new_s / s - 1))
        open_rows = open_rows[(moved >= TOLERANCE) & (new_s > 0)]
    return mean.reshape(shape), deviation.reshape(shape)


def project(reference: ArrayLike, target: ArrayLike) -> tuple[Floats, Floats]:
    """Normalised scalar projection of each embedding on the line from the reference mean (0) to the target mean (1).

    reference (n, D), target (m, D) -> (n,), (m,) float64. Appendix C; coinciding means give zeros.
    """
    x, y = np.asarray(reference, np.float64), np.asarray(target, np.float64)
    centre = x.mean(axis=0)
    axis = y.mean(axis=0) - centre
    length = axis @ axis
    axis = axis / length if length > 0 else axis
    return (x - centre) @ axis, (y - centre) @ axis


def _location_and_scale(values: Floats, method: str, ddof: int) -> tuple[Floats, Floats]:
    if method == "robust":
        return algorithm_a(values)
    if method != "plain":
        raise ValueError(f"unknown Z' method `{method}`; allowed: {', '.join(METHODS)}")
    n = values.shape[-1]
    return values.mean(axis=-1), values.std(axis=-1, ddof=ddof) if n > ddof else np.zeros(values.shape[:-1])


def _score(reference: Floats, target: Floats, method: str, ddof: int) -> Floats:
    """Z' along the last axis of projected values."""
    mean_r, sd_r = _location_and_scale(reference, method, ddof)
    mean_t, sd_t = _location_and_scale(target, method, ddof)
    gap = np.abs(mean_r - mean_t)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(gap > 0, 1 - 3 * (sd_r + sd_t) / gap, -np.inf)


def zprime(reference: ArrayLike, target: ArrayLike, method: Method = "plain", ddof: int = 0) -> float:
    """Z' = 1 - 3 (sd_r + sd_t) / |mean_r - mean_t|; -inf when the means coincide.

    reference, target: wells as scalars (n,) or as embeddings (n, D), which are projected first.
    method: `plain` mean and standard deviation with `ddof` (the paper's text leaves it open; numpy's 0 is the
    default) or `robust` (Algorithm A, as the authors' code). Symmetric in its two groups.
    """
    x, y = np.asarray(reference, np.float64), np.asarray(target, np.float64)
    if len(x) == 0 or len(y) == 0:
        raise DataError("Z': a group has no wells; check group and control in the transfer sheet")
    if x.ndim == 2:
        x, y = project(x, y)
    return float(_score(x, y, method, ddof))


def bootstrap(
    reference: ArrayLike,
    target: ArrayLike,
    method: Method = "plain",
    ddof: int = 0,
    replicates: int = 1000,
    seed: int = 0,
) -> Floats:
    """Z' of `replicates` resamples of the wells of both groups, each with its own projection: (R,)."""
    x, y = np.asarray(reference, np.float64), np.asarray(target, np.float64)
    if x.ndim == 1:
        x, y = x[:, None], y[:, None]
    rng = keyed_generator(seed)
    rows_x = rng.integers(0, len(x), (replicates, len(x)))
    rows_y = rng.integers(0, len(y), (replicates, len(y)))
    # The projection depends on inner products only, so resampling does not need the D dimensions.
    both = np.concatenate([x, y])
    both = both - both.mean(axis=0)
    gram = both @ both.T
    weight_x = _multiplicity(rows_x, 0, len(both))
    weight_y = _multiplicity(rows_y, len(x), len(both))
    axis = weight_y - weight_x
    along = axis @ gram  # (R, n + m): every well's product with the line between the resampled means
    values_x = np.take_along_axis(along, rows_x, axis=1)
    values_y = np.take_along_axis(along, rows_y + len(x), axis=1)
    return _score(values_x, values_y, method, ddof)


def interval(value: float, draws: Floats, wells: Sequence[int], level: float = 0.95) -> tuple[float, float]:
    """Interval of a Z' `value` from its `bootstrap` draws (R,); `wells` are the sizes of the two groups.

    On the scale of log(1 - Z'), where the score is spread over distance: the centre is the value minus the bias of the
    draws, the half-width Student's t times their spread (median absolute deviation). The line of projection is fitted
    to the projected wells themselves, so Z' of few wells is too high and may lie above its interval; percentiles of the
    draws would repeat that bias. nan for a group of fewer than three wells.
    """
    from scipy.special import stdtrit

    if not 0 < level < 1:
        raise ConfigError(f"level {level:g} is no share between 0 and 1; give 0.95 for 95 %")
    if min(wells) < 3 or not value < 1:
        return float("nan"), float("nan")
    if not np.isfinite(value):
        return -np.inf, float(np.quantile(draws, (1 + level) / 2, method="closest_observation"))
    centre = np.log1p(-value)
    # Resamples without spread or distance have no logarithm; they count as extreme, not as missing.
    logs = np.clip(np.log(np.maximum(1 - draws, 1e-300)), centre - 20, centre + 20)
    middle = float(np.median(logs))
    reach = stdtrit(sum(wells) - 2, (1 + level) / 2) * MAD_TO_SD * float(np.median(np.abs(logs - middle)))
    ends = 1 - np.exp(2 * centre - middle + np.array([reach, -reach]))
    return float(ends[0]), float(ends[1])


def _multiplicity(rows: NDArray[np.int64], offset: int, size: int) -> Floats:
    """Share of each of `size` wells in each resample: (R, n) row numbers -> (R, size)."""
    replicates, n = rows.shape
    flat = rows + offset + size * np.arange(replicates)[:, None]
    return np.bincount(flat.ravel(), minlength=replicates * size).reshape(replicates, size) / n


def pairwise(
    embeddings: ArrayLike,
    groups: Sequence[str] | NDArray[np.object_],
    methods: Sequence[Method] = METHODS,
    ddof: int = 0,
    replicates: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Z' of every ordered pair of groups, with intervals over resampled wells (`interval`; Figure 3.5).

    embeddings (N, D), groups (N,) names; wells of the empty group are left out.
    Columns: `reference, target, method, zprime, low, high, n_reference, n_target`. Z' is symmetric, so each
    pair is computed once and listed in both directions.
    """
    x, labels = np.asarray(embeddings, np.float64), np.asarray(groups, dtype=object)
    if len(x) != len(labels):
        raise DataError(f"Z': {len(x)} wells have {len(labels)} group names; give one for each well")
    if not np.isfinite(x).all():
        raise DataError("Z': embeddings of wells are not finite; embed these plates again, or look at the encoder")
    order = [name for name in sorted(set(labels)) if name]
    rows = []
    for i, first in enumerate(order):
        for second in order[i + 1 :]:
            a, b = x[labels == first], x[labels == second]
            for method in methods:
                draws = bootstrap(a, b, method, ddof, replicates, seed)
                score = zprime(a, b, method, ddof)
                low, high = interval(score, draws, (len(a), len(b)), level)
                value = {"method": method, "zprime": score, "low": low, "high": high}
                rows.append({"reference": first, "target": second, **value, "n_reference": len(a), "n_target": len(b)})
                rows.append({"reference": second, "target": first, **value, "n_reference": len(b), "n_target": len(a)})
    columns = ["reference", "target", "method", "zprime", "low", "high", "n_reference", "n_target"]
    return pd.DataFrame(rows, columns=columns).sort_values(["method", "reference", "target"], ignore_index=True)
