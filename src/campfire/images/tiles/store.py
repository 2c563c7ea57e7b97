"""The tile store: one memory-mappable array and one index per plate.

`{plate}.npy` holds (N, C, size, size) tiles, cells of a well contiguous; `{plate}.parquet` has one row per tile in the
same order with the tile's keys, its `row` and the CRC-32 of its bytes, and describes the array in its schema metadata.
The array is renamed into place first and the index last, and the index holds the array's size and digests: an array
beside the index of another one is detected on opening.
"""

import errno
import glob
import hashlib
import io
import logging
import shutil
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import campfire
from campfire.core.columns import CELL_KEYS, NUCLEUS, PLATE, SITE, SITE_KEYS, WELL
from campfire.core.errors import DataError
from campfire.core.files import atomic_path, write_table
from campfire.core.text import size
from campfire.images import illumination as illum
from campfire.images.sites import Function, SiteImages, iterate_sites, read_sites, with_channels
from campfire.images.tiles.cut import cut, fits, native_size, resample
from campfire.images.tiles.options import TileOptions
from campfire.images.tiles.ranges import check_ranges, sample_ranges, to_uint8

log = logging.getLogger(__name__)

FORMAT = 1
"""Version of the layout; raised when a reader of the old one could misread the new one."""


def index_path(path: str | Path) -> Path:
    """The index beside a plate's array."""
    return Path(path).with_suffix(".parquet")


def write_plate(
    path: str | Path,
    images: str | Path,
    nuclei: pd.DataFrame,
    channels: Sequence[str],
    options: TileOptions | None = None,
    *,
    illumination: str = "none",
    illumination_offset: float = 0.0,
    pixel_size_um: float | None = None,
    segmentation: Mapping[str, Any] | None = None,
    threads: int = 2,
) -> pd.DataFrame:
    """Cut the tiles of a plate's kept nuclei in one pass over its images and write the pair at `path` (`.npy`).

    images: the plate's image folder. nuclei: the plate's nuclei table; rows with `kept` false are left out.
    `illumination_offset`: counts of the camera without light, which the correction does not change.
    `pixel_size_um` is that of the images; tiles are resampled where the options give them another. It and
    `segmentation` (how the nuclei were found) describe the tiles in the index. `threads` decode ahead; memory does not
    depend on the number of sites. Returns the index. Nothing is left under a final name when the plate fails.

    Raises DataError when no nucleus is kept, nuclei belong to a site without images, a tile does not fit although
    `border` is drop, an image cannot be read, or the disk is full.
    """
    options, channels, path = options or TileOptions(), list(channels), Path(path)
    if path.suffix != ".npy":
        raise DataError(f"{path}: a tile store is named by its .npy file")
    cells, sites = _ordered(images, nuclei, channels)
    plate = str(cells[PLATE].iloc[0])
    functions = illum.read_functions(images, channels, illumination, illumination_offset)
    scale = _Scale(options, pixel_size_um)
    ranges = _ranges(images, sites, channels, functions, options)
    cutter = _Cutter(channels, options, functions is not None, ranges, scale.native)
    shape = (len(cells), len(channels), options.size, options.size)
    header = _npy_header(shape, np.dtype(options.dtype))
    started = time.monotonic()
    _remove_partials(path)
    _check_space(path, shape, options.dtype, plate)
    try:
        # Left in reverse order: the array is renamed first, the index last, and both only once both are written.
        with atomic_path(index_path(path)) as index_partial, atomic_path(path) as partial:
            with open(partial, "wb", buffering=0) as handle:
                handle.write(header)
                crcs = cutter.write(handle, iterate_sites(images, sites, channels, functions, threads), cells)
            index = cells[CELL_KEYS].assign(row=np.arange(len(cells), dtype=np.int64), crc32=crcs)
            cutter.clipped.check(f"plate {plate}")
            given: dict[str, Any] = {**scale.described, "illumination": illumination}
            given |= {"segmentation": dict(segmentation or {}), "illumination_offset": illumination_offset}
            write_table(index, index_partial, {**_describe(index, cutter, functions, len(header)), **given})
            # An index of an earlier array must never lie beside the new one.
            index_path(path).unlink(missing_ok=True)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DataError(
                f"{path}: the disk is full; free {size(_bytes(shape, options.dtype))} for plate {plate}"
            ) from error
        raise
    seconds = time.monotonic() - started
    log.info("%s: %d tiles of %d sites in %.1f s, %s", plate, len(cells), len(sites), seconds, path)
    return index


