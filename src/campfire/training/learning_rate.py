"""The learning rate: linear warm-up, then a cosine, both by optimiser step."""

from dataclasses import dataclass
from math import cos, pi

from campfire.training.options import PretrainOptions


@dataclass(frozen=True)
class Schedule:
    """Learning rate by optimiser step (paper, 3.1): start to peak in `warmup` steps, then a cosine to the floor."""

    peak: float
    start: float
    floor: float
    warmup: int
    steps: int

    def rate(self, step: int) -> float:
        """Learning rate of the optimiser step with this number (from 0); the last step has the floor."""
        if step < self.warmup:
            return self.start + (self.peak - self.start) * step / self.warmup
        last = max(self.steps - 1 - self.warmup, 1)
        done = min((step - self.warmup) / last, 1.0)
        return self.floor + (self.peak - self.floor) * 0.5 * (1 + cos(pi * done))


def schedule(options: PretrainOptions, steps_per_epoch: int) -> Schedule:
    """The schedule of a run with this many optimiser steps in an epoch."""
    return Schedule(
        peak=options.learning_rate,
        start=options.warmup_learning_rate,
        floor=options.min_learning_rate,
        warmup=round(options.warmup_epochs * steps_per_epoch),
        steps=options.epochs * steps_per_epoch,
    )
