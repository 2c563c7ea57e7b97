"""The minimum of a smooth convex loss with a quadratic penalty, for many penalties one after the other.

L-BFGS as scipy has it, except that the curvature met on the way to one minimum serves the search for the next: the
steps taken and the changes of the loss's slope are kept without the penalty, whose share is known. Near penalties then
need a third of the evaluations of the loss, which are all that takes time.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Loss = Callable[[Doubles], tuple[float, Doubles]]

MEMORY = 20
"""Steps remembered."""
ENOUGH, SHORTEST = 1e-4, 0.1
"""Share of the expected descent that a step must make, and the most by which one that fails is shortened at once."""


@dataclass
class Curvature:
    """Steps taken and changes of the loss's slope over them, without the penalty's; oldest first."""

    pairs: deque[tuple[Doubles, Doubles]] = field(default_factory=lambda: deque(maxlen=MEMORY))

    def direction(self, slope: Doubles, shrink: Doubles, guess: Doubles) -> Doubles:
        """The step to the minimum of the quadratic with this slope and the curvature known.

        shrink: the penalty of each weight; guess: inverse curvature where no step has been taken.
        """
        step, taken = -slope, []
        for move, change in reversed(self.pairs):
            bend = change + shrink * move
            share = float(np.vdot(move, step) / np.vdot(move, bend))
            step -= share * bend
            taken.append((move, bend, share))
        if taken:  # the guess on the scale of the last step
            move, bend, _ = taken[0]
            step *= float(np.vdot(move, bend) / np.vdot(bend, guess * bend))
        step *= guess
        for move, bend, share in reversed(taken):
            step += (share - float(np.vdot(bend, step) / np.vdot(move, bend))) * move
        return step


def minimise(
    loss: Loss,
    start: Doubles,
    shrink: Doubles,
    guess: Doubles,
    known: Curvature,
    tolerance: tuple[float, float],
    most: int,
) -> tuple[Doubles, int, bool]:
    """Weights at the minimum of loss(w) + sum(shrink w^2) / 2, iterations, and whether it was reached in `most`.

    loss: value and slope at weights; shrink and guess as for `Curvature.direction`, shaped to go with the weights;
    known: is extended; tolerance: largest slope times the root of `guess`, and relative descent of a step, at which
    the search ends.
    """
    weights, root = start, np.sqrt(guess)
    value, slope = loss(weights)
    penalised = value + 0.5 * float((shrink * weights**2).sum())
    for iteration in range(most):
        total = slope + shrink * weights
        if np.abs(total * root).max() <= tolerance[0]:
            return weights, iteration, True
        step = known.direction(total, shrink, guess)
        expected, length = float(np.vdot(total, step)), 1.0
        while True:
            there = weights + length * step
            value, other = loss(there)
            reached = value + 0.5 * float((shrink * there**2).sum())
            rise = reached - penalised - length * expected
            if rise <= (ENOUGH - 1) * length * expected or length * -expected <= tolerance[1] * abs(penalised):
                break
            # The lowest point of the parabola through what is known of this direction.
            length *= min(0.5, max(SHORTEST, -length * expected / (2 * rise)))
        if np.vdot(there - weights, other - slope) > 0:
            known.pairs.append((there - weights, other - slope))
        descent = penalised - reached
        weights, slope, penalised = there, other, reached
        if descent <= tolerance[1] * max(1.0, abs(penalised)):
            return weights, iteration + 1, True
    return weights, most, False
