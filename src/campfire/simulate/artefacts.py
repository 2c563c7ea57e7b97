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

from campfire.core.random import keyed_generator

ARTEFACTS = ("debris", "brightest debris", "fibre", "clump", "dust", "hot pixels")
"""Not cells: none of these may be kept as a nucleus."""
BRIGHT_CELLS = ("mitotic cells", "dead cells")
"""Cells: metaphase plates, and condensed (pyknotic) nuclei of dying cells."""
KINDS = ARTEFACTS + BRIGHT_CELLS


@dataclass(frozen=True)
class _Field:
    """What an artefact is drawn into, in place, and how."""

    added: NDArray[np.float32]
    """(H, W) signal, in multiples of a typical nucleus."""
    labels: NDArray[np.int32]
    """(H, W) labels of pasted cells."""
    occupied: NDArray[np.bool_]
    """(H, W) where nuclei are."""
    diameter: float
    """Of a nucleus, px."""
    rng: np.random.Generator


_Draw = Callable[[_Field], None]
"""Draws one kind of artefact."""


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
    rng = keyed_generator(seed, sum(kind.encode()))
    labels = np.zeros(image.shape, dtype=np.int32)
    added = np.zeros(image.shape, dtype=np.float32)
    if kind != "none":
        _DRAW[kind](_Field(added, labels, occupied, diameter, rng))
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

    def draw(field: _Field) -> None:
        y, x = _free_place(field.occupied, 0.6 * field.diameter, field.rng)
        disc = level * _ellipse(field.added.shape, y, x, field.diameter / 2, field.diameter / 2, 0).astype(np.float32)
        field.added[:] += ndimage.gaussian_filter(disc, 0.03 * field.diameter)

    return draw


def _fibre(field: _Field) -> None:
    y, x = _free_place(field.occupied, field.diameter, field.rng)
    angle = field.rng.uniform(0, np.pi)
    steps = np.linspace(-5 * field.diameter, 5 * field.diameter, int(40 * field.diameter))
    bend = 0.6 * field.diameter * np.sin(steps / (2.5 * field.diameter))
    rows = np.rint(y + steps * np.sin(angle) + bend * np.cos(angle)).astype(int)
    columns = np.rint(x + steps * np.cos(angle) - bend * np.sin(angle)).astype(int)
    inside = (rows >= 0) & (rows < field.added.shape[0]) & (columns >= 0) & (columns < field.added.shape[1])
    line = np.zeros(field.added.shape, dtype=bool)
    line[rows[inside], columns[inside]] = True
    thick = ndimage.distance_transform_edt(~line) < 0.1 * field.diameter
    field.added[:] += ndimage.gaussian_filter(10 * thick.astype(np.float32), 0.04 * field.diameter)


def _clump(field: _Field) -> None:
    y, x = _free_place(field.occupied, 1.8 * field.diameter, field.rng)
    cells = np.zeros(field.added.shape, dtype=np.float32)
    for _ in range(7):
        dy, dx = field.rng.normal(0, 0.6 * field.diameter, 2)
        cells += _ellipse(
            field.added.shape, y + dy, x + dx, field.diameter / 2, 0.4 * field.diameter, field.rng.uniform(0, np.pi)
        )
    field.added[:] += 60 * ndimage.gaussian_filter(cells, 0.4 * field.diameter)


def _dust(field: _Field) -> None:
    for _ in range(12):
        y, x = _free_place(field.occupied, 0.3 * field.diameter, field.rng)
        speck = _ellipse(
            field.added.shape,
            y,
            x,
            field.rng.uniform(0.03, 0.08) * field.diameter + 0.5,
            0.05 * field.diameter + 0.5,
            field.rng.uniform(0, np.pi),
        )
        field.added[:] += ndimage.gaussian_filter(100 * speck.astype(np.float32), 0.5)


def _hot_pixels(field: _Field) -> None:
    count = max(10, field.added.size // 20000)
    field.added[
        field.rng.integers(0, field.added.shape[0], count), field.rng.integers(0, field.added.shape[1], count)
    ] += 100


def _cells(half_axes: tuple[float, float], level: float) -> _Draw:
    """Four ellipses of these half axes (diameters) and this brightness, labelled as cells."""

    def draw(field: _Field) -> None:
        taken = field.occupied.copy()
        for number in range(1, 5):
            y, x = _free_place(taken, 0.8 * field.diameter, field.rng)
            cell = _ellipse(
                field.added.shape,
                y,
                x,
                half_axes[0] * field.diameter,
                half_axes[1] * field.diameter,
                field.rng.uniform(0, np.pi),
            )
            field.labels[cell] = number
            taken |= ndimage.binary_dilation(cell, iterations=int(0.3 * field.diameter))
            field.added[:] += ndimage.gaussian_filter(level * cell.astype(np.float32), 0.04 * field.diameter)

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