@dataclass(frozen=True)
class _Scale:
    """The scale of a plate's tiles; pixel_size_um: of its images."""

    options: TileOptions
    pixel_size_um: float | None

    @property
    def native(self) -> int:
        """Side of the square of the images that becomes a tile, px."""
        return native_size(self.options.size, self.pixel_size_um, self.options.pixel_size_um)

    @property
    def described(self) -> dict[str, Any]:
        """Pixel size of the tiles, um, and what they were resampled from, where they were."""
        if self.native == self.options.size:
            return {"pixel_size_um": self.pixel_size_um}
        facts = {"native_size": self.native, "native_pixel_size_um": self.pixel_size_um}
        return {"pixel_size_um": self.options.pixel_size_um, **facts}


def _describe(
    index: pd.DataFrame, cutter: "_Cutter", functions: Mapping[str, Function] | None, header_bytes: int
) -> dict[str, Any]:
    """The metadata about the array that the index records."""
    options = cutter.options
    shape = [len(index), len(cutter.channels), options.size, options.size]
    return {
        "format": FORMAT,
        "plate": str(index[PLATE].iloc[0]),
        "channels": cutter.channels,
        "shape": shape,
        "dtype": options.dtype,
        "ranges": {channel: list(pair) for channel, pair in cutter.ranges.items()} if cutter.ranges else None,
        "border": options.border,
        "illumination_functions": _function_digests(functions),
        "clipped_pixels": cutter.clipped.pixels if functions else None,
        "bytes": header_bytes + int(np.prod(shape)) * np.dtype(options.dtype).itemsize,
        "wells": well_digests(index),
        "digest": digest(index),
        "software": f"campfire {campfire.__version__}",
    }


def _ordered(images: str | Path, nuclei: pd.DataFrame, channels: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The kept nuclei in the store's order and the rows of the sites table that hold them."""
    missing = [name for name in [*CELL_KEYS, "y", "x", "kept"] if name not in nuclei]
    if missing:
        raise DataError(f"{images}: the nuclei table has no column {missing[0]}; run the nuclei step again")
    sites = read_sites(images)
    plate = str(sites[PLATE].iloc[0])
    cells = nuclei.loc[nuclei["kept"]]
    if cells.empty:
        raise DataError(
            f"plate {plate}: none of its {len(nuclei)} nuclei is kept; see `reason` in the nuclei table, then "
            "check the pixel size, nuclei.diameter_um and the quality thresholds"
        )
    usable = with_channels(sites, channels, images)
    order = usable[SITE_KEYS].assign(_site=np.arange(len(usable)))
    keys = cells[CELL_KEYS].astype(dict.fromkeys(SITE_KEYS, str))
    placed = keys.merge(order, on=SITE_KEYS, how="left", validate="many_to_one")["_site"].to_numpy()
    lost = np.isnan(placed.astype(float))
    if lost.any():
        well, site = keys[lost].iloc[0][[WELL, SITE]]
        raise DataError(
            f"plate {plate} well {well} site {site}: {int(lost.sum())} nuclei have no image in every channel of "
            f"{', '.join(channels)}; run the nuclei step again on the images now in {images}"
        )
    cells = cells.assign(**{name: keys[name] for name in SITE_KEYS}, _site=placed.astype(np.int64))
    cells = cells.sort_values(["_site", NUCLEUS], kind="stable").reset_index(drop=True)
    if cells.duplicated(CELL_KEYS).any():
        raise DataError(f"plate {plate}: the nuclei table names a nucleus twice; run the nuclei step again")
    return cells, usable.iloc[np.unique(cells["_site"])].reset_index(drop=True)


def _ranges(
    images: str | Path,
    sites: pd.DataFrame,
    channels: list[str],
    functions: dict[str, Function] | None,
    options: TileOptions,
) -> dict[str, tuple[float, float]] | None:
    """Each channel's range for uint8, given or sampled; None for uint16."""
    if options.dtype != "uint8":
        return None
    if options.ranges is not None:
        return check_ranges(dict(options.ranges), channels)
    low, high = options.range_quantiles
    return sample_ranges(images, sites, channels, functions, options.range_sites, (low, high))


@dataclass(frozen=True)
class _Cutter:
    """How the tiles of a plate's sites are cut and written."""

    channels: list[str]
    options: TileOptions
    corrected: bool
    """Whether images are corrected for illumination, as float32."""
    ranges: dict[str, tuple[float, float]] | None
    native: int
    """Side of the square cut from the images, px; tiles of another size are resampled from it."""
    clipped: illum.Clipped = field(default_factory=illum.Clipped)
    """Corrected pixels of the tiles that uint16 cannot hold."""

    def write(self, handle: BinaryIO, sites: Iterable[SiteImages], cells: pd.DataFrame) -> NDArray[np.uint32]:
        """Write the tiles of `cells`, which are in the order of `sites`, to an unbuffered file; CRC-32 of each."""
        groups = cells.groupby(SITE_KEYS, sort=False)
        crcs = np.empty(len(cells), dtype=np.uint32)
        started = reported = time.monotonic()
        row = 0
        for done, site in enumerate(sites, 1):
            tiles = self.cut(site, groups.get_group((site.plate, site.well, site.site)))
            for n in range(len(tiles)):
                crcs[row + n] = zlib.crc32(tiles[n])
            _write_all(handle, tiles)
            row += len(tiles)
            if time.monotonic() - reported > 10:
                reported = time.monotonic()
                rate = done / (reported - started)
                log.info("%s: %d of %d sites, %d tiles, %.1f sites/s", site.plate, done, len(groups), row, rate)
        return crcs

    def cut(self, site: SiteImages, cells: pd.DataFrame) -> NDArray[Any]:
        """The tiles of one site in the store's dtype."""
        y, x = cells["y"].to_numpy(), cells["x"].to_numpy()
        shape = site.images[self.channels[0]].shape
        size = self.native
        if self.options.border == "drop" and not fits(y, x, shape, size).all():
            raise DataError(
                f"plate {site.plate} well {site.well} site {site.site}: a kept nucleus has no room for a tile of "
                f"{size} px; run the nuclei step with the same tile size and border rule"
            )
        tiles = cut(site.images, y, x, self.channels, size)
        resampled = size != self.options.size
        if resampled:
            tiles = resample(tiles, self.options.size)
        if self.ranges is not None:
            return to_uint8(tiles, self.ranges, self.channels)
        return illum.to_uint16(tiles, self.clipped) if self.corrected or resampled else tiles


def _write_all(handle: BinaryIO, tiles: NDArray[Any]) -> None:
    """Write every byte; one call to an unbuffered file may write fewer (at most 2 GiB on Linux)."""
    view = tiles.reshape(-1).view(np.uint8).data
    while view:
        view = view[handle.write(view) :]


def _function_digests(functions: Mapping[str, Function] | None) -> dict[str, str] | None:
    """SHA-256 of each channel's illumination function (its float32 values in C order); None without correction."""
    if functions is None:
        return None
    return {channel: hashlib.sha256(shading.function.data).hexdigest() for channel, shading in functions.items()}


def _npy_header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """The `.npy` 1.0 header of a C-ordered array, so that the tiles can follow as they are cut."""
    buffer = io.BytesIO()
    description = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, description)
    return buffer.getvalue()


