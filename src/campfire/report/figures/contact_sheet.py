"""A contact sheet of a plate's sites: false colour, outlines of kept and dropped nuclei with the reason, a scale bar.

Contrast is one range per channel for the whole plate, so that sites are comparable. It is drawn while the images
are on disk; this module takes arrays and reads no files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from campfire.core.columns import NUCLEUS, SITE, SITE_KEYS, WELL
from campfire.core.files import atomic_path
from campfire.images.quality import SITE_REASON
from campfire.images.sites import SiteImages
from campfire.report.figures.style import channel_colour, new_figure, styled

KEPT, DROPPED = (1.0, 1.0, 1.0), (1.0, 0.45, 0.0)
"""Colours of outlines (red, green, blue from 0 to 1); colour-blind readers can distinguish them by brightness."""
DIM = 0.75
"""Maximum brightness of a channel, so that outlines stand out."""
EDGED = [withStroke(linewidth=1.2, foreground="black")]
"""Text and bars stay legible on bright cells."""
BAR_UM = (5, 10, 20, 50, 100, 200, 500, 1000)
"""Possible lengths of the scale bar."""
RANKED = {
    "focus_DNA": ("worst focus", "median focus", "best focus"),
    "saturated_DNA": ("least saturated", "median saturation", "most saturated"),
    "nuclei": ("fewest nuclei", "median number of nuclei", "most nuclei"),
}
"""Quality measure and what its least, median and greatest value means."""
SHEET_DPI, QUALITY = 150, 80
"""Resolution and JPEG quality of a sheet: it is viewed on a screen, and there are hundreds of plates."""


@dataclass(frozen=True)
class View:
    """One site of the sheet."""

    title: str
    """Such as `B07 site 2: worst focus`."""
    picture: NDArray[np.uint8]
    """(h, w, 3) false colour with outlines, at most a thumbnail's size."""
    um_per_px: float
    """Of the picture."""
    notes: tuple[tuple[float, float, str], ...] = field(default_factory=tuple)
    """(y, x) in px of the picture and the reason of each dropped nucleus."""


