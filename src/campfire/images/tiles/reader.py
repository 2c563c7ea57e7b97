"""Opening a plate's tile store, with checks against arrays that were cut short, altered or swapped."""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core.columns import CELL_KEYS, WELL
from campfire.core.errors import DataError
from campfire.core.files import read_table, read_table_metadata
from campfire.images.tiles.positioned import TileFile
from campfire.images.tiles.ranges import to_counts
from campfire.images.tiles.store import FORMAT, digest, index_path, well_digests

CHECKED_TOGETHER = 64
"""Tiles that a check of many holds in memory at once."""
QUICK_ROWS = 16
"""Tiles whose checksum the quick check compares: the first, the last, and others spread evenly."""


@dataclass(frozen=True)
class TilePlate:
    """One plate's tiles, memory-mapped; nothing is read before it is indexed."""

    path: Path
    images: NDArray[Any]
    """(N, C, size, size), uint16 counts, or uint8 by `metadata["ranges"]`."""
    index: pd.DataFrame
    """One row per tile in the array's order: keys, `row`, `crc32`."""
    channels: list[str]
    metadata: dict[str, Any]

    def __len__(self) -> int:
        return len(self.index)

    def __repr__(self) -> str:
        size = "x".join(map(str, self.images.shape[2:]))
        return f"<TilePlate {self.path.name}: {len(self)} tiles of {size}, {', '.join(self.channels)}>"

    def well(self, well: str) -> slice:
        """The rows of a well, which are contiguous; an empty slice for a well without tiles."""
        rows = np.flatnonzero((self.index[WELL] == well).to_numpy())
        return slice(int(rows[0]), int(rows[-1]) + 1) if len(rows) else slice(0, 0)

    def read(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """(n, C, size, size) the tiles at `rows` as stored, read at their positions and not through the map.

        For scattered rows: a map would let the kernel read megabytes around each tile.
        """
        tiles = np.empty((len(rows), *self.images.shape[1:]), self.images.dtype)
        TileFile(self.images).read(rows, tiles)
        return tiles

    def counts(self, rows: Any) -> NDArray[np.float32]:
        """(n, C, size, size) float32 intensities in counts of the tiles at `rows`, whatever the stored dtype."""
        return self.to_counts(np.asarray(self.images[rows]))

    def to_counts(self, tiles: NDArray[Any]) -> NDArray[np.float32]:
        """Stored tiles (n, C, size, size) in counts, whatever their dtype."""
        if tiles.dtype == np.uint8:
            ranges = {channel: tuple(pair) for channel, pair in self.metadata["ranges"].items()}
            return to_counts(tiles, ranges, self.channels)
        return tiles.astype(np.float32)

    def check(self, rows: Iterable[int] | None = None) -> None:
        """Compare the bytes of the tiles at `rows` (all by default) with the index; DataError at the first mismatch."""
        chosen, checks = np.arange(len(self)) if rows is None else np.fromiter(rows, np.int64), self.checks()
        for start in range(0, len(chosen), CHECKED_TOGETHER):
            part = chosen[start : start + CHECKED_TOGETHER]
            checks.check(part, self.read(part))

    def checks(self) -> "TileChecks":
        """For a reader that keeps the array but not the index, and checks tiles on first use."""
        return TileChecks(self.path, self.images, self.index["crc32"].to_numpy(np.uint32, copy=True))


class TileChecks:
    """Compares tiles of a plate with their checksums, each tile once, however often it is read."""

    def __init__(self, path: Path, images: NDArray[Any], crc32: NDArray[np.uint32]) -> None:
        self.path, self.crc32 = path, crc32
        self._images = np.asarray(images)  # a plain view: indexing a memmap itself costs as much as a checksum
        self._done = np.zeros(len(crc32), dtype=bool)

    def check(self, rows: NDArray[np.signedinteger[Any]], tiles: NDArray[Any] | None = None) -> None:
        """Compare the `rows` not yet compared; DataError at the first mismatch. Thread-safe.

        tiles: (n, C, H, W) the tiles at `rows` as they were read; without them the map is read.
        """
        for place in np.flatnonzero(~self._done[rows]).tolist():
            row = int(rows[place])
            if zlib.crc32(self._images[row] if tiles is None else tiles[place]) != self.crc32[row]:
                well = read_table(index_path(self.path), [WELL])[WELL].iloc[row]
                raise DataError(
                    f"{self.path}: tile {row} (well {well}) differs from its index; the file was altered. Delete it "
                    "and run the tiles step of this plate again"
                )
        self._done[rows] = True


def open_plate(path: str | Path, verify: Literal["quick", "full", "none"] = "quick") -> TilePlate:
    """Open the store at `path` (its `.npy`, its `.parquet`, or the two's common stem).

    verify `quick` compares the file's size, its header, the index's keys and digests, and the bytes of 16 tiles
    spread over the plate (about 2 MB): an array cut short, one beside another array's index, or a file with lost
    blocks at the sampled places is found. `full` compares every tile. `none` checks size and header only, for
    reopening what was checked before.

    Raises DataError that names the file and says what to do.
    """
    path = Path(path)
    array = path.with_suffix(".npy") if path.suffix in (".npy", ".parquet") else path.with_name(path.name + ".npy")
    remedy = "delete both files and run the tiles step of this plate again"
    for needed in (array, index_path(array)):
        if not needed.is_file():
            raise DataError(f"{needed}: no such file; run the tiles step of this plate")
    index = read_table(index_path(array))
    metadata = read_table_metadata(index_path(array))
    if metadata.get("format") != FORMAT:
        raise DataError(f"{index_path(array)}: not a tile index of format {FORMAT}; {remedy}")
    size = array.stat().st_size
    if size != metadata["bytes"]:
        state = "cut short" if size < metadata["bytes"] else "too long"
        raise DataError(f"{array}: {state}: {size} bytes, its index says {metadata['bytes']}; {remedy}")
    try:
        images = np.load(array, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{array}: its header is damaged ({error}); {remedy}") from error
    expected = (tuple(metadata["shape"]), np.dtype(metadata["dtype"]))
    if (images.shape, images.dtype) != expected or not images.flags["C_CONTIGUOUS"]:
        raise DataError(f"{array}: holds {images.dtype} {images.shape}, its index says {expected}; {remedy}")
    if len(index) != len(images):
        raise DataError(f"{array}: {len(images)} tiles, but its index has {len(index)} rows; {remedy}")
    plate = TilePlate(array, images, index, list(metadata["channels"]), metadata)
    if verify != "none":
        _check_index(plate, remedy)
        spread = np.unique(np.linspace(0, len(index) - 1, QUICK_ROWS).round().astype(int))
        plate.check(None if verify == "full" else spread.tolist())
    return plate


def _check_index(plate: TilePlate, remedy: str) -> None:
    """Check the index for consistency: rows in order, unique keys, contiguous wells, digests as recorded."""
    index, path = plate.index, index_path(plate.path)
    missing = [name for name in [*CELL_KEYS, "row", "crc32"] if name not in index]
    if missing:
        raise DataError(f"{path}: no column {missing[0]}; {remedy}")
    if not np.array_equal(index["row"], np.arange(len(index))) or index.duplicated(CELL_KEYS).any():
        raise DataError(f"{path}: its rows are out of order or doubled; {remedy}")
    if digest(index) != plate.metadata["digest"] or well_digests(index) != plate.metadata["wells"]:
        raise DataError(f"{path}: its checksums differ from those recorded; {remedy}")
