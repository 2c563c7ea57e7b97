"""The tiles a run may use: rows of the packed plates whose wells have the right split, by key."""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core.columns import CELL_KEYS, PLATE, PLATE_TYPE, WELL
from campfire.core.errors import ConfigError, DataError
from campfire.core.files import read_table
from campfire.core.random import keyed_generator
from campfire.images.tiles import TileChecks, open_plate
from campfire.images.tiles.positioned import TileFile
from campfire.screen.leave_out import LeaveOut, drop

log = logging.getLogger(__name__)

MADV_WILLNEED = 3
OPENING_THREADS = 8


@dataclass(frozen=True)
class PlateRows:
    """Rows of one plate's tile array."""

    path: Path
    plate: str
    images: NDArray[Any]
    """(N, C, H, W) memory map."""
    positions: NDArray[np.int64]
    """(c,) where this group's channels are among the file's."""
    rows: NDArray[np.int32]
    """(n,) row numbers, ascending; a plate has some 500,000, and a run keeps 80 million of them."""
    checks: TileChecks | None = None
    """The tiles' checksums, compared when this process first reads a tile; None where there are none."""
    file: TileFile | None = None
    """Reads tiles at their positions; None reads through the map."""
    wells: NDArray[np.int64] | None = None
    """(W,) the first row of each well in the file, where a well's tiles are neighbours; None where it is unknown."""

    def read(self, start: int, stop: int, out: NDArray[Any]) -> None:
        """Copy rows[start:stop] of this group's channels to `out` (stop - start, c, H, W).

        DataError for a tile that was altered since it was cut.
        """
        rows = self.rows[start:stop]
        if self.file is None:
            if self.checks is not None:
                self.checks.check(rows)
            copy_planes(self.images, rows, self.positions, out)
            return
        # Whole tiles: the checksum is over all channels, and skipping two of five saves less than a request costs.
        whole = np.array_equal(self.positions, np.arange(self.images.shape[1])) and out.dtype == self.images.dtype
        tiles = out if whole else np.empty((len(rows), *self.images.shape[1:]), self.images.dtype)
        self.file.read(rows, tiles)
        if self.checks is not None:
            self.checks.check(rows, tiles)
        if not whole:
            copy_planes(tiles, np.arange(len(rows)), self.positions, out)

    def announce(self, start: int, stop: int) -> None:
        """Advise the kernel that rows[start:stop] will be read soon, so that a disk reads ahead."""
        mapped = getattr(self.images, "_mmap", None)
        if self.file is not None or mapped is None or not hasattr(mapped, "madvise") or start >= stop:
            return
        if self.rows[stop - 1] - self.rows[start] > 4 * (stop - start):
            return  # most tiles between are not wanted
        size = self.images.itemsize * int(np.prod(self.images.shape[1:]))
        # The map begins on a page boundary at or before the array (the .npy header lies between).
        lead = len(mapped) - self.images.nbytes
        first = (lead + int(self.rows[start]) * size) // 4096 * 4096
        last = lead + (int(self.rows[stop - 1]) + 1) * size
        mapped.madvise(MADV_WILLNEED, first, min(last, len(mapped)) - first)


@dataclass(frozen=True)
class Group:
    """Plates that have the same training channels."""

    channels: tuple[str, ...]
    plates: tuple[PlateRows, ...]

    @property
    def tiles(self) -> int:
        return sum(len(p.rows) for p in self.plates)

    @property
    def dtype(self) -> "np.dtype[Any]":
        """The type that holds the tiles of all its plates."""
        return np.result_type(*{p.images.dtype for p in self.plates})

    @property
    def sizes(self) -> list[int]:
        return [len(p.rows) for p in self.plates]


