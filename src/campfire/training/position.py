"""Where a pretraining run is; together with weights, moments and sums it forms a checkpoint."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Position:
    """The position of a run, its time and arithmetic so far, and its rows of metrics."""

    epoch: int = 0
    """The current epoch, from 0."""
    step: int = 0
    """The next step of that epoch, from 0."""
    seconds: float = 0.0
    """Training seconds of the epoch so far."""
    flops: float = 0.0
    norm: float = 0.0
    skipped: int = 0
    """Steps of the run that were skipped because their gradients were not finite."""
    history: list[dict[str, Any]] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)
    """Changes of the optimiser's options on the way: `step` from which they hold, `changed` (option -> old, new)."""

    def after(self, epochs: int) -> "Position":
        """The position after so many epochs, with what lasts of this one."""
        return Position(epoch=epochs, skipped=self.skipped, history=self.history, changes=self.changes)
