"""Small pictures of a plate's sites and cells for the page: two sheets, and a table of what is where on them.

They are drawn while the plate's images are on disk, with the contrast of its contact sheet. Their number and size are
bounded, so that the page of hundreds of plates stays small.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core.columns import CELL_KEYS, NUCLEUS, SITE_KEYS, WELL
from campfire.core.files import atomic_path, write_table
from campfire.images import illumination as illum
from campfire.images.sites import SiteImages, iterate_sites, read_sites
from campfire.images.tiles.cut import cut
from campfire.report.figures.contact_sheet import DIM, binned, false_colour

SITE_PX, CELL_PX = 160, 56
"""Longest side of the picture of a site, and of a cell."""
MOST_SITES, MOST_CELLS = 384, 1200
"""Pictures of a plate: one site of every well of a 384-well plate."""
CELLS_PER_SITE = 6
QUALITY = 75
"""JPEG quality."""

Limits = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Pictures:
    """The small pictures of a plate."""

    sites: NDArray[np.uint8]
    """(H, W, 3): pictures of `facts["site_px"]`, `facts["columns"]` in a row."""
    cells: NDArray[np.uint8]
    """(H, W, 3): pictures of `facts["cell_px"]`, as many in a row."""
    table: pd.DataFrame
    """One row per picture: keys (nucleus -1 for a site) and `place`, its number on its sheet."""
    facts: Mapping[str, Any]
    """site_px, cell_px, columns, step (px of the image per px of a site's picture), um_per_px (of it), channels."""


def choose_pictures(quality: pd.DataFrame, first: Collection[tuple[str, str, str]], most: int = MOST_SITES) -> pd.Index:
    """Rows of a plate's quality table whose sites get a picture: at most `most`, in plate order.

    `first`: plate, well and site of those that are on the contact sheet. Then one site of every well, kept ones
    before others, then a second one, and so on.
    """
    keys = quality[SITE_KEYS].astype(str).itertuples(index=False, name=None)
    on_sheet = np.fromiter((key in first for key in keys), bool, len(quality))
    ranked = quality.assign(_lost=~quality["kept"], _sheet=~on_sheet)
    ranked["_turn"] = ranked.sort_values("_lost", kind="stable").groupby(WELL).cumcount()
    chosen = ranked.sort_values(["_sheet", "_turn"], kind="stable").index[:most]
    return quality.index[quality.index.isin(chosen)]


def draw_pictures(
    images: str | Path,
    quality: pd.DataFrame,
    nuclei: pd.DataFrame,
    first: Collection[tuple[str, str, str]],
    limits: Limits,
    pixel_size_um: float,
    tile_size: int,
    *,
    illumination: str = "none",
    illumination_offset: float = 0.0,
) -> Pictures:
    """The pictures of the plate whose image folder is `images`.

    quality, nuclei: its tables. first: the sites of its contact sheet; limits: range of each channel shown, as there.
    Raises DataError when an image cannot be read.
    """
    channels = list(limits)
    wanted = quality.loc[choose_pictures(quality, first), SITE_KEYS].astype(str)
    table = read_sites(images).merge(wanted, on=SITE_KEYS)
    functions: Any = illum.read_functions(images, channels, illumination, illumination_offset)
    each = max(1, min(CELLS_PER_SITE, MOST_CELLS // max(1, len(table))))
    groups = dict(iter(nuclei[nuclei["kept"]].groupby([nuclei[name].astype(str) for name in SITE_KEYS])))
    sites: list[NDArray[np.uint8]] = []
    cells: list[NDArray[np.uint8]] = []
    rows: list[tuple[str, str, str, int, int]] = []
    step = 0
    for site in iterate_sites(images, table, channels, functions):
        step = step or max(1, -(-max(site.images[channels[0]].shape) // SITE_PX))
        keys = (site.plate, site.well, site.site)
        rows.append((*keys, -1, len(sites)))
        sites.append(_small(site.images, limits, step))
        own = _spread(groups[keys], each) if keys in groups else nuclei.iloc[:0]
        rows += [(*keys, int(nucleus), len(cells) + k) for k, nucleus in enumerate(own[NUCLEUS])]
        cells += _cell_pictures(site, own, channels, limits, tile_size)
    columns = max(1, int(np.ceil(np.sqrt(max(len(sites), len(cells), 1)))))
    site_px = max(max(picture.shape[:2]) for picture in sites)
    cell_px = max((picture.shape[0] for picture in cells), default=CELL_PX)
    facts = {
        "site_px": site_px, "cell_px": cell_px, "columns": columns, "step": step, "channels": channels,
        "um_per_px": pixel_size_um * step,
    }  # fmt: skip
    placed = pd.DataFrame(rows, columns=[*CELL_KEYS, "place"])
    return Pictures(_sheet(sites, site_px, columns), _sheet(cells, cell_px, columns), placed, facts)


def _small(images: Mapping[str, NDArray[Any]], limits: Limits, step: int) -> NDArray[np.uint8]:
    """(h, w, 3) false colour of an image, `step` px of it a pixel; dimmed, so that outlines stand out."""
    small = {name: binned(np.asarray(image, dtype=np.float32), step) for name, image in images.items()}
    return np.rint(255 * DIM * false_colour(small, limits)).astype(np.uint8)


def _spread(nuclei: pd.DataFrame, count: int) -> pd.DataFrame:
    """At most `count` nuclei, spread evenly over the site's numbers."""
    ranked = nuclei.sort_values(NUCLEUS)
    return ranked.iloc[np.unique(np.linspace(0, len(ranked) - 1, count).round().astype(int))]


def _cell_pictures(
    site: SiteImages, nuclei: pd.DataFrame, channels: Sequence[str], limits: Limits, tile_size: int
) -> list[NDArray[np.uint8]]:
    """(h, w, 3) of each nucleus: its tile in false colour, at most `CELL_PX` a side."""
    if nuclei.empty:
        return []
    tiles = cut(site.images, nuclei["y"], nuclei["x"], list(channels), tile_size)
    step = max(1, -(-tile_size // CELL_PX))
    return [
        np.rint(255 * false_colour({name: binned(tile[c].astype(np.float32), step) for c, name in enumerate(channels)},
                                   limits)).astype(np.uint8)
        for tile in tiles
    ]  # fmt: skip


def _sheet(pictures: Sequence[NDArray[np.uint8]], side: int, columns: int) -> NDArray[np.uint8]:
    """(rows x side, columns x side, 3) with the pictures in rows of `columns`; black where there is none."""
    rows = max(1, -(-len(pictures) // columns))
    sheet: NDArray[np.uint8] = np.zeros((rows * side, columns * side, 3), np.uint8)
    for place, picture in enumerate(pictures):
        y, x = place // columns * side, place % columns * side
        sheet[y : y + picture.shape[0], x : x + picture.shape[1]] = picture[:side, :side]
    return sheet


def save_pictures(pictures: Pictures, sites: str | Path, cells: str | Path, table: str | Path) -> None:
    """Write both sheets (JPEG) and the table with the facts."""
    from PIL import Image

    for sheet, path in ((pictures.sites, sites), (pictures.cells, cells)):
        with atomic_path(path) as partial:
            Image.fromarray(sheet).save(partial, "JPEG", quality=QUALITY)
    write_table(pictures.table, table, metadata=dict(pictures.facts))
