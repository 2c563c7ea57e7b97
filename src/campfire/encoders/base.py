"""The interface of an encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

POOLINGS = ("cls", "mean", "cls+mean")
"""Pooling of tokens to an embedding: the class token, the mean of the patch tokens, or both concatenated."""


@runtime_checkable
class Encoder(Protocol):
    """Turns raw tiles into one embedding each. Implementations do their own normalisation."""

    name: str
    """Name of the encoder in tables and figures."""
    device: str
    """Where `embed` computes; tiles may be on any device."""
    normalisation: str
    """How tiles are brought to scale; `plate...` when `embed` needs the plate's `statistics`, `counts` when it needs
    intensities in counts, as the microscope wrote them (else any affine rescaling of a channel will do)."""
    digest: str
    """Identifies weights and settings: encoders with equal digests give equal embeddings."""

    def dim(self, channels: Sequence[str]) -> int:
        """Length of an embedding of these channels."""
        ...

    def embed(self, images: Tensor, channels: Sequence[str], statistics: tuple[Any, ...] | None = None) -> Tensor:
        """Embeddings (B, D) float32 on `device` of raw tiles (B, C, H, W) whose C channels are named.

        `statistics`: the plate's mean, deviation, low and high quantile per channel, four (C,) arrays
        (`campfire.model.normalise.PlateStatistics`), where the name of `normalisation` begins with `plate`.
        """
        ...


@runtime_checkable
class PlateEncoder(Protocol):
    """An encoder whose embeddings also depend on the plate: it sees some of its tiles first."""

    plate_tiles: int
    """How many tiles of a plate it looks at, at even distances; 0 for none."""

    def begin_plate(self, images: Tensor, channels: Sequence[str], statistics: tuple[Any, ...] | None = None) -> None:
        """Take in raw tiles (B, C, H, W) of the plate that is embedded next; `statistics` as for `Encoder.embed`."""
        ...


@runtime_checkable
class MaskingEncoder(Protocol):
    """An encoder that embeds cells without their surroundings (`campfire.encoders.masked`)."""

    def masked(self, store: Any, nuclei: pd.DataFrame) -> Any:
        """The tiles of a plate with the pixels around each cell hidden; `nuclei`: all nuclei of the plate."""
        ...
