"""Multinomial logistic regression to convergence: a probe that depends on neither scale nor learning rate.

The loss is the mean cross-entropy of the training cells plus half the penalty times the squared weights; the bias is
not penalised. Dimensions are first centred and scaled by the training cells, so units do not matter, and the problem is
convex, so its one minimum does not depend on the path. Only the penalty remains to be chosen, on wells that are not
scored: neighbouring `PENALTIES` are tried until the one with the lowest cross-entropy on the monitored wells lies among
them (`_try_penalties`). With that penalty the classifier is then trained to the end, where the monitored wells are
training wells (held-out task) on all of them.

For speed the problem is rotated onto the principal components of the training cells, and each component is scaled by
the initial curvature of the cross-entropy. The minimum is the same, and L-BFGS (scipy's) needs some ten iterations
instead of hundreds. Where cells are many, the weights are turned in their place. Logits are computed with one row per
class, for blocks of cells: reductions over classes are then sums of whole rows, and a block is still in the cache when
its derivative is multiplied with it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from campfire.evaluation.probes.trainer import Fit

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Turned = NDArray[np.floating[Any]]
Rows = NDArray[np.intp]

PENALTIES = tuple(float(10**power) for power in np.arange(0.5, -6.1, -0.5))
"""Penalties tried, from the strongest: 3.2 to 0.000001, per training cell and squared weight."""
MARGIN = 1e-3  # a weaker penalty is taken only where it lowers the cross-entropy by more (nats a cell)
FIRST = 0.0032  # penalty tried first, near those of the paper's size
WORSE = 2  # so many penalties in a row without a better cross-entropy end the search in their direction
LARGE = 1 << 22  # numbers in the training cells; see `_Problem`
TOLERANCE, LARGE_TOLERANCE = (1e-6, 1e-13), (1e-5, 1e-9)  # scipy's gtol and ftol
TRIED = 10  # times these for a penalty that is only tried: the fit of the chosen one goes on from there
ITERATIONS = 3000
MANY = 100  # cells for each class from which the weights are turned, not the cells; see `_Problem`
BLOCK = 2048  # cells whose logits are computed at once


@dataclass(frozen=True)
class LogisticFit:
    """One converged classifier of standardised features."""

    weight: Doubles
    """(K, D)"""
    bias: Doubles
    """(K,)"""
    centre: Doubles
    """(D,) means of the training cells."""
    scale: Doubles
    """(D,) standard deviations of the training cells; 1 where a dimension is constant."""
    penalty: float
    iterations: int
    converged: bool


def standardisation(rows: Floats) -> tuple[Doubles, Doubles]:
    """Mean and standard deviation of each dimension of (N, D) rows; the deviation of a constant dimension is 1.

    A dimension counts as constant when it varies by less than float32 resolves, whatever its unit.
    """
    centre = rows.mean(axis=0, dtype=np.float64)
    # As `std`, which would hold all rows in double precision; the sum so far is the first row to be added.
    total = np.zeros((1, rows.shape[1]))
    for first in range(0, len(rows), BLOCK):
        squares = np.concatenate([total, rows[first : first + BLOCK] - centre])
        np.square(squares[1:], out=squares[1:])
        total = squares.sum(axis=0, keepdims=True)
    scale = np.sqrt(total[0] / len(rows))
    varies = scale > 1e-6 * np.abs(centre)
    return centre, np.where(varies, scale, 1.0)


def fit_logistic(
    features: Floats, labels: NDArray[np.integer[Any]], fit: Fit, classes: int, penalties: Sequence[float] = PENALTIES
) -> LogisticFit:
    """Train one classifier: features (N, D) float32, labels (N,) class index, `fit` the rows of it.

    The penalty is chosen by the cross-entropy of `fit.monitor`; with `fit.refit` the final fit includes these rows.
    """
    problem = _Problem(features[fit.train], labels[fit.train], classes)
    tried = _try_penalties(problem, features[fit.monitor], labels[fit.monitor], penalties)
    ordered = sorted(tried, reverse=True)
    penalty = ordered[_chosen([tried[penalty].loss for penalty in ordered])]
    start = tried[penalty].weights
    if fit.refit:
        rows = np.concatenate([fit.train, fit.monitor])
        refit = _Problem(features[rows], labels[rows], classes, problem)
        problem, start = refit, refit.translated(problem, start)
    weights, steps, done = problem.minimise(penalty, start, 1)
    weight, bias = problem.plain(weights)
    iterations = steps + sum(one.iterations for one in tried.values())
    converged = done and all(one.converged for one in tried.values())
    return LogisticFit(weight, bias, problem.centre, problem.scale, penalty, iterations, converged)


@dataclass(frozen=True)
class _Tried:
    """The fit of one penalty, and the cross-entropy of the monitored wells under it."""

    weights: Doubles
    loss: float
    iterations: int
    converged: bool


def _try_penalties(
    problem: "_Problem",
    monitored: Floats,
    labels: NDArray[np.integer[Any]],
    penalties: Sequence[float],
) -> dict[float, _Tried]:
    """Fits of a run of penalties with the best one inside: weaker ones than `FIRST`, then stronger ones.

    Each direction ends after `WORSE` penalties in a row that are no better. A fit starts where a straight line through
    the two before it leads, for the penalties have equal ratios.
    """
    watched = problem.placed(monitored)
    tried: dict[float, _Tried] = {}

    def attempt(penalty: float, near: Sequence[float]) -> float:
        two = [tried[other].weights for other in near if other in tried]
        start = problem.start() if not two else two[0] if len(two) == 1 else 2 * two[0] - two[1]
        weights, steps, done = problem.minimise(penalty, start, TRIED)
        tried[penalty] = _Tried(weights, problem.loss(watched, labels, weights), steps, done)
        return tried[penalty].loss

    ordered = sorted(penalties, reverse=True)
    first = next((i for i, penalty in enumerate(ordered) if penalty <= FIRST), len(ordered) - 1)
    best, at, worse = np.inf, first, 0
    for i in range(first, len(ordered)):
        loss = attempt(ordered[i], ordered[max(i - 2, 0) : i][::-1])
        best, at, worse = (loss, i, 0) if loss < best - MARGIN else (best, at, worse + 1)
        if worse == WORSE:
            break
    worse = at - first  # those between are worse than the best
    for i in range(first - 1, -1, -1):
        if worse >= WORSE:
            break
        loss = attempt(ordered[i], ordered[i + 1 : i + 3])
        best, worse = (min(best, loss), 0) if loss <= best + MARGIN else (best, worse + 1)
    return tried


def _chosen(losses: Sequence[float]) -> int:
    """Index of the chosen penalty, from losses in order from the strongest: a weaker one must be better by `MARGIN`."""
    chosen = 0
    for i, loss in enumerate(losses):
        if loss < losses[chosen] - MARGIN:
            chosen = i
    return chosen


class _Problem:
    """The standardised training cells of one fit, and the principal axes on which its weights are sought."""

    def __init__(
        self, rows: Floats, labels: NDArray[np.integer[Any]], classes: int, like: "_Problem | None" = None
    ) -> None:
        """rows (N, D), labels (N,); the axes are those of `like`, a problem of most of these cells, if they span all.

        Any axes have the same minimum; those of other cells only scale the problem a little worse.
        """
        self.labels, self.classes = np.asarray(labels, np.intp), classes
        self.centre, self.scale = standardisation(rows)
        count, width = rows.shape
        # Single precision suffices for large problems, whose minimum many cells determine, and is twice as fast.
        single = count * min(count, width) > LARGE if like is None else like.dtype == np.float32
        self.dtype: type[np.floating[Any]] = np.float32 if single else np.float64
        self.features = self._standardised(rows)  # (N, D), or turned (N, R)
        self.variances: Doubles
        """(R,) along the axes."""
        self.axes: Doubles
        """(D, R) orthogonal axes."""
        if like is not None and like.axes.shape == (width, width):
            self.variances, self.axes = like.variances, like.axes
        else:
            self.variances, self.axes = _principal(self.features)
        self.turn: Turned = self.axes.astype(self.dtype)
        # Turning many cells once takes longer than turning the weights of few classes in every evaluation.
        self.turned = count < MANY * classes
        if self.turned:
            self.features = self.features @ self.turn

    def _standardised(self, rows: Floats) -> Turned:
        scaled = np.empty(rows.shape, self.dtype)
        for block, out in zip(_blocks(rows), _blocks(scaled), strict=True):
            out[:] = (block - self.centre) / self.scale
        return scaled

    def placed(self, rows: Floats) -> Turned:
        """Rows (M, D) in the coordinates of `features`."""
        return self._standardised(rows) @ self.turn if self.turned else self._standardised(rows)

    def start(self) -> Doubles:
        """All weights zero: (R + 1, K), the last row is the bias."""
        return np.zeros((len(self.variances) + 1, self.classes))

    def plain(self, weights: Doubles) -> tuple[Doubles, Doubles]:
        """(K, D) and (K,) for standardised features, from weights (R + 1, K)."""
        return (self.axes @ weights[:-1]).T, weights[-1].copy()

    def translated(self, other: "_Problem", weights: Doubles) -> Doubles:
        """Weights (R + 1, K) for these cells' coordinates, from those of another problem of the same dimensions."""
        plain, bias = other.plain(weights)
        raw = plain / other.scale
        return np.concatenate([self.axes.T @ (raw * self.scale).T, (bias + raw @ (self.centre - other.centre))[None]])

    def loss(self, features: Turned, labels: NDArray[np.integer[Any]], weights: Doubles) -> float:
        """Mean cross-entropy of placed rows."""
        blocks = self._by_logit(features, np.asarray(labels, np.intp), weights)
        return sum(loss for loss, _, _ in blocks) / len(features)

    def _by_logit(self, features: Turned, labels: Rows, weights: Doubles) -> Iterator[tuple[float, Turned, Turned]]:
        """For each block of B rows: the sum of their cross-entropy, its derivative by the logits (K, B), the rows."""
        own_weights = weights[:-1].astype(self.dtype)
        slopes = np.ascontiguousarray((own_weights if self.turned else self.turn @ own_weights).T)
        bias = weights[-1][:, None].astype(self.dtype)
        for rows, truth in zip(_blocks(features), _blocks(labels), strict=True):
            own = (truth, np.arange(len(rows)))
            logits = slopes @ rows.T
            logits += bias
            logits -= logits.max(axis=0)
            loss = -float(logits[own].sum(dtype=np.float64))
            np.exp(logits, out=logits)
            sums = logits.sum(axis=0)
            loss += float(np.log(sums, dtype=np.float64).sum())
            logits /= sums
            logits[own] -= 1
            yield loss, logits, rows

    def _cross_entropy(self, weights: Doubles) -> tuple[float, Doubles]:
        """Mean cross-entropy of the training cells, and its gradient (R + 1, K)."""
        loss, slope, bias = 0.0, np.zeros((self.classes, self.features.shape[1])), np.zeros(self.classes)
        for part, by_logit, rows in self._by_logit(self.features, self.labels, weights):
            loss += part
            slope += by_logit @ rows
            bias += by_logit.sum(axis=1, dtype=np.float64)
        own = slope.T if self.turned else self.turn.T @ np.ascontiguousarray(slope.T, self.dtype)
        return loss / len(self.labels), np.concatenate([own, bias[None]]) / len(self.labels)

    def minimise(self, penalty: float, start: Doubles, slack: float) -> tuple[Doubles, int, bool]:
        """Weights at the minimum, iterations, and whether it was reached within `slack` times the tolerance."""
        from scipy.optimize import minimize

        curvature = (1 - 1 / self.classes) / self.classes
        # The curvature before the first step; the bias column has variance 1 and no penalty.
        step = 1 / np.sqrt(np.append(curvature * self.variances + penalty, curvature))[:, None]
        shrink = np.append(np.full(len(self.variances), penalty), 0.0)[:, None]

        def objective(flat: Doubles) -> tuple[float, Doubles]:
            weights = flat.reshape(start.shape) * step
            loss, gradient = self._cross_entropy(weights)
            value = loss + 0.5 * float((shrink * weights**2).sum())
            return value, ((gradient + shrink * weights) * step).ravel()

        slope, descent = LARGE_TOLERANCE if self.dtype == np.float32 else TOLERANCE
        options = {"maxiter": ITERATIONS, "maxcor": 10, "gtol": slack * slope, "ftol": descent}
        found = minimize(objective, (start / step).ravel(), jac=True, method="L-BFGS-B", options=options)
        return found.x.reshape(start.shape) * step, int(found.nit), int(found.nit) < ITERATIONS


def _blocks(rows: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """The rows in runs of `BLOCK`."""
    return (rows[first : first + BLOCK] for first in range(0, len(rows), BLOCK))


def _principal(scaled: Turned) -> tuple[Doubles, Doubles]:
    """Variances (R,) and orthogonal axes (D, R) of the R dimensions in which standardised rows (N, D) vary."""
    count, width = scaled.shape
    if width <= count:
        products = sum((block.T @ block).astype(np.float64) for block in _blocks(scaled))
        variances, axes = np.linalg.eigh(products / count)
    else:  # fewer cells than dimensions: the weights lie in the span of the cells
        rows = scaled.astype(np.float64, copy=False)
        variances, left = np.linalg.eigh(rows @ rows.T / count)
        axes = rows.T @ left / np.sqrt(np.maximum(variances, 1e-30) * count)
    keep = variances > 1e-10 * max(float(variances[-1]), 1e-30)
    return variances[keep], axes[:, keep]
