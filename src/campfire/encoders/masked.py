"""Tiles on which everything but the cell is hidden, and an encoder that sees such tiles.

An embedding of a tile also describes the neighbours and the background in it. What a probe loses when they are hidden
is what it knew from outside the cell. No outlines of cells are stored, so a cell's own pixels are those nearer to its
nucleus than to any other nucleus of the field, optionally within a radius.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core.columns import CELL_KEYS, SITE_KEYS
from campfire.core.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

    from campfire.encoders.base import Encoder
    from campfire.encoders.embed import TileStore

FILL = 0.05
"""Quantile of a channel of a tile that hidden pixels take: its background."""


class MaskedEncoder:
    """An encoder whose tiles show the cell alone; `embed_plate` gets them from `masked`."""

    plate_tiles: int

    def __init__(self, inner: Encoder, name: str, radius: float | None) -> None:
        self.inner, self.name, self.radius = inner, name, radius
        self.device, self.normalisation = inner.device, inner.normalisation
        self.plate_tiles = int(getattr(inner, "plate_tiles", 0))
        if hasattr(inner, "pooling"):
            self.pooling = inner.pooling
        self.digest = hashlib.sha256(f"{inner.digest} masked 1 {radius}".encode()).hexdigest()

    def masked(self, store: TileStore, nuclei: pd.DataFrame) -> MaskedTiles:
        """The tiles of a plate as this encoder sees them; `nuclei`: all nuclei of the plate."""
        return MaskedTiles(store, nuclei, self.radius)

    def dim(self, channels: Sequence[str]) -> int:
        """As the encoder's that sees whole tiles."""
        return self.inner.dim(channels)

    def embed(self, images: Tensor, channels: Sequence[str], statistics: tuple[Any, ...] | None = None) -> Tensor:
        """See `Encoder.embed`; the tiles are masked already."""
        return self.inner.embed(images, channels, statistics)

    def begin_plate(self, images: Tensor, channels: Sequence[str], statistics: tuple[Any, ...] | None = None) -> None:
        """See `PlateEncoder.begin_plate`; nothing for encoders without a context."""
        if self.plate_tiles:
            self.inner.begin_plate(images, channels, statistics)  # type: ignore[attr-defined]


class MaskedTiles:
    """The tiles of a store with all pixels hidden that are nearer to another nucleus, or beyond a radius (px)."""

    def __init__(self, store: TileStore, nuclei: pd.DataFrame, radius: float | None) -> None:
        self._store, self._radius = store, radius
        self.index, self.channels = store.index, list(store.channels)
        self.size = int(store.images.shape[-1])
        scale = float(getattr(store, "metadata", {}).get("native_size") or self.size) / self.size
        self._field = _Field(store.index, nuclei, reach=1.5 * self.size, scale=scale)
        self.images: Any = _MaskedArray(self)

    def read(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """(n, C, H, W) masked tiles at `rows`, in the store's type."""
        return self.hide(self._store.read(rows), rows)

    def to_counts(self, tiles: NDArray[Any]) -> NDArray[np.float32]:
        """Tiles in counts, whatever their type."""
        return self._store.to_counts(tiles)

    def hide(self, tiles: NDArray[Any], rows: Any) -> NDArray[Any]:
        """The tiles (n, C, H, W) of these rows with hidden pixels at the background of their channel, in place."""
        for tile, row in zip(tiles, np.arange(len(self.index))[rows], strict=True):
            hidden = ~self.shown(int(row))
            if hidden.any():
                background = np.quantile(tile.reshape(len(tile), -1), FILL, axis=1, method="lower")
                tile[:, hidden] = background.astype(tile.dtype)[:, None]
        return tiles

    def shown(self, row: int) -> NDArray[np.bool_]:
        """(H, W) the pixels of a tile that belong to its cell."""
        axis = np.arange(self.size, dtype=np.float32) - self.size // 2
        own = axis[:, None] ** 2 + axis[None, :] ** 2
        shown = np.ones(own.shape, dtype=bool) if self._radius is None else own <= self._radius**2
        for y, x in self._field.neighbours(row):
            shown &= own <= (axis[:, None] - y) ** 2 + (axis[None, :] - x) ** 2
        return shown

    @property
    def whole_images(self) -> NDArray[Any]:
        """The tiles without masks."""
        return self._store.images


class _MaskedArray:
    """The part of an array that embedding uses: shape, type, length and slices of rows."""

    def __init__(self, tiles: MaskedTiles) -> None:
        self._tiles = tiles
        self.shape, self.dtype = tiles.whole_images.shape, tiles.whole_images.dtype

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        return self._tiles.hide(np.array(self._tiles.whole_images[rows]), rows)


class _Field:
    """Where the nuclei around each tile's cell are; looked up as tiles are read, of which a plate has far more."""

    def __init__(self, index: pd.DataFrame, nuclei: pd.DataFrame, reach: float, scale: float) -> None:
        """nuclei: the plate's table with those that were not kept; `scale`: its px per px of a tile.

        DataError for a tile whose nucleus is not in it.
        """
        placed = index[CELL_KEYS].merge(nuclei[[*CELL_KEYS, "y", "x"]], on=CELL_KEYS, how="left", validate="one_to_one")
        if placed[["y", "x"]].isna().any(axis=None):
            cell = placed[placed["y"].isna()].iloc[0]
            raise DataError(
                f"plate {cell.iloc[0]}, well {cell.iloc[1]}: the table of nuclei has no nucleus {cell.iloc[3]} of site "
                f"{cell.iloc[2]}, of which there is a tile; run the tiles step of this plate again"
            )
        self._reach, self._scale = reach, scale
        self._sites = list(placed[SITE_KEYS].itertuples(index=False, name=None))
        self._centres = placed[["y", "x"]].to_numpy(np.float32)
        self._all = {key: rows[["y", "x"]].to_numpy(np.float32) for key, rows in nuclei.groupby(SITE_KEYS)}

    def neighbours(self, row: int) -> NDArray[np.float32]:
        """(K, 2) y and x of the other nuclei near a tile's cell, px of the tile from its nucleus."""
        away = np.divide(self._all[self._sites[row]] - self._centres[row], self._scale, dtype=np.float32)
        farther = np.abs(away).max(axis=1)
        near: NDArray[np.float32] = away[(farther < self._reach) & (farther > 0)]
        return near