@dataclass(frozen=True)
class Source:
    """All tiles of one split, by group."""

    groups: tuple[Group, ...]

    @property
    def tiles(self) -> int:
        return sum(g.tiles for g in self.groups)

    @property
    def plates(self) -> list[str]:
        return [p.plate for g in self.groups for p in g.plates]

    def mixing(self, plates: NDArray[np.int64], rows: NDArray[np.int64]) -> tuple[int, int]:
        """How many different plates and wells tiles come from, given as in a Batch; no wells where unknown."""
        members, wells = [p for g in self.groups for p in g.plates], 0
        present = np.unique(plates)
        for number in present.tolist():
            starts = members[number].wells
            if starts is not None:
                wells += len(np.unique(np.searchsorted(starts, rows[plates == number], side="right")))
        return len(present), wells

    def capped(self, limit: int, *seed: int) -> "Source":
        """At most `limit` tiles, drawn once without replacement by a generator of `seed`; 0 keeps all."""
        if not limit or self.tiles <= limit:
            return self
        chosen = np.sort(keyed_generator(*seed).choice(self.tiles, limit, replace=False))
        groups, start = [], 0
        for group in self.groups:
            plates = []
            for plate in group.plates:
                stop = start + len(plate.rows)
                mine = chosen[np.searchsorted(chosen, start) : np.searchsorted(chosen, stop)] - start
                start = stop
                if len(mine):
                    plates.append(replace(plate, rows=plate.rows[mine]))
            if plates:
                groups.append(Group(group.channels, tuple(plates)))
        return Source(tuple(groups))

    def digest(self) -> str:
        """12 hex digits over plates, channels and row numbers (the tiles' own checksums are the run's `data`)."""
        total = sha256()
        for group in self.groups:
            for plate in group.plates:
                total.update(f"{plate.plate}:{','.join(group.channels)}:{len(plate.rows)};".encode())
                total.update(plate.rows.astype("<i8").tobytes())
        return total.hexdigest()[:12]


def copy_planes(images: NDArray[Any], rows: NDArray[Any], columns: NDArray[Any], out: NDArray[Any]) -> None:
    """`out[i, j] = images[rows[i], columns[j]]` for contiguous (N, C, H, W) arrays, in one pass over whole planes.

    Neither a Python loop nor a second copy, and the interpreter lock is free meanwhile. IndexError for a row that
    is not there.
    """
    count, channels = images.shape[:2]
    if len(rows) and (rows.min() < 0 or rows.max() >= count):
        raise IndexError(f"row {rows.max()} of an array of {count} tiles")
    planes = (rows[:, None] * channels + columns[None, :]).reshape(-1)
    # With mode="raise" numpy would fill a buffer first.
    np.take(images.reshape(count * channels, -1), planes, axis=0, out=out.reshape(len(planes), -1), mode="clip")


def _rows_by_split(
    index: pd.DataFrame, wells: pd.DataFrame, path: Path, leave_out: LeaveOut
) -> dict[str, NDArray[np.int32]]:
    """Row numbers of one plate's tiles by the split of their well; a plate the split does not know is an error."""
    plates = index[PLATE].unique()
    if len(plates) > 1:
        raise DataError(f"{path}: tiles of several plates {sorted(plates)}; a tile file holds one")
    known = wells.loc[wells[PLATE] == (plates[0] if len(plates) else ""), [WELL, "split"]]
    if len(plates) and known.empty:
        raise DataError(f"{path}: plate {plates[0]} is not in the split; run the split again with its sheet")
    table = dict(zip(known[WELL], known["split"], strict=True))
    index = drop(index, leave_out)
    codes, names = pd.factorize(index[WELL])
    label = np.array([table.get(name, "unused") for name in names], dtype=object)
    rows = index["row"].to_numpy(dtype=np.int32)
    return {s: np.sort(rows[(label == s)[codes]]) for s in ("train", "val")} if len(rows) else {}


@dataclass(frozen=True)
class _Opened:
    """One opened plate, without its index (those of a large screen would not fit in memory)."""

    plate: str
    images: NDArray[Any]
    channels: list[str]
    by_split: dict[str, NDArray[np.int32]]
    checks: TileChecks
    digest: str
    wells: NDArray[np.int64]


def _open(path: Path, wells: pd.DataFrame, leave_out: LeaveOut) -> _Opened:
    tiles = open_plate(path)
    by_split = _rows_by_split(tiles.index, wells, path, leave_out)
    plate = str(tiles.index[PLATE].iloc[0]) if len(tiles.index) else ""
    digest = str(tiles.metadata.get("digest", ""))
    names = tiles.index[WELL].to_numpy()
    starts = np.flatnonzero(np.concatenate([[True], names[1:] != names[:-1]])) if len(names) else np.arange(0)
    return _Opened(plate, tiles.images, list(tiles.channels), by_split, tiles.checks(), digest, starts)


