"""The tiles of a run, opened once on each node: one process checks the indices, the others map what it found.

Opening 257 plates takes 22 s of a core and 1 GB of row numbers and checksums, which are the same in every process.
"""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core.errors import ConfigError
from campfire.images.tiles import TileChecks
from campfire.images.tiles.positioned import TileFile
from campfire.screen.leave_out import LeaveOut
from campfire.training.options import PretrainOptions
from campfire.training.processes import Processes
from campfire.training.source import Group, PlateRows, Source, data_digest, open_sources

CAP_TRAIN, CAP_VAL = 5, 6
"""Purposes of keyed seeds."""
ALIGN = 64
"""Arrays of the shared file begin at multiples of so many bytes."""


@dataclass(frozen=True)
class Opened:
    """What a run reads: its train and val tiles, and the digest of both (`source.data_digest`)."""

    train: Source
    val: Source
    data: str


def open_tiles(
    options: PretrainOptions,
    plates: Sequence[str | Path],
    wells: pd.DataFrame | str | Path,
    leave_out: LeaveOut | None = None,
) -> Opened:
    """The tiles of a run (arguments as of `train`), at most as many as its options allow."""
    chosen = (options.channels, options.plate_types, leave_out, options.reading)
    train, val, digests = open_sources(plates, wells, *chosen)
    size = options.model.image_size
    for plate in (plate for group in (*train.groups, *val.groups) for plate in group.plates):
        if plate.images.shape[2:] != (size, size):
            height, width = plate.images.shape[2:]
            raise ConfigError(
                f"{plate.path}: its tiles are {height} x {width} px, but model.image_size is {size}; set that to the "
                "tiles' size, or cut the tiles anew"
            )
    train = train.capped(options.max_tiles, options.seed, CAP_TRAIN)
    val = val.capped(options.validation_tiles, options.seed, CAP_VAL)
    return Opened(train, val, data_digest(train, val, digests))


class _Place(NamedTuple):
    """Where an array is in the shared file."""

    start: int
    length: int
    dtype: str


@dataclass(frozen=True)
class _Plate:
    """A `PlateRows` whose arrays are in the shared file; `checks` and `wells` are None where it has none."""

    path: Path
    plate: str
    positions: NDArray[np.int64]
    rows: _Place
    checks: _Place | None
    wells: _Place | None
    positioned: bool


@dataclass(frozen=True)
class _Description:
    """An `Opened` without its arrays: for train and val the channels and plates of each group."""

    file: Path
    sources: tuple[tuple[tuple[tuple[str, ...], tuple[_Plate, ...]], ...], ...]
    data: str


def once_per_node(processes: Processes, open_all: Callable[[], Opened]) -> Opened:
    """What `open_all` returns, called by the first process of each node only; its arrays are shared by all of it.

    The shared file is in the folder of temporary files and is deleted as soon as every process has mapped it.
    """
    if processes.world == 1:
        return open_all()
    folder, mine = None, None
    try:
        if processes.local == 0:
            folder = Path(tempfile.mkdtemp(prefix="campfire-tiles-"))
            mine = pack(open_all(), folder / "arrays")
        description = processes.gather_objects(mine)[processes.rank - processes.local]
        opened = unpack(description)
        processes.wait()
        return opened
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def pack(opened: Opened, path: Path) -> _Description:
    """Write the arrays to `path`; what else there is to know, small enough to send."""
    known: dict[int, _Place] = {}
    with path.open("wb") as file:

        def keep(array: NDArray[Any] | None) -> _Place | None:
            """Where the array is in the file; one that train and val share is written once."""
            if array is None:
                return None
            if id(array) not in known:
                known[id(array)] = _append(file, array)
            return known[id(array)]

        def plate(rows: PlateRows) -> _Plate:
            where = keep(rows.rows)
            assert where is not None
            checks = keep(rows.checks.crc32 if rows.checks else None)
            place = (rows.path, rows.plate, rows.positions, where, checks, keep(rows.wells))
            return _Plate(*place, positioned=rows.file is not None)

        sources = tuple(
            tuple((group.channels, tuple(plate(rows) for rows in group.plates)) for group in source.groups)
            for source in (opened.train, opened.val)
        )
    return _Description(path, sources, opened.data)


def unpack(description: _Description) -> Opened:
    """The run's tiles with arrays that are maps of the shared file."""
    shared: NDArray[np.uint8] = np.memmap(description.file, np.uint8, "r")
    images: dict[Path, NDArray[Any]] = {}
    checks: dict[Path, TileChecks] = {}

    def array(place: _Place) -> NDArray[Any]:
        size = place.length * np.dtype(place.dtype).itemsize
        return np.asarray(shared)[place.start : place.start + size].view(place.dtype)

    def plate(known: _Plate) -> PlateRows:
        path = known.path
        if path not in images:
            images[path] = np.load(path.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)
            if known.checks is not None:
                checks[path] = TileChecks(path, images[path], array(known.checks))
        file = TileFile(images[path]) if known.positioned else None
        wells = None if known.wells is None else array(known.wells)
        place = (path, known.plate, images[path], known.positions, array(known.rows))
        return PlateRows(*place, checks.get(path), file, wells)

    def source(groups: Sequence[tuple[tuple[str, ...], tuple[_Plate, ...]]]) -> Source:
        return Source(tuple(Group(channels, tuple(map(plate, plates))) for channels, plates in groups))

    train, val = map(source, description.sources)
    return Opened(train, val, description.data)


def _append(file: BinaryIO, array: NDArray[Any]) -> _Place:
    file.write(bytes(-file.tell() % ALIGN))
    start = file.tell()
    file.write(np.ascontiguousarray(array).view(np.uint8).data)
    return _Place(start, len(array), array.dtype.str)