def choose_sites(quality: pd.DataFrame, left_out: int = 6, most: int = 12) -> dict[tuple[str, str, str], str]:
    """Plate, well and site of the sites to show of a plate, and the reason for each.

    Best, median and worst of focus, saturation and number of nuclei, then at most `left_out` of the sites that were
    left out, spread over the plate, and no more than `most` in all. quality: the plate's quality table.
    """
    chosen: dict[tuple[str, str, str], list[str]] = {}

    def take(row: pd.Series, why: str) -> None:
        chosen.setdefault((str(row[SITE_KEYS[0]]), str(row[WELL]), str(row[SITE])), []).append(why)

    kept = quality[quality["kept"]]
    for column, words in RANKED.items():
        if column in kept and kept[column].min() < kept[column].max():
            ranked = kept.sort_values([column, *SITE_KEYS], kind="stable")
            for place, word in zip((0, len(ranked) // 2, len(ranked) - 1), words, strict=True):
                take(ranked.iloc[place], word)
    lost = quality[~quality["kept"]]
    room = min(left_out, len(lost), most - len(chosen))
    for place in np.unique(np.linspace(0, len(lost) - 1, room).round().astype(int)):
        take(lost.iloc[place], f"left out: {lost['reason'].iloc[place]}")
    if not chosen and len(quality):
        take(quality.iloc[0], "first site")
    return {keys: ", ".join(dict.fromkeys(why)) for keys, why in chosen.items()}


def shown_channels(channels: Sequence[str], dna_channel: str = "DNA", most: int = 3) -> list[str]:
    """The DNA channel and the first others: more than three colours add up to white."""
    return [dna_channel, *(name for name in channels if name != dna_channel)][:most]


def plate_limits(samples: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, tuple[float, float]]:
    """Range (low, high) of each channel: 1st and 99.7th percentile of all pixels of a plate's sampled sites."""
    limits = {}
    for channel in samples[0]:
        pixels = np.concatenate([np.asarray(site[channel])[::4, ::4].ravel() for site in samples if channel in site])
        low, high = (float(value) for value in np.percentile(pixels, (1, 99.7)))
        limits[channel] = (low, max(high, low + 1))
    return limits


def false_colour(images: Mapping[str, NDArray[Any]], limits: Mapping[str, tuple[float, float]]) -> NDArray[np.float32]:
    """(H, W, 3) sum of the channels (H, W) in their colours, from 0 to 1, by the plate's `limits`."""
    total: NDArray[np.float32] = np.zeros((*next(iter(images.values())).shape, 3), dtype=np.float32)
    for channel, image in images.items():
        low, high = limits[channel]
        bright = np.clip((image.astype(np.float32) - low) / (high - low), 0, 1)
        total += bright[..., None] * np.array(channel_colour(channel, list(images)), dtype=np.float32)
    return np.clip(total, 0, 1)


def make_view(
    title: str,
    images: Mapping[str, NDArray[Any]],
    limits: Mapping[str, tuple[float, float]],
    labels: NDArray[np.integer[Any]],
    nuclei: pd.DataFrame,
    pixel_size_um: float,
    side: int = 360,
) -> View:
    """A site's view. images: channel to (H, W); labels: (H, W); nuclei: the site's rows with label, y, x, kept, reason.

    The picture is `side` px on its longer side at most; outlines are drawn at that size, so that they stay visible.
    """
    step = max(1, -(-max(labels.shape) // side))
    small = {channel: binned(np.asarray(image, dtype=np.float32), step) for channel, image in images.items()}
    picture = DIM * false_colour(small, limits)
    shrunk = labels[step // 2 :: step, step // 2 :: step][: picture.shape[0], : picture.shape[1]]
    kept = np.isin(shrunk, nuclei.loc[nuclei["kept"], NUCLEUS].to_numpy())
    edge = _outlines(shrunk)
    area = picture[: shrunk.shape[0], : shrunk.shape[1]]
    area[edge & kept], area[edge & ~kept] = KEPT, DROPPED
    # Of a site that is left out the title has the reason.
    dropped = nuclei[~nuclei["kept"] & ~nuclei["reason"].str.startswith(SITE_REASON)]
    notes = tuple(
        (float(y) / step, float(x) / step, str(why))
        for y, x, why in zip(dropped["y"], dropped["x"], dropped["reason"], strict=True)
    )
    return View(title, np.rint(255 * picture).astype(np.uint8), pixel_size_um * step, notes)


def site_views(
    chosen: Mapping[tuple[str, str, str], str],
    outlined: Sequence[tuple[SiteImages, NDArray[np.integer[Any]]]],
    nuclei: pd.DataFrame,
    pixel_size_um: float,
) -> list[View]:
    """The views of a plate's chosen sites, in the order of `chosen`.

    chosen: plate, well and site, and why it is shown. outlined: images and (H, W) labels of each of them. nuclei: the
    plate's nuclei table.
    """
    limits = plate_limits([site.images for site, _ in outlined])
    found = {(site.plate, site.well, site.site): (site.images, labels) for site, labels in outlined}
    groups = dict(iter(nuclei.groupby([nuclei[name].astype(str) for name in SITE_KEYS])))
    views = []
    for keys, why in chosen.items():
        images, labels = found[keys]
        own = groups.get(keys, nuclei.iloc[:0])
        title = f"{keys[1]} site {keys[2]}, {int(own['kept'].sum())} of {len(own)} kept\n{why}"
        views.append(make_view(title, images, limits, labels, _with_labels_of(own, labels), pixel_size_um))
    return views


def _with_labels_of(nuclei: pd.DataFrame, labels: NDArray[np.integer[Any]]) -> pd.DataFrame:
    """The nuclei with the numbers that they have in `labels`.

    Cellpose may number its objects otherwise on another device; then the object below a nucleus's centre is its own.
    """
    if set(nuclei[NUCLEUS]) == set(np.unique(labels).tolist()) - {0}:
        return nuclei
    y, x = (
        np.clip(nuclei[name].to_numpy().round().astype(int), 0, size - 1)
        for name, size in zip("yx", labels.shape, strict=True)
    )
    return nuclei.assign(**{NUCLEUS: labels[y, x]})


def binned(image: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """(H, W) -> means of step x step px; what is left over at the far edges is cut off."""
    height, width = (size // step * step for size in image.shape)
    return image[:height, :width].reshape(height // step, step, width // step, step).mean(axis=(1, 3))


def _outlines(labels: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Pixels of an object within two pixels, to the side or below or above, of another label."""
    padded = np.pad(labels, 2, mode="edge")
    height, width = labels.shape
    around = [padded[2 + y : 2 + y + height, 2 + x : 2 + x + width] for k in (1, 2) for y, x in _sides(k)]
    return (labels > 0) & np.any([labels != other for other in around], axis=0)


def _sides(step: int) -> list[tuple[int, int]]:
    return [(-step, 0), (step, 0), (0, -step), (0, step)]


@styled
def draw(plate: str, views: Sequence[View], columns: int = 3) -> Figure:
    """The sheet of a plate: its views in rows of `columns`, each with a scale bar and the reasons of dropped nuclei."""
    rows = max(1, -(-len(views) // columns))
    figure = new_figure(2.6 * columns, 2.85 * rows + 0.35)
    figure.suptitle(f"{plate}: kept nuclei outlined in white, dropped ones in orange with their reason")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, view in zip(axes, views, strict=False):
        height, width = view.picture.shape[:2]
        axis.imshow(view.picture, interpolation="nearest")
        axis.set_title(view.title, fontsize=6)
        for y, x, reason in view.notes:
            place = (np.clip(x, 0.06 * width, 0.94 * width), np.clip(y, 0.02 * height, 0.98 * height))
            text = axis.text(*place, reason, color=DROPPED, fontsize=5, ha="center", va="center", clip_on=True)
            text.set_path_effects(EDGED)
        _draw_bar(axis, view)
    return figure


def _draw_bar(axis: Any, view: View) -> None:
    """A scale bar of a round length, about a fifth of the picture's width, at the lower right."""
    height, width = view.picture.shape[:2]
    length = min(BAR_UM, key=lambda um: abs(um / view.um_per_px - width / 5))
    right, y = 0.96 * width, 0.95 * height
    axis.plot([right - length / view.um_per_px, right], [y, y], color="white", linewidth=2, solid_capstyle="butt")
    middle = right - length / view.um_per_px / 2
    text = axis.text(middle, y - 0.02 * height, f"{length} µm", color="white", fontsize=6, ha="center", va="bottom")
    text.set_path_effects(EDGED)


@styled
def save_picture(figure: Figure, path: str | Path) -> None:
    """Write a sheet as a JPEG or PNG, by the suffix of `path`: pictures of cells have no lines to keep as vectors."""
    with atomic_path(path) as partial:
        options: Any = {"pil_kwargs": {"quality": QUALITY}} if Path(path).suffix == ".jpg" else {}
        figure.savefig(partial, dpi=SHEET_DPI, **options)
