"""Options of the transfer head and of its Z' scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from campfire.core.errors import ConfigError

LOSSES = ("semi_hard", "batch_hard", "all")
POSITIVES = ("treatment", "treatment_and_group")


@dataclass(frozen=True)
class TransferOptions:
    """Head, triplet loss and scores of the transfer screen; the paper fixes only layers, loss family and epochs."""

    layers: Sequence[int] = (1024, 128)
    """Widths of the head's layers; a ReLU between two (paper section 3.5)."""
    epochs: int = 500
    """Passes over the training wells (paper section 3.5)."""
    loss: Literal["semi_hard", "batch_hard", "all"] = "semi_hard"
    """Which triplets of a batch count: semi-hard negatives (Schroff et al., whom the paper cites), hardest, or all."""
    margin: float = 0.2
    """Margin between squared distances (Schroff et al.; the paper gives none)."""
    normalise: bool = True
    """Scale each well embedding to unit length (Schroff et al.)."""
    standardise: bool = False
    """Scale every feature by its training cells first; for encoders whose features differ in unit."""
    positives: Literal["treatment", "treatment_and_group"] = "treatment"
    """Wells that count as alike: same treatment (paper section 3.5), or same treatment in the same group."""
    wells_per_batch: int = 64
    """Wells in a batch (own choice)."""
    wells_per_treatment: int = 4
    """Wells of one treatment that enter a batch together, so that it has positives (own choice)."""
    cells_per_well: int = 16
    """Cells drawn from each well of a batch, whose mean is the well's embedding (the paper: several)."""
    learning_rate: float = 3e-4
    """AdamW learning rate (own choice)."""
    weight_decay: float = 1e-2
    """AdamW weight decay (own choice)."""
    seed: int = 0
    """Seed of initial weights, batches and cells."""
    checkpoint_every: int = 25
    """Epochs between two saved states."""
    zprime_ddof: int = 0
    """Degrees of freedom taken off the plain standard deviation; the paper leaves it open."""
    replicates: int = 1000
    """Bootstrap resamples of the wells behind each Z' interval."""
    level: float = 0.95
    """Coverage of the Z' interval."""

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise ConfigError(f"transfer.head.loss: `{self.loss}` is unknown; allowed: {', '.join(LOSSES)}")
        if self.positives not in POSITIVES:
            raise ConfigError(
                f"transfer.head.positives: `{self.positives}` is unknown; allowed: {', '.join(POSITIVES)}"
            )
        if not tuple(self.layers) or min(self.layers) < 1:
            raise ConfigError(f"transfer.head.layers: {list(self.layers)} is not a list of widths")
        for name in ("wells_per_batch", "wells_per_treatment"):
            if getattr(self, name) < 2:
                raise ConfigError(f"transfer.head.{name}: {getattr(self, name)} is too few; a triplet needs at least 2")
        for name in ("cells_per_well", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"transfer.head.{name}: {getattr(self, name)} is not a count of 1 or more")
