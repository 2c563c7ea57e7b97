"""The classifiers of the probes: the release's, many side by side as one batched problem, and logistic regression.

Each fit of `fit_linear` is the classifier of the authors' released code: a linear layer with torch's default
initialisation, cross-entropy, AdamW, a stepwise learning rate, shuffled mini-batches and early stopping on accuracy.
One step of all fits is one batched matrix product forward and one backward, which shares the overhead of small
products. Fits are independent: each has its own random generator, row order, optimiser state and stopping, leaves the
batch when it stops, and ends with the same bytes as when trained alone. The other classifier is in `logistic`.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from campfire.core.errors import DataError
from campfire.evaluation.probes.logistic import fit_logistic, standardisation
from campfire.evaluation.probes.options import RELEASE_RATE, ProbeOptions, Protocol
from campfire.evaluation.probes.trainer import Fit, Trainer, Watcher

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class LinearFits:
    """F trained classifiers of D features and K classes, standardised where `centre` is not 0."""

    last_weight: Floats
    """(F, K, D) after the last epoch."""
    last_bias: Floats
    """(F, K) after the last epoch."""
    best_weight: Floats
    """(F, K, D) of the first epoch with the highest monitored accuracy."""
    best_bias: Floats
    """(F, K) of that epoch."""
    epochs: NDArray[np.int64]
    """(F,) epochs trained."""
    best_epoch: NDArray[np.int64]
    """(F,) best epoch, counted from 1."""
    monitored: list[NDArray[np.float64]]
    """F arrays: accuracy on the monitored rows after each epoch; empty for logistic regression."""
    centre: Floats
    """(F, D) subtracted from the features; 0 without standardisation."""
    scale: Floats
    """(F, D) divisor of the centred features."""
    penalty: NDArray[np.float64]
    """(F,) penalty of logistic regression, nan for the release's classifier."""
    finished: NDArray[np.bool_]
    """(F,) whether training converged: accuracy had stopped rising, or the minimum was reached."""

    def weights(self, which: str) -> tuple[Floats, Floats]:
        """Weight and bias of the `last` or the `best` epoch."""
        return (self.best_weight, self.best_bias) if which == "best" else (self.last_weight, self.last_bias)

    def predict(self, fit: int, embeddings: Floats, which: str) -> NDArray[np.intp]:
        """Class of each row (N, D) under one classifier: (N,)."""
        weight, bias = self.weights(which)
        rows = embeddings
        if self.centre[fit].any() or (self.scale[fit] != 1).any():
            rows = (embeddings - self.centre[fit]) / self.scale[fit]
        return predict(rows, weight[fit], bias[fit])

    def part(self, start: int, stop: int) -> "LinearFits":
        """Fits `start` to `stop`, the latter excluded."""
        return LinearFits(**{name: value[start:stop] for name, value in vars(self).items()})


def predict(embeddings: Floats, weight: Floats, bias: Floats) -> NDArray[np.intp]:
    """Class index of each row under each classifier.

    embeddings (N, D), weight (F, K, D) or (K, D), bias (F, K) or (K,) -> (F, N) or (N,) class index.
    """
    if weight.ndim == 2:
        return np.argmax(embeddings @ weight.T + bias, axis=1)
    return np.stack([predict(embeddings, w, b) for w, b in zip(weight, bias, strict=True)])


def fit_probe(
    embeddings: Floats,
    labels: NDArray[np.integer[Any]],
    fits: Sequence[Fit],
    classes: int,
    protocol: Protocol,
    options: ProbeOptions,
) -> LinearFits:
    """Train the classifier of `protocol` for each of `fits`; arguments as for `fit_linear`.

    A learning rate that is null in the options follows from the number of steps (`ProbeOptions.with_rate`).
    """
    if protocol.classifier == "logistic":
        return _fit_logistic(embeddings, labels, fits, classes, options)
    own = options.with_rate([len(fit.train) for fit in fits])
    return fit_linear(embeddings, labels, fits, classes, own, options.standardises(protocol))


def fit_linear(
    embeddings: Floats,
    labels: NDArray[np.integer[Any]],
    fits: Sequence[Fit],
    classes: int,
    options: ProbeOptions | None = None,
    standardise: bool | None = None,
) -> LinearFits:
    """Train the release's classifier for each of `fits`, all at once.

    embeddings: (N, D) float32, not scaled (as in the release) unless `standardise` (default: as in the options) is
    true, which centres and scales every dimension by the training rows of each fit.
    labels: (N,) class index, 0 to classes - 1.
    Source: `paper` section 3.2; optimiser, schedule, batches, stopping: authors' released code.
    Raises DataError when a fit has no rows or an embedding is not finite.
    """
    options = options or ProbeOptions()
    _check(embeddings, fits)
    dim = embeddings.shape[1]
    features, targets = _padded(embeddings, labels)
    centre, scale = np.zeros((len(fits), dim), np.float32), np.ones((len(fits), dim), np.float32)
    if options.standardise if standardise is None else standardise:
        for number, fit in enumerate(fits):
            centre[number], scale[number] = standardisation(embeddings[fit.train])
    rate = options.learning_rate or RELEASE_RATE
    done = _train(features, targets, fits, classes, options, rate, centre, scale)
    last = np.stack([watcher.last for watcher in done if watcher.last is not None])
    best = np.stack([watcher.best for watcher in done if watcher.best is not None])
    monitored = [np.array(watcher.monitored) for watcher in done]
    epochs, best_epoch = np.array([len(m) for m in monitored]), np.array([watcher.best_epoch for watcher in done])
    return LinearFits(
        last_weight=np.ascontiguousarray(last[:, :, :dim]),
        last_bias=last[:, :, dim].copy(),
        best_weight=np.ascontiguousarray(best[:, :, :dim]),
        best_bias=best[:, :, dim].copy(),
        epochs=epochs,
        best_epoch=best_epoch,
        monitored=monitored,
        centre=centre,
        scale=scale,
        penalty=np.full(len(fits), np.nan),
        finished=best_epoch < epochs,
    )


