"""One field of view: cells placed without overlap of nuclei, then microscope optics and camera."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from campfire.simulate.cells import CORE, WINDOW, DrawnCells, Parameters


@dataclass(frozen=True)
class Optics:
    """How a plate was stained and imaged; channel order of campfire.keys.CHANNELS."""

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


def place(count: int, size: int, apart: float, rng: np.random.Generator) -> np.ndarray:
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


def compose(cells: DrawnCells, points: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Put N drawn cells at `points` (N, 2) of a field.

    Where cells meet, the pixel belongs to the one it lies deeper in. Returns light (5, size, size) float32, the
    labels of the true nuclei (size, size) int32 (1..N in the order of `points`), and where the windows' centres
    went (N, 2) float32.
    """
    light = np.zeros((5, size, size), np.float32)
    best = np.zeros((size, size), np.float32)
    labels = np.zeros((size, size), np.int32)
    corners = np.round(points - (WINDOW - 1) / 2).astype(int)
    inset = (WINDOW - CORE) // 2
    depth = cells.depth.copy()
    # A nucleus is never covered by a neighbour's cytoplasm.
    depth[:, inset : inset + CORE, inset : inset + CORE] += 2.0 * cells.nucleus
    for i, (y, x) in enumerate(corners):
        y0, x0, y1, x1 = max(y, 0), max(x, 0), min(y + WINDOW, size), min(x + WINDOW, size)
        if y0 >= y1 or x0 >= x1:
            continue
        field, inner = (slice(y0, y1), slice(x0, x1)), (slice(y0 - y, y1 - y), slice(x0 - x, x1 - x))
        wins = depth[i][inner] > best[field]
        best[field] = np.where(wins, depth[i][inner], best[field])
        light[:, y0:y1, x0:x1] = np.where(wins, cells.light[i][:, inner[0], inner[1]], light[:, y0:y1, x0:x1])
        mask = np.zeros((WINDOW, WINDOW), bool)
        mask[inset : inset + CORE, inset : inset + CORE] = cells.nucleus[i]
        labels[field] = np.where(wins, np.where(mask[inner], i + 1, 0), labels[field])
    return light, labels, (corners + (WINDOW - 1) / 2).astype(np.float32)


def illumination(size: int, optics: Optics) -> np.ndarray:
    """The plate's illumination (size, size) float32, at most 1: the shape of the gallery's *_Illum<Channel>.npy."""
    axis = np.linspace(0, 1, size, dtype=np.float32)
    squared = (axis[:, None] - optics.centre[0]) ** 2 + (axis[None, :] - optics.centre[1]) ** 2
    return 1 - optics.vignette * squared / np.float32(0.5)


def photograph(light: np.ndarray, optics: Optics, rng: np.random.Generator) -> np.ndarray:
    """Light (5, H, W) through optics and camera: uint16 (5, H, W) with shot and read noise."""
    size = light.shape[-1]
    shade = illumination(size, optics)
    image = np.empty(light.shape, np.uint16)
    for k in range(5):
        # Out-of-focus haze is smooth: blurred at a quarter of the resolution.
        pad = -size % 4
        small = np.pad(light[k], ((0, pad), (0, pad)), mode="edge").reshape((size + pad) // 4, 4, -1, 4).mean((1, 3))
        small = ndimage.gaussian_filter(small, 4.0, mode="nearest", truncate=3.0)
        haze = np.repeat(np.repeat(small, 4, 0), 4, 1)[:size, :size]
        haze = ndimage.uniform_filter(haze, 5, mode="nearest")
        sharp = ndimage.gaussian_filter(light[k], optics.blur, mode="nearest", truncate=3.0)
        counts = optics.background[k] + optics.gain[k] * shade * ((1 - optics.haze) * sharp + optics.haze * haze)
        noise = rng.standard_normal(counts.shape, dtype=np.float32)
        counts = counts + noise * np.sqrt(optics.read_noise**2 + 0.25 * counts)
        image[k] = np.clip(np.rint(counts), 0, 65535).astype(np.uint16)
    return image


def spacing(cells: Parameters) -> float:
    """Least distance between the centres of two nuclei, px."""
    return float(2.3 * np.median(cells["nucleus_radius"]))
