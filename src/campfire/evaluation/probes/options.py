"""Options of the linear probes and the three protocols that they follow."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from campfire.core.errors import ConfigError

Weights = Literal["last", "best"]
Monitor = Literal["scored", "inner"]
FoldUnit = Literal["rows", "shuffled", "well", "plate"]


@dataclass(frozen=True)
class Protocol:
    """How the fits of a protocol are laid out."""

    weights: Weights
    """Scored weights: those of the last epoch, or of the epoch with the best monitored accuracy."""
    monitor: Monitor
    """Held-out task: early stopping watches the fold that is scored, or an inner set of training wells."""
    folds: FoldUnit
    """Held-out task: stratified folds of plate-ordered rows, of shuffled rows, of whole wells or of whole plates."""


PROTOCOLS = {
    # What the authors' code does: last-epoch weights, and the fold that is scored also stops the training.
    "release": Protocol(weights="last", monitor="scored", folds="rows"),
    # The text names no set for early stopping of the held-out task, so the code's set is kept; early stopping
    # itself is read in its usual sense, that the best epoch is the one kept.
    "paper": Protocol(weights="best", monitor="scored", folds="rows"),
    # No scored cell, nor any other cell of its well or plate, has a say in training, stopping or epoch choice.
    "strict": Protocol(weights="best", monitor="inner", folds="plate"),
}


@dataclass(frozen=True)
class ProbeOptions:
    """Linear probe of single-cell embeddings; the defaults are those of the authors' released code."""

    subsets: int = 10
    """Control task: equal, class-stratified parts of the training cells, one fit each (paper section 3.2)."""
    folds: int = 5
    """Held-out task: cross-validation folds over the cells of the ID plates (paper section 3.2)."""
    epochs: int = 100
    """Most passes over the training cells (paper section 3.2)."""
    patience: int = 25
    """Stop after this many epochs without a higher monitored accuracy (release)."""
    learning_rate: float = 1e-3
    """AdamW learning rate (release)."""
    weight_decay: float = 1e-2
    """AdamW weight decay, on weights and bias (release)."""
    step_size: int = 25
    """Epochs between two reductions of the learning rate (release)."""
    gamma: float = 0.5
    """Factor of each reduction (release)."""
    batch_size: int = 32
    """Cells per step (release)."""
    betas: Sequence[float] = (0.9, 0.999)
    """AdamW moment decay rates (release: the optimiser's defaults)."""
    epsilon: float = 1e-8
    """AdamW denominator offset (release: the optimiser's default)."""
    seed: int = 100
    """Seed of initial weights and shuffles; the same for every fit, as in the release."""
    subset_seed: int = 0
    """Seed of the draw of subsets, of shuffled folds and of inner validation wells (unseeded in the release)."""
    inner_fraction: float = 0.2
    """Protocol strict, held-out task: share of each compound's training wells that early stopping watches."""
    threads: int = 1
    """Fits are shared out over this many threads; the results do not depend on it."""
    overrides: dict[str, Any] = field(default_factory=dict)
    """Changes to a protocol, e.g. {"paper": {"folds": "shuffled"}}; keys are weights, monitor and folds."""

    def __post_init__(self) -> None:
        for name in ("subsets", "epochs", "patience", "step_size", "batch_size", "threads"):
            if int(getattr(self, name)) < 1:
                raise ConfigError(f"probe.{name}: {getattr(self, name)} is not a count of 1 or more")
        if self.folds < 2:
            raise ConfigError(f"probe.folds: {self.folds} is too few; cross-validation needs at least 2")
        if not 0 < self.inner_fraction < 1:
            raise ConfigError(f"probe.inner_fraction: {self.inner_fraction} is not between 0 and 1")
        if len(tuple(self.betas)) != 2:
            raise ConfigError(f"probe.betas: expected two numbers, found {self.betas!r}")
        for name in self.overrides:
            self.protocol(name)

    def protocol(self, name: str) -> Protocol:
        """The layout of protocol `name` with this configuration's changes; ConfigError for an unknown name or value."""
        if name not in PROTOCOLS:
            raise ConfigError(f"probes: unknown protocol `{name}`; allowed: {', '.join(PROTOCOLS)}")
        changes = dict(self.overrides.get(name, {}))
        allowed = {
            "weights": ("last", "best"),
            "monitor": ("scored", "inner"),
            "folds": ("rows", "shuffled", "well", "plate"),
        }
        for key, value in changes.items():
            if key not in allowed or value not in allowed[key]:
                choices = "; ".join(f"{k}: {', '.join(v)}" for k, v in allowed.items())
                raise ConfigError(f"probe.overrides.{name}: `{key}: {value}` is not allowed ({choices})")
        return Protocol(**{**PROTOCOLS[name].__dict__, **changes})
