"""One field of view: cells placed without overlap of nuclei, then microscope optics and camera."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from campfire.simulate.cells import CORE, WINDOW, DrawnCells, Parameters


@dataclass(frozen=True)
class Optics:
    """How a plate was stained and imaged; channel order of campfire.core.columns.CHANNELS."""

    gain: tuple[float, float, float, float, float] = (260.0, 200.0, 240.0, 220.0, 220.0)
    """Camera counts of light 1, above the background."""
    background: tuple[float, float, float, float, float] = (60.0, 75.0, 80.0, 65.0, 60.0)
    """Counts where there is no cell."""
    blur: float = 0.8
    """Standard deviation of the point spread function, px."""
    haze: float = 0.12
    """Share of the light that is spread widely by out-of-focus planes."""
    vignette: float = 0.25
    """Loss of light from the brightest point to the corners."""
    centre: tuple[float, float] = (0.5, 0.5)
    """Brightest point of the illumination, as a fraction of the field."""
    read_noise: float = 1.6
    """Camera noise, counts."""


def place(count: int, size: int, apart: float, rng: np.random.Generator) -> NDArray[Any]:
    """Up to `count` points (N, 2) in px, some past the border, no two nearer than `apart`; y, x float32."""
    margin = 20.0
    points = np.empty((0, 2))
    for _ in range(4):
        for candidate in rng.uniform(-margin, size + margin, (2 * count, 2)):
            if len(points) == count:
                return points.astype(np.float32)
            if len(points) == 0 or np.min(np.sum((points - candidate) ** 2, axis=1)) > apart**2:
                points = np.vstack([points, candidate])
    return points.astype(np.float32)


class Canvas:
    """A field on which drawn cells are placed.

    Where cells meet, the pixel belongs to the one it lies deeper in; a nucleus is never covered by the cytoplasm of
    a neighbour.
    """

    def __init__(self, size: int) -> None:
        self.light = np.zeros((5, size, size), np.float32)
        """Light of each channel (5, size, size)."""
        self.labels = np.zeros((size, size), np.int32)
        """True nuclei, numbered from 1 as they were added; 0 where there is none."""
        self._best = np.zeros((size, size), np.float32)
        self._count = 0

    def add(self, cells: DrawnCells, points: NDArray[Any]) -> None:
        """Place N cells with their nuclei at `points` (N, 2; y, x in px)."""
        size = self.light.shape[-1]
        height, width = cells.depth.shape[1:]
        core = tuple(slice((WINDOW - CORE) // 2 - start, (WINDOW + CORE) // 2 - start) for start in cells.corner)
        nucleus = np.zeros((height, width), bool)
        corners = np.round(points - (WINDOW - 1) / 2).astype(int) + cells.corner
        for i, (y, x) in enumerate(corners.tolist()):
            self._count += 1
            y0, x0, y1, x1 = max(y, 0), max(x, 0), min(y + height, size), min(x + width, size)
            if y0 >= y1 or x0 >= x1:
                continue
            field, inner = (slice(y0, y1), slice(x0, x1)), (slice(y0 - y, y1 - y), slice(x0 - x, x1 - x))
            nucleus[core] = cells.nucleus[i]
            depth = (cells.depth[i] + 2.0 * nucleus)[inner]
            wins = depth > self._best[field]
            np.copyto(self._best[field], depth, where=wins)
            np.copyto(self.light[:, y0:y1, x0:x1], cells.light[i][:, inner[0], inner[1]], where=wins)
            np.copyto(self.labels[field], np.where(nucleus[inner], self._count, 0), where=wins)


def at_scale(light: NDArray[Any], labels: NDArray[Any], size: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Light (5, H, W) and labels (H, W) in `size` pixels along a side; a pixel keeps its light."""
    old = labels.shape[0]
    if size == old:
        return light, labels
    zoom = size / old
    scaled = [ndimage.zoom(channel, zoom, order=1, mode="nearest", grid_mode=True) for channel in light]
    return np.stack(scaled), ndimage.zoom(labels, zoom, order=0, mode="nearest", grid_mode=True)


def illumination(size: int, optics: Optics) -> NDArray[Any]:
    """The plate's illumination (size, size) float32, at most 1: the shape of the gallery's *_Illum<Channel>.npy."""
    axis = np.linspace(0, 1, size, dtype=np.float32)
    squared = (axis[:, None] - optics.centre[0]) ** 2 + (axis[None, :] - optics.centre[1]) ** 2
    return 1 - optics.vignette * squared / np.float32(0.5)


def photograph(light: NDArray[Any], optics: Optics, rng: np.random.Generator) -> NDArray[Any]:
    """Light (5, H, W) through optics and camera: uint16 (5, H, W) with shot and read noise."""
    size = light.shape[-1]
    shade = illumination(size, optics)
    image = np.empty(light.shape, np.uint16)
    for k in range(5):
        # Out-of-focus haze is smooth: blurred at a quarter of the resolution.
        pad = -size % 4
        whole = np.pad(light[k], ((0, pad), (0, pad)), mode="edge") if pad else light[k]
        small = whole.reshape((size + pad) // 4, 4, -1, 4).mean((1, 3))
        small = ndimage.gaussian_filter(small, 4.0, mode="nearest", truncate=3.0)
        haze = np.repeat(np.repeat(small, 4, 0), 4, 1)[:size, :size]
        haze = ndimage.uniform_filter(haze, 5, mode="nearest")
        counts = ndimage.gaussian_filter(light[k], optics.blur, mode="nearest", truncate=3.0)
        counts *= 1 - optics.haze
        haze *= optics.haze
        counts += haze
        counts *= optics.gain[k] * shade
        counts += optics.background[k]
        spread = 0.25 * counts
        spread += optics.read_noise**2
        np.sqrt(spread, out=spread)
        spread *= rng.standard_normal(counts.shape, dtype=np.float32)
        counts += spread
        image[k] = np.clip(np.rint(counts, out=counts), 0, 65535, out=counts)
    return image


def spacing(cells: Parameters) -> float:
    """Least distance between the centres of two nuclei, px."""
    return float(2.3 * np.median(cells["nucleus_radius"]))
