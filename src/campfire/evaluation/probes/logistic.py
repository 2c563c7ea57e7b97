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
hundreds.
"""

from collections.abc import Sequence
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
ITERATIONS = 3000


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
        weights, steps, done = problem.minimise(penalty, start)
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
        turned = scaled @ self.axes
        # Single precision suffices for large problems, whose minimum many cells determine, and is twice as fast.
        self.features = turned.astype(np.float32) if turned.size > LARGE else turned  # (N, R)

    def _standardise(self, rows: Floats) -> Doubles:
        return (rows - self.centre) / self.scale

    def turn(self, rows: Floats) -> Turned:
        """Rows (M, D) in the coordinates of `features`: (M, R)."""
        return np.asarray(self._standardise(rows) @ self.axes, self.features.dtype)

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
        return self._cross_entropy(features, np.asarray(labels, np.intp), weights)[0]

    def _cross_entropy(self, features: Turned, labels: Rows, weights: Doubles) -> tuple[float, Turned]:
        """Mean cross-entropy, and its derivative by the logits (N, K)."""
        logits = features @ weights[:-1].astype(features.dtype) + weights[-1].astype(features.dtype)
        logits -= logits.max(axis=1, keepdims=True)
        every = np.arange(len(labels))
        own = logits[every, labels].astype(np.float64)
        np.exp(logits, out=logits)
        sums = logits.sum(axis=1, keepdims=True)
        loss = float((np.log(sums[:, 0], dtype=np.float64) - own).mean())
        logits /= sums
        logits[every, labels] -= 1
        logits /= len(labels)
        return loss, logits

    def minimise(self, penalty: float, start: Doubles) -> tuple[Doubles, int, bool]:
        """Weights at the minimum, iterations, and whether it was reached."""
        from scipy.optimize import minimize

        curvature = (1 - 1 / self.classes) / self.classes
        # The curvature before the first step; the bias column has variance 1 and no penalty.
        step = 1 / np.sqrt(np.append(curvature * self.variances + penalty, curvature))[:, None]
        shrink = np.append(np.full(len(self.variances), penalty), 0.0)[:, None]

        def objective(flat: Doubles) -> tuple[float, Doubles]:
            weights = flat.reshape(start.shape) * step
            loss, by_logit = self._cross_entropy(self.features, self.labels, weights)
            gradient = np.concatenate([self.features.T @ by_logit, by_logit.sum(axis=0, keepdims=True)])
            value = loss + 0.5 * float((shrink * weights**2).sum())
            return value, ((gradient + shrink * weights) * step).ravel()

        single = self.features.dtype == np.float32
        tolerances = {"gtol": LARGE_TOLERANCE, "ftol": 1e-9} if single else {"gtol": TOLERANCE, "ftol": 1e-13}
        options = {"maxiter": ITERATIONS, "maxcor": 10, **tolerances}
        found = minimize(objective, (start / step).ravel(), jac=True, method="L-BFGS-B", options=options)
        return found.x.reshape(start.shape) * step, int(found.nit), int(found.nit) < ITERATIONS