def _train(
    features: Floats,
    targets: NDArray[np.intp],
    fits: Sequence[Fit],
    classes: int,
    options: ProbeOptions,
    rate: float,
    centre: Floats,
    scale: Floats,
) -> list[Watcher]:
    """Train all fits on `options.threads` threads; centre and scale (F, D). The end of each fit, in their order."""
    from threadpoolctl import threadpool_limits

    # Longest first: the fits with a batch left at the end of an epoch then form a leading slice.
    lanes = sorted(_lanes(fits), key=lambda lane: -len(fits[lane[0]].train))
    groups = [lanes[i :: options.threads] for i in range(min(options.threads, len(lanes)))]
    with threadpool_limits(1), ThreadPoolExecutor(len(groups)) as pool:
        trainers = []
        for group in groups:
            own, first = [[fits[i] for i in lane] for lane in group], [lane[0] for lane in group]
            trainers.append(Trainer(features, targets, own, classes, options, rate, centre[first], scale[first]))
        if len(trainers) == 1:
            trainers[0].run()
        else:
            list(pool.map(Trainer.run, trainers))
    found = {
        number: watcher
        for trainer, group in zip(trainers, groups, strict=True)
        for lane, watchers in zip(group, trainer.watchers, strict=True)
        for number, watcher in zip(lane, watchers, strict=True)
    }
    return [found[number] for number in range(len(fits))]


def _lanes(fits: Sequence[Fit]) -> list[list[int]]:
    """Numbers of fits, grouped by identical training rows in the same order: each group is trained once."""
    lanes: dict[bytes, list[int]] = {}
    for number, fit in enumerate(fits):
        lanes.setdefault(np.ascontiguousarray(fit.train, np.intp).tobytes(), []).append(number)
    return list(lanes.values())


def _padded(embeddings: Floats, labels: NDArray[np.integer[Any]]) -> tuple[Floats, NDArray[np.intp]]:
    """Features (N + 1, D + 1) and classes (N + 1,) as `Trainer` takes them."""
    n, dim = embeddings.shape
    # A column of ones is the bias; a last row of zeros pads short batches without touching the gradient.
    features = np.zeros((n + 1, dim + 1), np.float32)
    features[:n, :dim] = embeddings
    features[:n, dim] = 1
    targets = np.zeros(n + 1, np.intp)
    targets[:n] = labels
    return features, targets


def _fit_logistic(
    embeddings: Floats, labels: NDArray[np.integer[Any]], fits: Sequence[Fit], classes: int, options: ProbeOptions
) -> LinearFits:
    """Logistic regression of every fit; iterations are reported as epochs, and last and best weights are the same."""
    import scipy.optimize  # noqa: F401  before the limit, which only reaches libraries that are loaded
    from threadpoolctl import threadpool_limits

    _check(embeddings, fits)
    with threadpool_limits(1), ThreadPoolExecutor(min(options.threads, len(fits))) as pool:
        found = list(pool.map(lambda fit: fit_logistic(embeddings, labels, fit, classes), fits))
    weight = np.stack([fit.weight for fit in found]).astype(np.float32)
    bias = np.stack([fit.bias for fit in found]).astype(np.float32)
    iterations = np.array([fit.iterations for fit in found])
    return LinearFits(
        *(weight, bias, weight, bias, iterations, iterations),
        monitored=[np.empty(0) for _ in found],
        centre=np.stack([fit.centre for fit in found]).astype(np.float32),
        scale=np.stack([fit.scale for fit in found]).astype(np.float32),
        penalty=np.array([fit.penalty for fit in found]),
        finished=np.array([fit.converged for fit in found]),
    )


def _check(embeddings: Floats, fits: Sequence[Fit]) -> None:
    if not fits:
        raise DataError("probes: no fits were requested")
    for number, fit in enumerate(fits):
        if len(fit.train) == 0 or len(fit.monitor) == 0:
            empty = "training" if len(fit.train) == 0 else "early-stopping"
            raise DataError(f"probes: fit {number} has no {empty} cells; sample more cells or use fewer subsets")
    if not np.isfinite(embeddings).all():
        raise DataError("probes: embeddings hold values that are not finite; embed these plates again")
