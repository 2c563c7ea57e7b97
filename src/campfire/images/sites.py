"""Reading the sites of one plate's image folder: the table of files, decoding, and decoding ahead.

The folder is `images/{plate}` of the contract: `sites.parquet` with one `path_<channel>` column per channel, relative
to the folder, and `illum_<channel>.npy` where the gallery's illumination functions were fetched.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from numpy.typing import NDArray

from campfire.core.columns import PLATE, SITE, SITE_KEYS, WELL
from campfire.core.errors import DataError
from campfire.core.files import read_table
from campfire.images import illumination
from campfire.images.reader import read_image

log = logging.getLogger(__name__)

T = TypeVar("T")
Function = illumination.Shading


@dataclass(frozen=True)
class SiteImages:
    """The decoded images of one site."""

    plate: str
    well: str
    site: str
    images: dict[str, NDArray[Any]]
    """Channel to (H, W) image: uint16 counts as stored, or float32 after illumination correction."""


def read_sites(folder: str | Path) -> pd.DataFrame:
    """The table of a plate's sites in plate order: well, then site by its number.

    Raises DataError when the table is missing, has no row, names more than one plate or a site twice.
    """
    path = Path(folder) / "sites.parquet"
    table = read_table(path)
    missing = [name for name in SITE_KEYS if name not in table]
    if missing:
        raise DataError(f"{path}: no column {missing[0]}; run the images step of this plate again")
    if table.empty:
        raise DataError(f"{path}: the plate has no site; its download table lists the failures")
    plates = table[PLATE].unique()
    if len(plates) > 1:
        raise DataError(f"{path}: names {len(plates)} plates, one was expected; run the images step again")
    table[SITE_KEYS] = table[SITE_KEYS].astype(str)
    doubled = table.duplicated(SITE_KEYS)
    if doubled.any():
        well, site = table.loc[doubled, [WELL, SITE]].iloc[0]
        raise DataError(f"{path}: well {well} site {site} occurs twice; run the images step again")
    return sort_sites(table)


def sort_sites(table: pd.DataFrame) -> pd.DataFrame:
    """Rows by well, then site; sites written as numbers sort by value ("2" before "10")."""
    number = pd.to_numeric(table[SITE], errors="coerce")
    order = table.assign(_number=number).sort_values([WELL, "_number", SITE], kind="stable").index
    return table.loc[order].reset_index(drop=True)


def channels_of(table: pd.DataFrame) -> list[str]:
    """The channels of a sites table, in its column order."""
    return [name.removeprefix("path_") for name in table.columns if str(name).startswith("path_")]


def with_channels(table: pd.DataFrame, channels: list[str], folder: str | Path) -> pd.DataFrame:
    """The sites that have a file for each of `channels`; DataError if a channel was fetched for no site."""
    known = channels_of(table)
    for channel in channels:
        if channel not in known:
            raise DataError(f"{folder}: channel {channel} was not fetched for this plate (it has {', '.join(known)})")
    paths = table[[f"path_{channel}" for channel in channels]]
    return table[(paths.notna() & (paths != "")).all(axis=1)].reset_index(drop=True)


def read_site(
    folder: str | Path, row: Mapping[Any, Any], channels: list[str], functions: dict[str, Function] | None = None
) -> SiteImages:
    """Decode (and illumination-correct, given `functions` by channel) the images of one row of the sites table."""
    root = Path(folder)
    images: dict[str, NDArray[Any]] = {}
    for channel in channels:
        images[channel] = read_image(root / row[f"path_{channel}"])
        if images[channel].shape != images[channels[0]].shape:
            raise DataError(
                f"plate {row[PLATE]} well {row[WELL]} site {row[SITE]}: {channel} has shape {images[channel].shape}, "
                f"{channels[0]} has {images[channels[0]].shape}; exclude the site or fetch it again"
            )
        if functions:
            images[channel] = illumination.correct(images[channel], functions[channel])
    return SiteImages(plate=row[PLATE], well=row[WELL], site=row[SITE], images=images)


def iterate_sites(
    folder: str | Path,
    table: pd.DataFrame,
    channels: list[str],
    functions: dict[str, Function] | None = None,
    threads: int = 2,
) -> Iterator[SiteImages]:
    """The sites of `table` in its order, up to `threads` of them decoded while the caller works on one.

    Decoding releases the interpreter lock, so the threads run beside the caller. Memory is that of `threads + 1`
    sites whatever the length of the table. `threads=0` decodes in the caller's thread.
    """
    return prepare_sites(folder, table, channels, _as_read, functions, threads)


def _as_read(site: SiteImages) -> SiteImages:
    return site


def prepare_sites(
    folder: str | Path,
    table: pd.DataFrame,
    channels: list[str],
    prepare: Callable[[SiteImages], T],
    functions: dict[str, Function] | None = None,
    threads: int = 2,
    ahead: int = 0,
) -> Iterator[T]:
    """`prepare` of each site, in order; it runs in the decoding threads, as `iterate_sites` describes.

    `ahead` sites wait decoded at most, `threads` where that is more.
    """

    def work(row: Mapping[Any, Any]) -> T:
        return prepare(read_site(folder, row, channels, functions))

    rows = table.to_dict("records")
    if threads < 1:
        yield from map(work, rows)
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        waiting: deque[Future[T]] = deque()
        try:
            for row in rows:
                waiting.append(pool.submit(work, row))
                if len(waiting) > max(threads, ahead):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
