"""Multinomial logistic regression to convergence: a probe that depends on neither scale nor learning rate.

The loss is the mean cross-entropy of the training cells plus half the penalty times the squared weights; the bias is
not penalised. Dimensions are first centred and scaled by the training cells, so units do not matter, and the problem is
convex, so its one minimum does not depend on the path. Only the penalty remains to be chosen, on wells that are not
scored: penalties are tried from the strongest to the weakest of `PENALTIES`, each fit starting where a straight line
through the two before it leads (their penalties have equal ratios), and the one with the lowest cross-entropy on the
monitored wells is kept. Where these are training wells (held-out task), the classifier is then trained on all training
wells with that penalty, starting from the weights kept.

For speed the problem is rotated onto the principal components of the training cells, and each component is scaled by
the initial curvature of the cross-entropy. The minimum is the same, and L-BFGS needs some ten iterations instead of
hundreds. Logits are computed with one row per class, for blocks of cells: reductions over classes are then sums of
whole rows, and a block is still in the cache when its derivative is multiplied with it.
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
WORSE = 2  # so many weaker penalties in a row without a better cross-entropy end the search
LARGE = 1 << 22  # numbers in the training cells; see `_Problem`
TOLERANCE, LARGE_TOLERANCE = 1e-6, 1e-5  # of the largest gradient, on the scale of the rotated problem
TRIED = 3  # times this tolerance for a penalty that is only tried: the fit is repeated with more cells
ITERATIONS = 3000
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
    scale = rows.std(axis=0, dtype=np.float64)
    varies = scale > 1e-6 * np.abs(centre)
    return centre, np.where(varies, scale, 1.0)


def fit_logistic(
    features: Floats, labels: NDArray[np.integer[Any]], fit: Fit, classes: int, penalties: Sequence[float] = PENALTIES
) -> LogisticFit:
    """Train one classifier: features (N, D) float32, labels (N,) class index, `fit` the rows of it.

    The penalty is chosen by the cross-entropy of `fit.monitor`; with `fit.refit` the final fit includes these rows.
    """
    problem = _Problem(features[fit.train], labels[fit.train], classes)
    watched, truth = problem.turn(features[fit.monitor]), labels[fit.monitor]
    best, best_loss, worse, iterations, converged = penalties[0], np.inf, 0, 0, True
    kept = before = weights = problem.start()
    for penalty in penalties:
        start = 2 * weights - before
        before = weights
        weights, steps, done = problem.minimise(penalty, start, TRIED if fit.refit else 1)
        iterations, converged = iterations + steps, converged and done
        loss = problem.loss(watched, truth, weights)
        if loss < best_loss - MARGIN:
            best, best_loss, worse, kept = penalty, loss, 0, weights
        else:
            worse += 1
        if worse == WORSE:
            break
    if fit.refit:
        rows = np.concatenate([fit.train, fit.monitor])
        refit = _Problem(features[rows], labels[rows], classes)
        kept, steps, done = refit.minimise(best, refit.translated(problem, kept))
        problem = refit
        iterations, converged = iterations + steps, converged and done
    weight, bias = problem.plain(kept)
    return LogisticFit(weight, bias, problem.centre, problem.scale, best, iterations, converged)


class _Problem:
    """The training cells of one fit, standardised and rotated onto their principal components."""

    def __init__(self, rows: Floats, labels: NDArray[np.integer[Any]], classes: int) -> None:
        self.labels, self.classes = np.asarray(labels, np.intp), classes
        self.centre, self.scale = standardisation(rows)
        scaled = self._standardise(rows)
        count, width = scaled.shape
        if width <= count:
            variances, self.axes = np.linalg.eigh(scaled.T @ scaled / count)
        else:  # fewer cells than dimensions: the weights lie in the span of the cells
            variances, left = np.linalg.eigh(scaled @ scaled.T / count)
            self.axes = scaled.T @ left / np.sqrt(np.maximum(variances, 1e-30) * count)
        keep = variances > 1e-10 * max(float(variances[-1]), 1e-30)
        self.variances, self.axes = variances[keep], self.axes[:, keep]  # (R,), (D, R)
        # Single precision suffices for large problems, whose minimum many cells determine, and is twice as fast.
        self.dtype: type[np.floating[Any]] = np.float32 if count * len(self.variances) > LARGE else np.float64
        self.features = self._rotate(scaled)  # (N, R)

    def _standardise(self, rows: Floats) -> Doubles:
        return (rows - self.centre) / self.scale

    def _rotate(self, scaled: Doubles) -> Turned:
        return np.asarray(scaled.astype(self.dtype) @ self.axes.astype(self.dtype))

    def turn(self, rows: Floats) -> Turned:
        """Rows (M, D) in the coordinates of `features`: (M, R)."""
        return self._rotate(self._standardise(rows))

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
        """Mean cross-entropy of rotated rows."""
        blocks = self._by_logit(features, np.asarray(labels, np.intp), weights)
        return sum(loss for loss, _, _ in blocks) / len(features)

    def _by_logit(self, features: Turned, labels: Rows, weights: Doubles) -> Iterator[tuple[float, Turned, Turned]]:
        """For each block of B rows: the sum of their cross-entropy, its derivative by the logits (K, B), the rows."""
        slopes, bias = weights[:-1].T.astype(self.dtype, order="C"), weights[-1][:, None].astype(self.dtype)
        for first in range(0, len(features), BLOCK):
            rows, truth = features[first : first + BLOCK], labels[first : first + BLOCK]
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
        loss, gradient = 0.0, np.zeros(weights.shape[::-1])
        for part, by_logit, rows in self._by_logit(self.features, self.labels, weights):
            loss += part
            gradient[:, :-1] += by_logit @ rows
            gradient[:, -1] += by_logit.sum(axis=1, dtype=np.float64)
        return loss / len(self.labels), gradient.T / len(self.labels)

    def minimise(self, penalty: float, start: Doubles, slack: float = 1) -> tuple[Doubles, int, bool]:
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

        tolerance, ftol = (LARGE_TOLERANCE, 1e-9) if self.dtype == np.float32 else (TOLERANCE, 1e-13)
        options = {"maxiter": ITERATIONS, "maxcor": 10, "gtol": slack * tolerance, "ftol": ftol}
        found = minimize(objective, (start / step).ravel(), jac=True, method="L-BFGS-B", options=options)
        return found.x.reshape(start.shape) * step, int(found.nit), int(found.nit) < ITERATIONS
