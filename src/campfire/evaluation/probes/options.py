"""Options of the linear probes and the three protocols that they follow."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import AfterValidator

from campfire.core.columns import ProtocolName
from campfire.core.errors import ConfigError
from campfire.core.options import Numbers, Options, Seed, option

Weights = Literal["last", "best"]
Monitor = Literal["scored", "inner"]
FoldUnit = Literal["rows", "shuffled", "well", "plate"]
Classifier = Literal["adamw", "logistic"]
Variant = Literal["standardised", "logistic"]


@dataclass(frozen=True)
class Protocol:
    """The layout of a protocol's fits."""

    weights: Weights
    """Scored weights: those of the last epoch, or of the epoch with the best monitored accuracy."""
    monitor: Monitor
    """Held-out task: early stopping monitors the scored fold, or an inner set of training wells."""
    folds: FoldUnit
    """Held-out task: stratified folds of plate-ordered rows, of shuffled rows, of whole wells or of whole plates."""
    classifier: Classifier = "adamw"
    """The release's linear layer under AdamW, or logistic regression trained until it converges (`logistic`)."""
    standardise: bool | None = None
    """Standardise every dimension by the training cells; None: as in `probe.standardise`. `logistic` always does."""


PROTOCOLS = {
    # The authors' code: last-epoch weights, and the scored fold also stops training.
    "release": Protocol(weights="last", monitor="scored", folds="rows"),
    # The paper names no set for early stopping of the held-out task, so the code's set is kept; early stopping is
    # taken in its usual sense: the best epoch is kept.
    "paper": Protocol(weights="best", monitor="scored", folds="rows"),
    # No scored cell, nor any other cell of its well or plate, affects training or the choice of the penalty, and the
    # result depends neither on the scale of the embeddings nor on a learning rate.
    "strict": Protocol(weights="best", monitor="inner", folds="plate", classifier="logistic"),
}

VARIANTS: dict[Variant, dict[str, Any]] = {
    "standardised": {"standardise": True},
    "logistic": {"classifier": "logistic"},
}
"""Variants of the release's probe on the same cells and folds."""

RELEASE_RATE, MOST_RATE = 1e-3, 0.03
PAPER_STEPS, ENOUGH_STEPS = 4000, 3000
"""Steps of a control fit of the paper (1,260 cells, batches of 32, 100 epochs); with fewer than 3,000 the
classifier does not converge at the release's learning rate."""

FEW_CELLS = 10
"""Fewest training cells of a class; a fit with fewer is marked."""


def variant_name(variant: str) -> str:
    """Protocol name of a variant of the release's probe in tables."""
    return f"release_{variant}"


def in_order(protocols: Sequence[str]) -> list[str]:
    """Names of protocols and variants in the order of tables, each once."""
    known = ["release", *map(variant_name, VARIANTS), *(name for name in PROTOCOLS if name != "release")]
    present = set(protocols)
    return [name for name in known if name in present] + sorted(present - set(known))


class ProtocolChanges(Options):
    """Changes to the layout of a protocol; null keeps what the protocol has."""

    weights: Weights | None = option(None, "scored weights: of the last epoch, or of the best monitored one")
    monitor: Monitor | None = option(None, "what early stopping watches: the scored fold, or inner training wells")
    folds: FoldUnit | None = option(None, "folds of plate-ordered rows, shuffled rows, whole wells or whole plates")
    classifier: Classifier | None = option(None, "the release's steps (adamw), or logistic regression to convergence")
    standardise: bool | None = option(None, "scale every dimension by the training cells of a fit")


class ProbeOptions(Options):
    """Linear probe of single-cell embeddings; the defaults are those of the authors' released code."""

    section: ClassVar[str] = "probe"

    subsets: int | None = option(
        None,
        "control task: equal, class-stratified parts of the training cells, one fit each; null: as many as leave 100 "
        "cells of the rarest class in each, from 1 to the paper's 10",
        source="paper 3.2",
        ge=1,
    )
    folds: int | None = option(
        None,
        "held-out task: cross-validation folds over the cells of the ID plates; at least 2; null: the paper's 5, fewer "
        "where there are fewer plates",
        source="paper 3.2",
        ge=2,
    )
    epochs: int = option(100, "most passes over the training cells", source="paper 3.2", ge=1)
    patience: int = option(
        25, "stop after this many epochs without a higher monitored accuracy", unit="epochs", source="release", ge=1
    )
    learning_rate: float | None = option(
        None,
        "AdamW learning rate; null: the release's 0.001, more where a fit makes fewer than 3,000 steps (in proportion "
        "to the paper's 4,000, at most 0.03)",
        source="release",
        gt=0,
        le=10,
    )
    standardise: bool = option(
        False,
        "centre and scale every dimension by the training cells of each fit; the release takes embeddings as they are",
    )
    variants: Annotated[Sequence[Variant], AfterValidator(tuple)] = option(
        ("standardised", "logistic"),
        "probes beside protocol release, on its cells and folds: with standardised embeddings, and by logistic "
        "regression trained until it converges",
    )
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
        "held-out task with inner wells (protocol strict, logistic regression): share of each compound's training "
        "wells that choose the penalty or stop the training",
        gt=0,
        lt=1,
    )
    threads: int = option(
        1, "threads that share the fits; the results do not depend on it", execution=True, internal=True, ge=1
    )
    overrides: Mapping[ProtocolName, ProtocolChanges] = option(
        {},
        "changes to a protocol, e.g. {paper: {folds: shuffled}}; keys are weights, monitor, folds, classifier and "
        "standardise",
    )

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if not all(0 <= beta < 1 for beta in self.betas):
            yield "betas", f"{list(self.betas)} are not two numbers in [0, 1)"

    def protocol(self, name: str) -> Protocol:
        """The layout of protocol `name` with this configuration's changes; ConfigError for an unknown name."""
        if name not in PROTOCOLS:
            raise ConfigError(f"probes: unknown protocol `{name}`; allowed: {', '.join(PROTOCOLS)}")
        changes = {known: change for known, change in self.overrides.items() if known == name}
        made = {k: v for change in changes.values() for k, v in change.values().items() if v is not None}
        return Protocol(**{**PROTOCOLS[name].__dict__, **made})

    def layouts(self, name: str) -> dict[str, Protocol]:
        """The protocol `name` and its variants, by their names in tables."""
        own = self.protocol(name)
        beside = self.variants if name == "release" else ()
        return {name: own} | {variant_name(v): replace(own, **VARIANTS[v]) for v in beside}

    def standardises(self, protocol: Protocol) -> bool:
        """Whether a protocol's classifier sees standardised embeddings."""
        chosen = self.standardise if protocol.standardise is None else protocol.standardise
        return chosen or protocol.classifier == "logistic"

    def with_rate(self, cells: Sequence[int]) -> "ProbeOptions":
        """These options with the learning rate filled in for fits of these numbers of training cells."""
        if self.learning_rate is not None:
            return self
        steps = self.epochs * math.ceil(float(np.median(cells)) / self.batch_size)
        rate = RELEASE_RATE if steps >= ENOUGH_STEPS else min(MOST_RATE, RELEASE_RATE * PAPER_STEPS / steps)
        return self.changed(learning_rate=rate)
