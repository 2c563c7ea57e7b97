"""The training loop of many linear classifiers at once; `linear.fit_linear` is its public interface."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from campfire.core.random import keyed_generator
from campfire.evaluation.probes.options import ProbeOptions

Floats = NDArray[np.float32]
Rows = NDArray[np.intp]
Arrays = tuple[Floats, ...]

GATHER_BYTES = 1 << 19  # steps whose rows are gathered at once: few calls that still fit the cache
GROWTH_LIMIT = 1e4  # largest unit of the second moment before it is rescaled
BLOCK_FLOATS = 1 << 15  # the optimiser updates larger layers in blocks whose five arrays fit the cache


@dataclass(frozen=True)
class Fit:
    """Rows of one classifier."""

    train: Rows
    """Rows trained on."""
    monitor: Rows
    """Rows whose accuracy stops training and selects the best epoch, or whose loss selects the penalty."""
    refit: bool = False
    """Whether the monitored rows are training wells, which the final fit includes once the penalty is chosen."""


class Trainer:
    """Trains all fits at once; a lane is a fit that has not stopped, and its position in all arrays."""

    def __init__(
        self,
        features: Floats,
        targets: Rows,
        fits: Sequence[Fit],
        classes: int,
        options: ProbeOptions,
        rate: float,
        centre: Floats,
        scale: Floats,
    ) -> None:
        """features: (N + 1, D + 1), a column of ones and a row of zeros last; centre and scale (P, D)."""
        self.features, self.targets, self.fits, self.options, self.rate = features, targets, fits, options, rate
        self.classes, self.width = classes, features.shape[1]
        count, batch = len(fits), options.batch_size
        self.lanes = list(range(count))
        self.rngs = [keyed_generator(options.seed) for _ in fits]
        # torch's default for a linear layer: uniform within 1 / sqrt(D), weights and bias.
        bound = 1 / math.sqrt(self.width - 1)
        start = [rng.uniform(-bound, bound, (self.width, classes)) for rng in self.rngs]
        self.weights = np.stack(start).astype(np.float32)  # (P, D + 1, K)
        self.moment = np.zeros_like(self.weights)
        self.square = np.zeros_like(self.weights)
        self.steps = [math.ceil(len(fit.train) / batch) for fit in fits]
        self.taken = np.zeros(count, np.int64)
        self.last = np.empty_like(self.weights)
        self.best = np.empty_like(self.weights)
        self.best_epoch = [0] * count
        self.best_hits = [-1] * count
        self.monitored: list[list[float]] = [[] for _ in fits]
        self.standardised = bool(centre.any() or (scale != 1).any())
        self.centre = np.pad(centre, ((0, 0), (0, 1)))[:, None]  # (P, 1, D + 1); the bias column is unchanged
        self.scale = np.pad(scale, ((0, 0), (0, 1)), constant_values=1)[:, None]
        gathered: dict[tuple[int, int], tuple[Floats, Rows, Rows]] = {}
        keys = [(id(fit.monitor), lane * self.standardised) for lane, fit in enumerate(fits)]
        for lane, fit in enumerate(fits):  # fits that monitor the same rows on the same scale share one copy
            if keys[lane] not in gathered:
                rows = features[fit.monitor]
                if self.standardised:
                    rows = (rows - self.centre[lane]) / self.scale[lane]
                watched = np.ascontiguousarray(rows.T)
                gathered[keys[lane]] = (watched, targets[fit.monitor], np.arange(len(fit.monitor)))
        self.watched = [gathered[key] for key in keys]
        self._allocate()

    def _allocate(self) -> None:
        """Allocate working arrays for the present lanes, and the optimiser's blocks."""
        lanes, batch = len(self.lanes), self.options.batch_size
        self.gradient = np.empty_like(self.weights)
        self.update = np.empty_like(self.weights)
        self.logits = np.empty((lanes, batch, self.classes), np.float32)
        self.sums = np.empty((lanes, batch, 1), np.float32)
        self.inverse = np.empty_like(self.sums)
        self.flat = self.logits.reshape(-1)
        self.ones = np.ones((self.classes, 1), np.float32)
        self.chunk = max(1, GATHER_BYTES // (lanes * batch * self.width * 4))
        self.gather = np.empty((lanes, self.chunk * batch, self.width), np.float32)
        arrays = (self.weights, self.moment, self.square, self.gradient, self.update)
        size = self.width * self.classes
        if lanes * size <= BLOCK_FLOATS:
            self.blocks: list[list[Arrays]] = []
        else:
            flat = [a.reshape(lanes, size) for a in arrays]
            self.blocks = [
                [tuple(a[lane, i : i + BLOCK_FLOATS] for a in flat) for i in range(0, size, BLOCK_FLOATS)]
                for lane in range(lanes)
            ]

    def run(self) -> None:
        """Train until every fit has stopped."""
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # looked for, see `_in_range`
            self._run()

    def _run(self) -> None:
        for epoch in range(self.options.epochs):
            rate = self.rate * self.options.gamma ** (epoch // self.options.step_size)
            self._epoch(rate)
            finished = self._watch(epoch)
            if epoch + 1 == self.options.epochs:
                finished = list(range(len(self.lanes)))
            for position in finished:
                self.last[self.lanes[position]] = self.weights[position]
            if len(finished) == len(self.lanes):
                return
            if finished:
                self._drop(finished)

    def _watch(self, epoch: int) -> list[int]:
        """Record accuracy on the monitored rows; return the positions of the lanes that stop."""
        finished = []
        for position, fit in enumerate(self.lanes):
            features, targets, columns = self.watched[fit]
            # Class by row, (K, M): the maximum over rows is many times faster than an argmax over columns.
            logits = self.weights[position].T @ features
            hits = int(np.count_nonzero(logits[targets, columns] == np.maximum.reduce(logits, axis=0)))
            self.monitored[fit].append(hits / len(targets))
            if hits > self.best_hits[fit]:
                self.best_hits[fit], self.best_epoch[fit] = hits, epoch + 1
                self.best[fit] = self.weights[position]
            elif epoch + 1 - self.best_epoch[fit] >= self.options.patience:
                finished.append(position)
        return finished

    def _drop(self, finished: list[int]) -> None:
        keep = [i for i in range(len(self.lanes)) if i not in finished]
        self.lanes = [self.lanes[i] for i in keep]
        self.weights, self.moment, self.square = self.weights[keep], self.moment[keep], self.square[keep]
        self.taken = self.taken[keep]
        self.centre, self.scale = self.centre[keep], self.scale[keep]
        self._allocate()

    def _epoch(self, rate: float) -> None:
        """Train one epoch of every lane at learning rate `rate`."""
        options, batch = self.options, self.options.batch_size
        steps = [self.steps[fit] for fit in self.lanes]
        most, least = max(steps), min(steps)
        rows = np.full((len(self.lanes), most * batch), len(self.features) - 1, np.intp)
        share = np.full((most, len(self.lanes), 1), 1 / batch)
        for position, fit in enumerate(self.lanes):
            train = self.fits[fit].train
            rows[position, : len(train)] = train[self.rngs[fit].permutation(len(train))]
            share[steps[position] - 1, position, 0] = 1 / (len(train) - (steps[position] - 1) * batch)
        # Position of each row's own class in the flattened logits, by step.
        own = self.targets[rows].reshape(len(self.lanes), most, batch).transpose(1, 0, 2)
        own = np.ascontiguousarray(own + np.arange(len(self.lanes) * batch).reshape(1, -1, batch) * self.classes)

        beta1, beta2 = options.betas
        # AdamW with both moments kept unscaled, and the second in units that grow by 1 / beta2 a step, so that
        # its decay needs no separate pass: the gradient is scaled instead, at no cost.
        restart = max(1, int(math.log(GROWTH_LIMIT) / -math.log(beta2)))
        growth = beta2 ** (-0.5 * (1 + np.arange(most) % restart))
        time = self.taken + np.arange(1, most + 1)[:, None]  # (steps, P)
        root = np.sqrt((1 - beta2**time) / (1 - beta2))
        size = (rate * (1 - beta1) / (1 - beta1**time) * root).astype(np.float32)
        offset = (options.epsilon * root * growth[:, None]).astype(np.float32)
        share = (share * growth[:, None, None]).astype(np.float32)
        momentum = np.float32(beta1 * beta2**-0.5)
        decay = np.float32(1 - rate * options.weight_decay)
        # Fits of equal length share one number, which numpy applies twice as fast.
        level = least == most and len(set(self.taken.tolist())) == 1

        for first in range(0, most, self.chunk):
            stop = min(first + self.chunk, most)
            gathered = self.gather[:, : (stop - first) * batch]
            # Indices are within bounds by construction; "clip" only spares numpy a buffered copy.
            chosen = rows[:, first * batch : stop * batch]
            np.take(self.features, chosen, axis=0, out=gathered, mode="clip")
            if self.standardised:
                np.subtract(gathered, self.centre, out=gathered)
                np.divide(gathered, self.scale, out=gathered)
                gathered[chosen == len(self.features) - 1] = 0  # padding has no effect
            for step in range(first, stop):
                active = len(steps) if step < least else sum(count > step for count in steps)
                if step and step % restart == 0:
                    self._rescale(slice(active), np.full(active, growth[restart - 1]))
                x = gathered[:active, (step - first) * batch : (step - first + 1) * batch]
                if level and step < most - 1:
                    self._gradient(x, own[step], share[step, 0, 0])
                    self._adamw(active, size[step, 0], offset[step, 0], momentum, decay)
                else:
                    lanes = (slice(active), None, None)
                    self._gradient(x, own[step, :active], share[step, :active, None])
                    self._adamw(active, size[step][lanes], offset[step][lanes], momentum, decay)
        self._rescale(slice(None), growth[np.array(steps) - 1])
        self.taken += steps

    def _rescale(self, lanes: slice, growth: NDArray[np.float64]) -> None:
        """Rescale the moments of `lanes` to plain units."""
        self.moment[lanes] *= (1 / growth).astype(np.float32)[:, None, None]
        self.square[lanes] *= (1 / growth**2).astype(np.float32)[:, None, None]

    def _gradient(self, x: Floats, own: Rows, share: Floats | np.float32) -> None:
        """Gradient of the scaled cross-entropy of the first P lanes: x (P, B, D + 1), own (P, B), share (P, 1, 1)."""
        lanes = len(x)
        weights, gradient, logits, sums = self.weights, self.gradient, self.logits, self.sums
        if lanes < len(weights):
            weights, gradient, logits, sums = weights[:lanes], gradient[:lanes], logits[:lanes], sums[:lanes]
        np.matmul(x, weights, out=logits)
        np.exp(logits, out=logits)
        np.matmul(logits, self.ones, out=sums)
        inverse = np.divide(share, sums, out=self.inverse[:lanes])
        # Subtracting each row's maximum matters only where exp nears the limits of float32, which is rare.
        if not (_in_range(sums) and _in_range(inverse)):
            self._exp_by_maximum(x, weights, share, logits, sums, inverse)
        np.multiply(logits, inverse, out=logits)
        self.flat[own] -= share if isinstance(share, np.float32) else share[:, :, 0]
        np.matmul(x.transpose(0, 2, 1), logits, out=gradient)

    def _exp_by_maximum(
        self, x: Floats, weights: Floats, share: Floats | np.float32, logits: Floats, sums: Floats, inverse: Floats
    ) -> None:
        """Recompute softmax terms with the maximum subtracted in the lanes that need it; others keep their bytes."""
        shares = np.broadcast_to(share, (len(x), 1, 1))
        for lane in range(len(x)):
            if not (_in_range(sums[lane]) and _in_range(inverse[lane])):
                values = x[lane] @ weights[lane]
                logits[lane] = np.exp(values - values.max(axis=1, keepdims=True))
                sums[lane] = logits[lane] @ self.ones
                inverse[lane] = shares[lane] / sums[lane]

    def _adamw(
        self,
        lanes: int,
        size: Floats | np.float32,
        offset: Floats | np.float32,
        momentum: np.float32,
        decay: np.float32,
    ) -> None:
        """Update the first `lanes` lanes; size and offset are one number or one per lane (P, 1, 1)."""
        if not self.blocks:
            arrays: Arrays = (self.weights, self.moment, self.square, self.gradient, self.update)
            if lanes < len(self.weights):
                arrays = tuple(a[:lanes] for a in arrays)
            _update(arrays, size, offset, momentum, decay)
            return
        for lane in range(lanes):
            own_size = size[lane, 0, 0] if isinstance(size, np.ndarray) else size
            own_offset = offset[lane, 0, 0] if isinstance(offset, np.ndarray) else offset
            for block in self.blocks[lane]:
                _update(block, own_size, own_offset, momentum, decay)


def _in_range(values: Floats) -> bool:
    """Whether no value is far from 1; a dot product overflows otherwise and costs less than a minimum and maximum."""
    flat = values.reshape(-1)
    return math.isfinite(np.dot(flat, flat))


def _update(
    arrays: Arrays,
    size: Floats | np.float32,
    offset: Floats | np.float32,
    momentum: np.float32,
    decay: np.float32,
) -> None:
    """AdamW in place on weights, both moments, gradient and working space, all of one shape."""
    weights, moment, square, gradient, update = arrays
    np.multiply(moment, momentum, out=moment)
    np.add(moment, gradient, out=moment)
    np.multiply(gradient, gradient, out=gradient)
    np.add(square, gradient, out=square)
    np.sqrt(square, out=update)
    np.add(update, offset, out=update)
    np.divide(moment, update, out=update)
    np.multiply(update, size, out=update)
    np.multiply(weights, decay, out=weights)
    np.subtract(weights, update, out=weights)