def open_sources(
    plates: Sequence[str | Path],
    wells: pd.DataFrame | str | Path,
    channels: Sequence[str],
    plate_types: Sequence[str] = (),
    leave_out: LeaveOut | None = None,
    reading: Literal["map", "positioned"] = "map",
) -> tuple[Source, Source, dict[str, str]]:
    """Open the tile files and choose their train and val rows.

    `wells` is split/wells.parquet or that table; `channels` are taken by name, in this order; `leave_out` names wells
    and sites that are not used; `reading` says how tiles are read: through a memory map, or at their positions in the
    file. Plates that share the available channels form a group. Returns (train, val, digest of each used plate's
    tiles by plate).
    Raises DataError for a plate that the split does not know, that has none of the channels or comes twice, and for
    tiles of several types; ConfigError when no tile is left, or a channel is on no plate.
    """
    wells = wells if isinstance(wells, pd.DataFrame) else read_table(wells)
    missing = {PLATE, WELL, "split"} - set(wells.columns)
    if missing:
        raise DataError(f"the split table lacks the columns {sorted(missing)}; make it again with screen.split")
    if plate_types:
        wells = wells.assign(split=wells["split"].where(wells[PLATE_TYPE].isin(list(plate_types)), "unused"))
    wells = wells[[PLATE, WELL, "split"]]
    found: dict[str, dict[tuple[str, ...], list[PlateRows]]] = {"train": {}, "val": {}}
    digests: dict[str, str] = {}
    types: dict[str, str] = {}
    paths = [Path(path) for path in plates]
    with ThreadPoolExecutor(OPENING_THREADS) as pool:
        for path, opened in zip(paths, pool.map(lambda p: _open(p, wells, leave_out or {}), paths), strict=True):
            here = tuple(c for c in channels if c in opened.channels)
            if not here:
                raise DataError(f"{path}: has none of the channels {list(channels)}, only {opened.channels}")
            if opened.plate and opened.plate in types:
                raise DataError(f"{path}: plate {opened.plate} comes twice; name its tile file once")
            types[opened.plate] = str(opened.images.dtype)
            positions = np.array([opened.channels.index(c) for c in here], dtype=np.int64)
            for split, rows in opened.by_split.items():
                if len(rows):
                    digests[opened.plate] = opened.digest
                    file = TileFile(opened.images) if reading == "positioned" else None
                    place = (path, opened.plate, opened.images, positions, rows)
                    entry = PlateRows(*place, opened.checks, file, opened.wells)
                    found[split].setdefault(here, []).append(entry)
    train, val = (
        Source(tuple(Group(here, tuple(rows)) for here, rows in sorted(found[s].items(), key=lambda i: -len(i[0]))))
        for s in ("train", "val")
    )
    if not train.tiles:
        kinds = f" of type {list(plate_types)}" if plate_types else ""
        raise ConfigError(f"no tile of a train well{kinds} in {len(plates)} plates; check the split and the sheet")
    _check_together(train, channels, types)
    log.info(
        "%d train and %d val tiles of %d plates, channels %s",
        train.tiles, val.tiles, len(set(train.plates)), " and ".join("+".join(g.channels) for g in train.groups),
    )  # fmt: skip
    return train, val, digests


def _check_together(train: Source, channels: Sequence[str], types: Mapping[str, str]) -> None:
    """Raise ConfigError for a channel without a train tile, DataError for plates (by name) of several types."""
    absent = [name for name in channels if not any(name in group.channels for group in train.groups)]
    if absent:
        raise ConfigError(
            f"no plate with train wells has channel {', '.join(absent)}; train on channels of the plates "
            f"({', '.join(dict.fromkeys(name for group in train.groups for name in group.channels))}), by their names"
        )
    first = next(iter(types))
    other = next((plate for plate in types if types[plate] != types[first]), None)
    if other is not None:
        raise DataError(
            f"tiles of plate {first} are {types[first]}, those of plate {other} {types[other]}; a model is trained on "
            "one type, so cut the tiles of all plates with the same `tiles.dtype`"
        )


def data_digest(train: Source, val: Source, digests: Mapping[str, str]) -> str:
    """64 hex digits over all that a run reads: the rows of both splits, and the tiles of each plate by their digest."""
    total = sha256(f"{train.digest()}{val.digest()}".encode())
    for plate in sorted(digests):
        total.update(f"{plate}:{digests[plate]};".encode())
    return total.hexdigest()


def tile_keys(plate: PlateRows, rows: NDArray[np.int64]) -> pd.DataFrame:
    """Keys of these rows of a plate's array, in their order."""
    index = open_plate(plate.path, verify="none").index
    return index.set_index("row").loc[rows, CELL_KEYS].reset_index(drop=True)
