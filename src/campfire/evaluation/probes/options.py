"""Options of the linear probes and the three protocols that they follow."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from campfire.core.columns import ProtocolName
from campfire.core.errors import ConfigError
from campfire.core.options import Numbers, Options, Seed, option

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


class ProtocolChanges(Options):
    """Changes to the layout of a protocol; null keeps what the protocol has."""

    weights: Weights | None = option(None, "scored weights: of the last epoch, or of the best monitored one")
    monitor: Monitor | None = option(None, "what early stopping watches: the scored fold, or inner training wells")
    folds: FoldUnit | None = option(None, "folds of plate-ordered rows, shuffled rows, whole wells or whole plates")


class ProbeOptions(Options):
    """Linear probe of single-cell embeddings; the defaults are those of the authors' released code."""

    section: ClassVar[str] = "probe"

    subsets: int = option(
        10,
        "control task: equal, class-stratified parts of the training cells, one fit each",
        source="paper 3.2",
        ge=1,
    )
    folds: int = option(
        5,
        "held-out task: cross-validation folds over the cells of the ID plates; at least 2",
        source="paper 3.2",
        ge=2,
    )
    epochs: int = option(100, "most passes over the training cells", source="paper 3.2", ge=1)
    patience: int = option(
        25, "stop after this many epochs without a higher monitored accuracy", unit="epochs", source="release", ge=1
    )
    learning_rate: float = option(1e-3, "AdamW learning rate", source="release", gt=0, le=10)
    weight_decay: float = option(1e-2, "AdamW weight decay, on weights and bias", source="release", ge=0)
    step_size: int = option(
        25, "epochs between two reductions of the learning rate", unit="epochs", source="release", ge=1
    )
    gamma: float = option(0.5, "factor of each reduction", source="release", gt=0, le=1)
    batch_size: int = option(32, "cells per step", source="release", ge=1)
    betas: Numbers = option(
        (0.9, 0.999), "AdamW moment decay rates, two numbers in [0, 1)", source="release", min_length=2, max_length=2
    )
    epsilon: float = option(1e-8, "AdamW denominator offset", source="release", gt=0)
    seed: Seed = option(100, "seed of initial weights and shuffles; the same for every fit", source="release")
    subset_seed: Seed = option(
        0,
        "seed of the draw of subsets, of shuffled folds and of inner validation wells (unseeded in the release)",
    )
    inner_fraction: float = option(
        0.2,
        "protocol strict, held-out task: share of each compound's training wells that early stopping watches",
        gt=0,
        lt=1,
    )
    threads: int = option(
        1, "threads that share the fits; the results do not depend on it", execution=True, internal=True, ge=1
    )
    overrides: Mapping[ProtocolName, ProtocolChanges] = option(
        {}, "changes to a protocol, e.g. {paper: {folds: shuffled}}; keys are weights, monitor and folds"
    )

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if not all(0 <= beta < 1 for beta in self.betas):
            yield "betas", f"{list(self.betas)} are not two numbers in [0, 1)"

    def protocol(self, name: str) -> Protocol:
        """The layout of protocol `name` with this configuration's changes; ConfigError for an unknown name."""
        if name not in PROTOCOLS:
            raise ConfigError(f"probes: unknown protocol `{name}`; allowed: {', '.join(PROTOCOLS)}")
        changes = {known: change for known, change in self.overrides.items() if known == name}
        made = {key: value for change in changes.values() for key, value in change.values().items() if value}
        return Protocol(**{**PROTOCOLS[name].__dict__, **made})
