"""A contact sheet of a plate's sites: false colour, outlines of kept and dropped nuclei with the reason, a scale bar.

Contrast is one range per channel for the whole plate, so that sites compare. The nuclei step draws it while the images
are on disk; arrays come in, nothing is read here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from campfire.core.columns import NUCLEUS, SITE, SITE_KEYS, WELL
from campfire.report.figures.style import channel_colour, new_figure, styled

KEPT, DROPPED = (1.0, 1.0, 1.0), (1.0, 0.25, 0.1)
"""Colours of outlines (red, green, blue from 0 to 1)."""
BAR_UM = (5, 10, 20, 50, 100, 200, 500, 1000)
"""Lengths of the scale bar to choose from."""


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


def choose_sites(quality: pd.DataFrame, left_out: int = 6) -> dict[tuple[str, str, str], str]:
    """Plate, well and site of the views of a plate, and why each is shown.

    Best, median and worst of focus, saturation and number of nuclei, then at most `left_out` of the sites that were
    left out, spread over the plate. quality: the plate's quality table.
    """
    chosen: dict[tuple[str, str, str], list[str]] = {}

    def take(row: pd.Series, why: str) -> None:
        chosen.setdefault((str(row[SITE_KEYS[0]]), str(row[WELL]), str(row[SITE])), []).append(why)

    kept = quality[quality["kept"]]
    for column, best_is_high in (("focus_DNA", True), ("saturated_DNA", False), ("nuclei", True)):
        if column in kept and kept[column].min() < kept[column].max():
            ranked = kept.sort_values([column, *SITE_KEYS], ascending=not best_is_high, kind="stable")
            name = column.removesuffix("_DNA")
            for place, word in ((0, "best"), (len(ranked) // 2, "median"), (len(ranked) - 1, "worst")):
                take(ranked.iloc[place], f"{word} {name}")
    lost = quality[~quality["kept"]]
    for place in np.unique(np.linspace(0, len(lost) - 1, min(left_out, len(lost))).round().astype(int)):
        take(lost.iloc[place], f"left out: {lost['reason'].iloc[place]}")
    if not chosen and len(quality):
        take(quality.iloc[0], "first site")
    return {keys: ", ".join(dict.fromkeys(why)) for keys, why in chosen.items()}


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
    small = {channel: _binned(np.asarray(image, dtype=np.float32), step) for channel, image in images.items()}
    picture = false_colour(small, limits)
    shrunk = labels[step // 2 :: step, step // 2 :: step][: picture.shape[0], : picture.shape[1]]
    kept = np.isin(shrunk, nuclei.loc[nuclei["kept"], NUCLEUS].to_numpy())
    edge = _outlines(shrunk)
    area = picture[: shrunk.shape[0], : shrunk.shape[1]]
    area[edge & kept], area[edge & ~kept] = KEPT, DROPPED
    dropped = nuclei[~nuclei["kept"]]
    notes = tuple(
        (float(y) / step, float(x) / step, str(why))
        for y, x, why in zip(dropped["y"], dropped["x"], dropped["reason"], strict=True)
    )
    return View(title, np.rint(255 * picture).astype(np.uint8), pixel_size_um * step, notes)


def _binned(image: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """Means of step x step px; what is left over at the far edges is cut off."""
    height, width = (size // step * step for size in image.shape)
    return image[:height, :width].reshape(height // step, step, width // step, step).mean(axis=(1, 3))


def _outlines(labels: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Pixels of an object that have a neighbour, to the side or below or above, of another label."""
    padded = np.pad(labels, 1, mode="edge")
    middle = padded[1:-1, 1:-1]
    around = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    return (middle > 0) & np.any([middle != other for other in around], axis=0)


@styled
def draw(plate: str, views: Sequence[View], columns: int = 3) -> Figure:
    """The sheet of a plate: its views in rows of `columns`, each with a scale bar and the reasons of dropped nuclei."""
    rows = max(1, -(-len(views) // columns))
    figure = new_figure(2.6 * columns, 2.85 * rows + 0.35)
    figure.suptitle(f"{plate}: kept nuclei outlined in white, dropped ones in red with their reason")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, view in zip(axes, views, strict=False):
        axis.imshow(view.picture, interpolation="nearest")
        axis.set_title(view.title, fontsize=6)
        for y, x, reason in view.notes:
            axis.text(x, y, reason, color=DROPPED, fontsize=3.5, ha="center", va="center", clip_on=True)
        _draw_bar(axis, view)
    return figure


def _draw_bar(axis: Any, view: View) -> None:
    """A scale bar of a round length, about a fifth of the picture's width, at the lower right."""
    height, width = view.picture.shape[:2]
    length = min(BAR_UM, key=lambda um: abs(um / view.um_per_px - width / 5))
    right, y = 0.96 * width, 0.95 * height
    axis.plot([right - length / view.um_per_px, right], [y, y], color="white", linewidth=1.5, solid_capstyle="butt")
    middle = right - length / view.um_per_px / 2
    axis.text(middle, y - 0.02 * height, f"{length} µm", color="white", fontsize=5, ha="center", va="bottom")
