"""Embedding the cells of a plate with any encoder."""

import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from campfire.core.columns import CELL_KEYS, PLATE, WELL
from campfire.core.errors import DataError
from campfire.encoders.base import Encoder, PlateEncoder
from campfire.model.normalise import needs_plate, plate_statistics

logger = logging.getLogger(__name__)

TRIED = 16
"""Tiles on which `check_alone` tries an encoder."""


class TileStore(Protocol):
    """The part of `campfire.images.tiles.TilePlate` used here."""

    @property
    def images(self) -> NDArray[Any]:
        """(N, C, H, W), usually a memory map."""
        ...

    @property
    def index(self) -> pd.DataFrame:
        """Keys and `row` of every tile."""
        ...

    @property
    def channels(self) -> list[str]:
        """Names of the array's channels."""
        ...

    def read(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """The tiles at `rows` as stored, (n, C, H, W), read at their positions."""
        ...

    def to_counts(self, tiles: NDArray[Any]) -> NDArray[np.float32]:
        """Stored tiles in counts, whatever their type."""
        ...


def find_rows(store: TileStore, cells: pd.DataFrame) -> NDArray[np.int64]:
    """Positions in the tile array of cells (by key, in their order); DataError names cells without a tile."""
    index = store.index[[*CELL_KEYS, "row"]]
    found = cells[CELL_KEYS].merge(index, on=CELL_KEYS, how="left", validate="many_to_one")["row"]
    lost = found.isna().to_numpy()
    if lost.any():
        cell = cells[CELL_KEYS][lost].iloc[0]
        text = ", ".join(f"{key.removeprefix('Metadata_').lower()} {cell[key]}" for key in CELL_KEYS)
        raise DataError(
            f"plate {cell[PLATE]}, well {cell[WELL]}: {lost.sum()} of {len(cells)} cells have no tile, the first is "
            f"{text}; draw the sample again from the present tiles"
        )
    return found.to_numpy(dtype=np.int64)


def check_widths(encoder: Encoder, channels: Mapping[str, Sequence[str]]) -> None:
    """Check that an encoder's embeddings have one length on all plates; DataError where they do not.

    channels: plate -> the channels that it is embedded with.
    """
    widths = {plate: encoder.dim(present) for plate, present in channels.items()}
    first = next(iter(widths), None)
    for plate, width in widths.items():
        if first is not None and width != widths[first]:
            raise DataError(
                f"encoder {encoder.name}: plate {plate} ({', '.join(channels[plate])}) gets {width} numbers, {first} "
                f"({', '.join(channels[first])}) {widths[first]}; choose an encoder whose embeddings do not grow with "
                "the channels (`combine: average`), or a channel set that all plates have"
            )


def embed_plate(
    encoder: Encoder, store: TileStore, cells: pd.DataFrame, channels: Sequence[str], batch_size: int = 256
) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Embeddings of `cells` (key columns) from their tiles in `store`: keys and (N, D) float32, in the cells' order.

    Tiles are read in the order of the file, one batch ahead of the encoder, each tile once even if a cell occurs
    twice. `channels` are names of the store's channels. Raises DataError for unknown channels and cells, and when the
    encoder returns another shape than announced.
    """
    positions = _positions(store, channels)
    keys = cells[CELL_KEYS].reset_index(drop=True)
    rows, back = np.unique(find_rows(store, cells), return_inverse=True)
    whole = positions == list(range(len(store.channels)))
    statistics = None
    if needs_plate(encoder.normalisation) and len(rows):
        # Of the whole tiles, also where the encoder sees masked ones: the scale is that of the plate.
        statistics = plate_statistics(getattr(store, "whole_images", store.images)).of(positions)
    if isinstance(encoder, PlateEncoder) and encoder.plate_tiles:
        encoder.begin_plate(_some_tiles(store, positions, encoder.plate_tiles), channels, statistics)
    found = np.empty((len(rows), encoder.dim(channels)), dtype=np.float32)
    pinned = encoder.device.startswith("cuda")

    def fetch(start: int) -> torch.Tensor:
        part = rows[start : start + batch_size]
        run = part[-1] - part[0] + 1 == len(part)
        # Scattered tiles are read one by one: through the map the kernel would read megabytes around each.
        block = store.images[int(part[0]) : int(part[-1]) + 1] if run else store.read(part)
        block = store.to_counts(block) if encoder.normalisation == "counts" else block
        tiles = torch.from_numpy(np.array(block if whole else block[:, positions]))
        return tiles.pin_memory() if pinned else tiles

    plate = ", ".join(sorted(keys[PLATE].unique())) or "without cells"
    begin = said = time.perf_counter()
    with ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(fetch, 0) if len(rows) else None
        for start in range(0, len(rows), batch_size):
            assert ahead is not None
            tiles = ahead.result()
            if start + batch_size < len(rows):
                ahead = reader.submit(fetch, start + batch_size)
            try:
                made = encoder.embed(tiles, channels, statistics)
            except Exception:
                _log_place(encoder, store, rows[start : start + len(tiles)])
                raise
            found[start : start + len(tiles)] = _checked(made, encoder, (len(tiles), found.shape[1]))
            now = time.perf_counter()
            if now - said > 10:
                said, done = now, start + len(tiles)
                logger.info("plate %s: %d of %d tiles, %.0f tiles/s", plate, done, len(rows), done / (now - begin))
    seconds, words = time.perf_counter() - begin, f"{encoder.name} on {'+'.join(channels)}"
    rate = len(rows) / max(seconds, 1e-9)
    logger.info("plate %s: %d cells with %s in %.1f s, %.0f tiles/s", plate, len(keys), words, seconds, rate)
    return keys, found[back]


def _checked(made: Any, encoder: Encoder, shape: tuple[int, int]) -> NDArray[Any]:
    """What `embed` returned as an array of this shape; DataError for anything but a tensor of it."""
    if not isinstance(made, torch.Tensor):
        raise DataError(
            f"encoder {encoder.name} gave {type(made).__module__}.{type(made).__name__}; its `embed` must give a "
            f"torch.Tensor of {shape[0]} rows (tiles) and {shape[1]} columns (its `dim`)"
        )
    if made.shape != shape:
        raise DataError(
            f"encoder {encoder.name} gave an array of shape {tuple(made.shape)} for {shape[0]} tiles; its `embed` must "
            f"give a row per tile and, as its `dim` says, {shape[1]} columns"
        )
    return made.detach().float().cpu().numpy()


def _log_place(encoder: Encoder, store: TileStore, rows: NDArray[np.int64]) -> None:
    """Log on which tiles an encoder failed; its own error and traceback follow."""
    index = store.index.set_index("row")
    first, last = ("/".join(map(str, index.loc[row, CELL_KEYS])) for row in (rows[0], rows[-1]))
    logger.error(
        "encoder %s failed on %d tiles, %s to %s (plate/well/site/nucleus):", encoder.name, len(rows), first, last
    )


def check_alone(encoder: Encoder, store: TileStore, cells: pd.DataFrame, channels: Sequence[str]) -> None:
    """Check that a tile's embedding does not depend on the tiles beside it, nor on chance; DataError if it does.

    The first tiles of `cells` are embedded together and in pairs. A network in training mode fails: its batch
    normalisation depends on the batch, its dropout on chance. Differences that other kernels make are smaller.
    """
    some = cells.head(TRIED)
    if some.empty:
        return
    together, pairs = (embed_plate(encoder, store, some, channels, size)[1] for size in (TRIED, 2))
    spread = float(together.std(axis=0).mean())
    change, size = (float(np.sqrt(np.square(part).mean())) for part in (together - pairs, together))
    if change > max(0.1 * spread, 0.02 * size):
        raise DataError(
            f"encoder {encoder.name} gives a tile another embedding in another batch: {len(some)} tiles of plate "
            f"{some[PLATE].iloc[0]} embedded in pairs differ by {change:.3g} (root mean square; between tiles "
            f"{spread:.3g}). Call `.eval()` on its network, and normalise each tile by itself or by `statistics`"
        )


def _positions(store: TileStore, channels: Sequence[str]) -> list[int]:
    """Where the named channels are in the tiles; DataError for unknown or repeated ones, or none."""
    absent = [channel for channel in channels if channel not in store.channels]
    if absent:
        raise DataError(f"the tiles have no channel {', '.join(absent)}; they hold {', '.join(store.channels)}")
    if not channels or len(set(channels)) < len(channels):
        raise DataError(f"embedding of the channels {list(channels)}: name at least one, each once")
    return [store.channels.index(channel) for channel in channels]


def _some_tiles(store: TileStore, positions: list[int], most: int) -> torch.Tensor:
    """At most so many evenly spaced raw tiles of the plate, independent of the embedded cells."""
    count = len(store.images)
    seen = np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))
    return torch.from_numpy(np.ascontiguousarray(store.read(seen)[:, positions]))