def _remove_partials(path: Path) -> None:
    """Remove the leftovers of a killed job beside this store; one job writes a plate at a time."""
    stem = glob.escape(path.stem)
    for pattern in (f".{stem}.*.partial.npy", f".{stem}.*.partial.parquet", f"..{stem}.*.partial.parquet"):
        for left in path.parent.glob(pattern):
            log.info("removing %s, left by a job that was killed", left)
            left.unlink(missing_ok=True)


def _check_space(path: Path, shape: tuple[int, ...], dtype: str, plate: str) -> None:
    """Raise a DataError if the disk is too small, before the first tile rather than hours later."""
    path.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(path.parent).free
    needed = _bytes(shape, dtype)
    if free < needed:
        raise DataError(f"{path}: plate {plate} needs {size(needed)}, the disk has {size(free)} left; free some space")


def _bytes(shape: tuple[int, ...], dtype: str) -> float:
    return float(np.prod(shape, dtype=float)) * np.dtype(dtype).itemsize


def well_digests(index: pd.DataFrame) -> dict[str, str]:
    """SHA-256 of each well's tiles' checksums, little-endian uint32 in row order."""
    return {
        str(well): hashlib.sha256(crcs.to_numpy().astype("<u4").tobytes()).hexdigest()
        for well, crcs in index.groupby(WELL, sort=False)["crc32"]
    }


def digest(index: pd.DataFrame) -> str:
    """SHA-256 over all tiles' checksums in row order: equal for stores with the same tiles in the same order."""
    return hashlib.sha256(index["crc32"].to_numpy().astype("<u4").tobytes()).hexdigest()


__all__ = ["FORMAT", "TileOptions", "digest", "index_path", "well_digests", "write_plate"]
