"""The training loop of many linear classifiers at once; `linear.fit_linear` is its public interface.

All lanes take a step together: one batched product (P, K, D + 1) x (P, D + 1, B) gives the logits, one more the
gradient of the mean cross-entropy, (softmax - truth) x / B. The bias is the weight of a column of ones; zero rows,
which add nothing to the gradient, fill short batches. Weights and logits have one row per class: of 60 classes both
products are then an eighth faster than with one column per class.

AdamW moves the weights w by their gradient g at step t with

    m <- b1 m + (1 - b1) g        v <- b2 v + (1 - b2) g^2
    w <- (1 - rate decay) w - rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon)

and is bound by its passes over arrays as large as w. Factors that are numbers need none of their own: with
M = m / (1 - b1), V = v / (1 - b2) and root = sqrt((1 - b2^t) / (1 - b2)) the step is

    size M / (sqrt(V) + epsilon root),    size = rate (1 - b1) / (1 - b1^t) root,

where M <- b1 M + g needs no factor for g. In units that grow as b2^(-t/2), V needs no decay either: for
g' = g b2^(-t/2), M' = M b2^(-t/2) and V' = V b2^(-t)

    M' <- b1 b2^(-1/2) M' + g'        V' <- V' + g'^2        M / (sqrt(V) + e) = M' / (sqrt(V') + e b2^(-t/2)).

g' costs nothing, because the factor joins the 1 / B of the mean. Before the units overflow the moments return to plain
ones (`_rescale`), as they do after every epoch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from campfire.core.random import keyed_generator
from campfire.evaluation.probes.fused import FUSED_FROM, fused_step
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


class Watcher:
    """What one fit monitors while a lane trains; fits with the same training rows watch the same lane."""

    def __init__(self, features: Floats, targets: Rows) -> None:
        """features: (D + 1, M) of the monitored rows; targets: (M,) their classes."""
        self.features, self.targets, self.columns = features, targets, np.arange(len(targets))
        self.monitored: list[float] = []
        self.best_hits, self.best_epoch = -1, 0
        self.best: Floats | None = None
        self.last: Floats | None = None
        """Weights (K, D + 1) of the last epoch; None while the fit trains."""

    def look(self, weights: Floats, patience: int) -> None:
        """Record the accuracy after an epoch, keep the best weights, stop after `patience` epochs without better."""
        # Class by row, (K, M): the maximum over rows is many times faster than an argmax over columns.
        logits = weights @ self.features
        hits = int(np.count_nonzero(logits[self.targets, self.columns] == np.maximum.reduce(logits, axis=0)))
        self.monitored.append(hits / len(self.targets))
        if hits > self.best_hits:
            self.best_hits, self.best_epoch, self.best = hits, len(self.monitored), weights.copy()
        elif len(self.monitored) - self.best_epoch >= patience:
            self.last = weights.copy()


class Trainer:
    """Trains all lanes at once; a lane serves all fits with the same training rows until the last of them stops."""

    def __init__(
        self,
        features: Floats,
        targets: Rows,
        fits: Sequence[Sequence[Fit]],
        classes: int,
        options: ProbeOptions,
        rate: float,
        centre: Floats,
        scale: Floats,
    ) -> None:
        """fits: those of each lane, P in all; features: (N + 1, D + 1), ones and zeros last; centre, scale: (P, D)."""
        self.features, self.targets, self.options, self.rate = features, targets, options, rate
        self.classes, self.width = classes, features.shape[1]
        count, batch = len(fits), options.batch_size
        self.lanes = list(range(count))
        """Number of the lane at each position of the arrays below."""
        self.rngs = [keyed_generator(options.seed) for _ in fits]
        # torch's default for a linear layer: uniform within 1 / sqrt(D), weights and bias.
        bound = 1 / math.sqrt(self.width - 1)
        start = [rng.uniform(-bound, bound, (self.width, classes)).T for rng in self.rngs]
        self.weights = np.stack(start).astype(np.float32, order="C")  # (P, K, D + 1)
        self.moment = np.zeros_like(self.weights)
        self.square = np.zeros_like(self.weights)
        self.train = [group[0].train for group in fits]
        self.steps = [math.ceil(len(rows) / batch) for rows in self.train]
        self.taken = np.zeros(count, np.int64)
        standardised = bool(centre.any() or (scale != 1).any())
        centre = np.pad(centre, ((0, 0), (0, 1)))  # the bias column is unchanged
        scale = np.pad(scale, ((0, 0), (0, 1)), constant_values=1)
        self.watchers: list[list[Watcher]] = []
        gathered: dict[tuple[int, int], tuple[Floats, Rows]] = {}
        for lane, group in enumerate(fits):
            for fit in group:  # fits that monitor the same rows on the same scale share one copy
                key = (id(fit.monitor), lane * standardised)
                if key not in gathered:
                    rows = features[fit.monitor]
                    if standardised:
                        rows = (rows - centre[lane]) / scale[lane]
                    gathered[key] = (np.ascontiguousarray(rows.T), targets[fit.monitor])
            self.watchers.append([Watcher(*gathered[id(fit.monitor), lane * standardised]) for fit in group])
        if standardised:
            self._standardise(centre, scale)
        self.fused = fused_step() if self.weights.size * max(self.steps) * options.epochs > FUSED_FROM else None
        self._allocate()

    def _standardise(self, centre: Floats, scale: Floats) -> None:
        """Give each lane its own copy of its training rows, standardised once instead of in every epoch."""
        rows = np.concatenate([*self.train, [len(self.features) - 1]])
        copy = np.zeros((len(rows), self.width), np.float32)
        start = 0
        for lane, train in enumerate(self.train):
            stop = start + len(train)
            np.subtract(self.features[train], centre[lane], out=copy[start:stop])
            np.divide(copy[start:stop], scale[lane], out=copy[start:stop])
            self.train[lane] = np.arange(start, stop)
            start = stop
        self.features, self.targets = copy, self.targets[rows]

    def _allocate(self) -> None:
        """Allocate working arrays for the present lanes, and the optimiser's blocks."""
        lanes, batch = len(self.lanes), self.options.batch_size
        self.gradient = np.empty_like(self.weights)
        self.update = np.empty_like(self.weights)
        self.logits = np.empty((lanes, self.classes, batch), np.float32)
        self.sums = np.empty((lanes, 1, batch), np.float32)
        self.inverse = np.empty_like(self.sums)
        self.flat = self.logits.reshape(-1)
        self.ones = np.ones((1, self.classes), np.float32)
        self.chunk = max(1, GATHER_BYTES // (lanes * batch * self.width * 4))
        self.gather = np.empty((lanes, self.chunk * batch, self.width), np.float32)
        arrays = (self.weights, self.moment, self.square, self.gradient, self.update)
        size = self.width * self.classes
        flat = [a.reshape(lanes, size) for a in arrays]
        self.by_lane = flat[:4]
        if lanes * size <= BLOCK_FLOATS:
            self.blocks: list[list[Arrays]] = []
        else:
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
            finished = []
            for position, lane in enumerate(self.lanes):
                waiting = [watcher for watcher in self.watchers[lane] if watcher.last is None]
                for watcher in waiting:
                    watcher.look(self.weights[position], self.options.patience)
                    if epoch + 1 == self.options.epochs and watcher.last is None:
                        watcher.last = self.weights[position].copy()
                if all(watcher.last is not None for watcher in waiting):
                    finished.append(position)
            if len(finished) == len(self.lanes):
                return
            if finished:
                self._drop(finished)

    def _drop(self, finished: list[int]) -> None:
        keep = [i for i in range(len(self.lanes)) if i not in finished]
        self.lanes = [self.lanes[i] for i in keep]
        self.weights, self.moment, self.square = self.weights[keep], self.moment[keep], self.square[keep]
        self.taken = self.taken[keep]
        self._allocate()

    def _epoch(self, rate: float) -> None:
        """Train one epoch of every lane at learning rate `rate`."""
        options, batch = self.options, self.options.batch_size
        steps = [self.steps[lane] for lane in self.lanes]
        most, least = max(steps), min(steps)
        rows = np.full((len(self.lanes), most * batch), len(self.features) - 1, np.intp)
        share = np.full((most, len(self.lanes), 1), 1 / batch)
        for position, lane in enumerate(self.lanes):
            train = self.train[lane]
            rows[position, : len(train)] = train[self.rngs[lane].permutation(len(train))]
            share[steps[position] - 1, position, 0] = 1 / (len(train) - (steps[position] - 1) * batch)
        # Position of each row's own class in the flattened logits, by step.
        own = self.targets[rows].reshape(len(self.lanes), most, batch).transpose(1, 0, 2)
        before = np.arange(len(self.lanes))[:, None] * self.classes
        own = np.ascontiguousarray((own + before) * batch + np.arange(batch))

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
            np.take(self.features, rows[:, first * batch : stop * batch], axis=0, out=gathered, mode="clip")
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
        np.matmul(weights, x.transpose(0, 2, 1), out=logits)
        np.exp(logits, out=logits)
        np.matmul(self.ones, logits, out=sums)
        inverse = np.divide(share, sums, out=self.inverse[:lanes])
        # Subtracting each row's maximum matters only where exp nears the limits of float32, which is rare.
        if not (_in_range(sums) and _in_range(inverse)):
            self._exp_by_maximum(x, weights, share, logits, sums, inverse)
        np.multiply(logits, inverse, out=logits)
        self.flat[own] -= share if isinstance(share, np.float32) else share[:, :, 0]
        np.matmul(logits, x, out=gradient)

    def _exp_by_maximum(
        self, x: Floats, weights: Floats, share: Floats | np.float32, logits: Floats, sums: Floats, inverse: Floats
    ) -> None:
        """Recompute softmax terms with the maximum subtracted in the lanes that need it; others keep their bytes."""
        shares = np.broadcast_to(share, (len(x), 1, 1))
        for lane in range(len(x)):
            if not (_in_range(sums[lane]) and _in_range(inverse[lane])):
                values = weights[lane] @ x[lane].T
                logits[lane] = np.exp(values - values.max(axis=0))
                sums[lane] = self.ones @ logits[lane]
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
        if self.fused is not None:
            weights, moment, square, gradient = (a[:lanes] for a in self.by_lane)
            sizes = np.full(lanes, np.reshape(size, -1), np.float32)
            offsets = np.full(lanes, np.reshape(offset, -1), np.float32)
            self.fused(weights, moment, square, gradient, sizes, offsets, momentum, decay)
            return
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
