"""Bright objects in real fields besides nuclei: debris, fibres, dust, clumps, hot pixels, mitotic and dead cells.

They are pasted into a DNA image so that a segmentation can be judged with and without them. Sizes are in diameters of a
nucleus, brightness in multiples of a typical nucleus above the background.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

ARTEFACTS = ("debris", "brightest debris", "fibre", "clump", "dust", "hot pixels")
"""Not cells: none of these may be kept as a nucleus."""
BRIGHT_CELLS = ("mitotic cells", "dead cells")
"""Cells: metaphase plates, and condensed (pyknotic) nuclei of dying cells."""
KINDS = ARTEFACTS + BRIGHT_CELLS


_Draw = Callable[[NDArray[np.float32], NDArray[np.int32], NDArray[np.bool_], float, np.random.Generator], None]
"""Draws one kind: adds to the signal and to the labels, in place, avoiding occupied pixels; diameters in px."""


@dataclass(frozen=True)
class Pasted:
    """A field with artefacts."""

    image: NDArray[np.uint16]
    """(H, W) counts."""
    labels: NDArray[np.int32]
    """(H, W) labels from 1 of the pasted cells; zero everywhere for objects that are not cells."""
    added: NDArray[np.float32]
    """(H, W) signal added to the image, in multiples of a typical nucleus, before the camera clips it."""


def paste(
    image: NDArray[Any],
    kind: str,
    diameter: float,
    *,
    offset: float,
    brightness: float,
    occupied: NDArray[np.bool_],
    exposure: float = 1.0,
    full_scale: int = 65535,
    seed: int = 0,
) -> Pasted:
    """`image` (H, W, counts) with artefacts of `kind` ("none" or one of `KINDS`), then taken at another `exposure`.

    diameter: of a nucleus, px. offset: background, counts. brightness: a typical nucleus's counts above the background.
    occupied: (H, W) where nuclei are; artefacts go where they cover few of them. Exposure scales all counts towards
    `offset`; the camera clips at `full_scale` after that.
    """
    rng = np.random.default_rng([seed, sum(kind.encode())])
    labels = np.zeros(image.shape, dtype=np.int32)
    added = np.zeros(image.shape, dtype=np.float32)
    if kind != "none":
        _DRAW[kind](added, labels, occupied, diameter, rng)
    counts = offset + exposure * (image.astype(np.float32) - offset + brightness * added)
    return Pasted(np.clip(np.rint(counts), 0, full_scale).astype(np.uint16), labels, added)


def _free_place(occupied: NDArray[np.bool_], radius: float, rng: np.random.Generator) -> tuple[float, float]:
    """The centre, out of 200 drawn, at which a disc of `radius` px covers the least occupied area."""
    margin = min(radius + 2, min(occupied.shape) / 2 - 1)
    # A distance that stops at the radius: discs that fit are equal, and the first of them is taken.
    distance = np.minimum(ndimage.distance_transform_edt(~occupied), radius)
    height, width = occupied.shape
    places = np.column_stack(
        [rng.uniform(margin, height - margin, 200), rng.uniform(margin, width - margin, 200)]
    ).astype(int)
    best = int(np.argmax(distance[places[:, 0], places[:, 1]]))
    return float(places[best, 0]), float(places[best, 1])


def _ellipse(shape: tuple[int, ...], y: float, x: float, a: float, b: float, angle: float) -> NDArray[np.bool_]:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    dy, dx = rows - y, columns - x
    u, v = dy * np.cos(angle) + dx * np.sin(angle), dx * np.cos(angle) - dy * np.sin(angle)
    return (u / a) ** 2 + (v / b) ** 2 < 1


def _disc(level: float) -> _Draw:
    """A round, sharp object as large as a nucleus."""

    def draw(
        added: NDArray[np.float32],
        labels: NDArray[np.int32],
        occupied: NDArray[np.bool_],
        d: float,
        rng: np.random.Generator,
    ) -> None:
        y, x = _free_place(occupied, 0.6 * d, rng)
        disc = level * _ellipse(added.shape, y, x, d / 2, d / 2, 0).astype(np.float32)
        added += ndimage.gaussian_filter(disc, 0.03 * d)

    return draw


def _fibre(
    added: NDArray[np.float32],
    labels: NDArray[np.int32],
    occupied: NDArray[np.bool_],
    d: float,
    rng: np.random.Generator,
) -> None:
    y, x = _free_place(occupied, d, rng)
    angle = rng.uniform(0, np.pi)
    steps = np.linspace(-5 * d, 5 * d, int(40 * d))
    bend = 0.6 * d * np.sin(steps / (2.5 * d))
    rows = np.rint(y + steps * np.sin(angle) + bend * np.cos(angle)).astype(int)
    columns = np.rint(x + steps * np.cos(angle) - bend * np.sin(angle)).astype(int)
    inside = (rows >= 0) & (rows < added.shape[0]) & (columns >= 0) & (columns < added.shape[1])
    line = np.zeros(added.shape, dtype=bool)
    line[rows[inside], columns[inside]] = True
    thick = ndimage.distance_transform_edt(~line) < 0.1 * d
    added += ndimage.gaussian_filter(10 * thick.astype(np.float32), 0.04 * d)


def _clump(
    added: NDArray[np.float32],
    labels: NDArray[np.int32],
    occupied: NDArray[np.bool_],
    d: float,
    rng: np.random.Generator,
) -> None:
    y, x = _free_place(occupied, 1.8 * d, rng)
    cells = np.zeros(added.shape, dtype=np.float32)
    for _ in range(7):
        dy, dx = rng.normal(0, 0.6 * d, 2)
        cells += _ellipse(added.shape, y + dy, x + dx, d / 2, 0.4 * d, rng.uniform(0, np.pi))
    added += 60 * ndimage.gaussian_filter(cells, 0.4 * d)


def _dust(
    added: NDArray[np.float32],
    labels: NDArray[np.int32],
    occupied: NDArray[np.bool_],
    d: float,
    rng: np.random.Generator,
) -> None:
    for _ in range(12):
        y, x = _free_place(occupied, 0.3 * d, rng)
        speck = _ellipse(added.shape, y, x, rng.uniform(0.03, 0.08) * d + 0.5, 0.05 * d + 0.5, rng.uniform(0, np.pi))
        added += ndimage.gaussian_filter(100 * speck.astype(np.float32), 0.5)


def _hot_pixels(
    added: NDArray[np.float32],
    labels: NDArray[np.int32],
    occupied: NDArray[np.bool_],
    d: float,
    rng: np.random.Generator,
) -> None:
    count = max(10, added.size // 20000)
    added[rng.integers(0, added.shape[0], count), rng.integers(0, added.shape[1], count)] += 100


def _cells(half_axes: tuple[float, float], level: float) -> _Draw:
    """Four ellipses of these half axes (diameters) and this brightness, labelled as cells."""

    def draw(
        added: NDArray[np.float32],
        labels: NDArray[np.int32],
        occupied: NDArray[np.bool_],
        d: float,
        rng: np.random.Generator,
    ) -> None:
        taken = occupied.copy()
        for number in range(1, 5):
            y, x = _free_place(taken, 0.8 * d, rng)
            cell = _ellipse(added.shape, y, x, half_axes[0] * d, half_axes[1] * d, rng.uniform(0, np.pi))
            labels[cell] = number
            taken |= ndimage.binary_dilation(cell, iterations=int(0.3 * d))
            added += ndimage.gaussian_filter(level * cell.astype(np.float32), 0.04 * d)

    return draw


_DRAW: dict[str, _Draw] = {
    "debris": _disc(24),
    "brightest debris": _disc(100),
    "fibre": _fibre,
    "clump": _clump,
    "dust": _dust,
    "hot pixels": _hot_pixels,
    # A metaphase plate seen from the side: twice the DNA of a resting nucleus on a third of its area.
    "mitotic cells": _cells((0.45, 0.19), 5),
    "dead cells": _cells((0.28, 0.25), 6),
}
