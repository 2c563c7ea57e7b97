"""Options of the transfer head and of its Z' scores: `transfer.head` and `transfer.zprime` of the config."""

from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from campfire.core.options import Options, Seed, option

Widths = Annotated[Sequence[Annotated[int, Field(ge=1)]], AfterValidator(tuple)]
"""Widths of layers."""


class ZprimeOptions(Options):
    """Z' between the control groups of the transfer screen and its intervals."""

    section: ClassVar[str] = "transfer.zprime"

    zprime_ddof: int = option(
        0, "degrees of freedom taken off the plain standard deviation; the paper leaves it open", ge=0, le=1
    )
    replicates: int = option(1000, "bootstrap resamples of the wells behind each Z' interval", ge=1)
    level: float = option(0.95, "coverage of the Z' interval, a fraction", gt=0, lt=1)
    seed: Seed = option(0, "seed of the resamples")


class HeadOptions(Options):
    """Head and triplet loss of the transfer screen; the paper fixes only layers, loss family and epochs."""

    section: ClassVar[str] = "transfer.head"

    layers: Widths = option(
        (1024, 128), "widths of the head's layers; a ReLU between two", source="paper 3.5", min_length=1
    )
    epochs: int = option(500, "passes over the training wells", source="paper 3.5", ge=1)
    loss: Literal["semi_hard", "batch_hard", "all"] = option(
        "semi_hard",
        "triplets of a batch that count: semi-hard negatives (Schroff et al., whom the paper cites), hardest, or all",
        source="docs/decisions.md",
    )
    margin: float = option(
        0.2, "margin between squared distances (Schroff et al.; the paper gives none)", source="docs/decisions.md", ge=0
    )
    normalise: bool = option(True, "scale each well embedding to unit length (Schroff et al.)")
    standardise: bool = option(
        False, "scale every feature by its training cells first; for encoders whose features differ in unit"
    )
    positives: Literal["treatment", "treatment_and_group"] = option(
        "treatment",
        "wells that count as alike: same treatment, or same treatment in the same group",
        source="paper 3.5",
    )
    wells_per_batch: int = option(64, "wells in a batch; a triplet needs at least 2", ge=2)
    wells_per_treatment: int = option(
        4, "wells of one treatment that enter a batch together, so that it has positives", ge=2
    )
    cells_per_well: int = option(
        16, "cells drawn from each well of a batch, whose mean is the well's embedding (the paper: several)", ge=1
    )
    learning_rate: float = option(3e-4, "AdamW learning rate", gt=0, le=10)
    weight_decay: float = option(1e-2, "AdamW weight decay", ge=0)
    seed: Seed = option(0, "seed of initial weights, batches and cells")
    checkpoint_every: int = option(25, "epochs between two saved states", unit="epochs", execution=True, ge=1)

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if self.wells_per_treatment > self.wells_per_batch:
            yield "wells_per_treatment", f"{self.wells_per_treatment} is above wells_per_batch ({self.wells_per_batch})"


class TransferOptions(HeadOptions, ZprimeOptions):
    """Options of head and Z' together, for direct use of the library."""
