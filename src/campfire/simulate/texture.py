"""Tileable textures that cells are cut from: grains, tubules, spots, fibres, holes.

Made once from a seed by filtering white noise in the Fourier domain; a cell takes a window at a random position.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from campfire.core.random import keyed_generator

SIZE = 768
GRAIN_PERIODS = (5.0, 9.0, 14.0)
FIBRE_ANGLES = 12


@dataclass(frozen=True)
class Atlas:
    """Textures as float32 (SIZE + margin, SIZE + margin) arrays that repeat with period SIZE."""

    grain: list[NDArray[np.float32]]
    """Zero mean, unit variance, by period in px (GRAIN_PERIODS)."""
    tubules: list[NDArray[np.float32]]
    """Networks of bright lines, fine and coarse, 0 to 1."""
    spots: list[NDArray[np.float32]]
    """Separate round spots, fine and coarse, 0 to about 1."""
    fibres: list[list[NDArray[np.float32]]]
    """[fine, coarse][angle]: parallel bright strands, 0 to about 3; angle k is k * pi / FIBRE_ANGLES from x."""
    patches: NDArray[np.float32]
    """Slow unit-variance noise: where an organelle is dense."""
    holes: NDArray[np.float32]
    """Unit-variance noise of vacuole size, thresholded by the caller."""


def _noise(rng: np.random.Generator) -> NDArray[np.complex64]:
    return fft.rfft2(rng.standard_normal((SIZE, SIZE), dtype=np.float32))


def _filtered(spectrum: NDArray[np.complex64], response: NDArray[np.float32]) -> NDArray[np.float32]:
    image = fft.irfft2(spectrum * response, s=(SIZE, SIZE))
    image -= image.mean()
    return (image / image.std()).astype(np.float32)


@lru_cache(maxsize=2)
def make_atlas(seed: int, margin: int) -> Atlas:
    """Build the textures; the same seed gives the same bytes. `margin` (px) is repeated at the far edges."""
    rng = keyed_generator(seed, 7001)
    fy = fft.fftfreq(SIZE)[:, None].astype(np.float32)
    fx = fft.rfftfreq(SIZE)[None, :].astype(np.float32)
    radius = np.hypot(fy, fx)

    def band(period: float, width: float = 0.35) -> NDArray[np.float32]:
        with np.errstate(divide="ignore"):
            octaves = np.log2(np.maximum(radius, 1e-6) * period)
        return np.exp(-0.5 * (octaves / width) ** 2).astype(np.float32)

    def low(sigma: float) -> NDArray[np.float32]:
        return np.exp(-2.0 * (np.pi * sigma * radius) ** 2).astype(np.float32)

    def wrapped(image: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.pad(image, (0, margin), mode="wrap")

    def tubule(period: float, width: float) -> NDArray[np.float32]:
        # The zero line of smooth noise is a closed winding curve: drawn with a soft pen it reads as a network.
        return np.exp(-((_filtered(_noise(rng), band(period, 0.3)) / width) ** 2))

    def spot(density: float, sigma: float) -> NDArray[np.float32]:
        seeds = (rng.random((SIZE, SIZE)) < density) * rng.uniform(0.5, 1.2, (SIZE, SIZE))
        image = fft.irfft2(fft.rfft2(seeds) * low(sigma), s=(SIZE, SIZE)) * 2 * np.pi * sigma**2
        return np.clip(image, 0.0, 1.5).astype(np.float32)

    def fibre(period: float, angle: float) -> NDArray[np.float32]:
        along = np.cos(angle) * fx + np.sin(angle) * fy
        across = np.abs(-np.sin(angle) * fx + np.cos(angle) * fy)
        octaves = np.log2(np.maximum(across, 1e-6) * period)
        response = np.exp(-0.5 * (octaves / 0.4) ** 2 - 2.0 * (np.pi * 12.0 * along) ** 2)
        return np.clip(_filtered(_noise(rng), response.astype(np.float32)), 0.0, 3.0)

    angles = [k * np.pi / FIBRE_ANGLES for k in range(FIBRE_ANGLES)]
    return Atlas(
        grain=[wrapped(_filtered(_noise(rng), band(period))) for period in GRAIN_PERIODS],
        tubules=[wrapped(tubule(12.0, 0.35)), wrapped(tubule(19.0, 0.30))],
        spots=[wrapped(spot(0.014, 1.4)), wrapped(spot(0.006, 2.3))],
        fibres=[[wrapped(fibre(period, angle)) for angle in angles] for period in (6.0, 11.0)],
        patches=wrapped(_filtered(_noise(rng), band(32.0, 0.5))),
        holes=wrapped(_filtered(_noise(rng), band(15.0, 0.25))),
    )


def cut(texture: NDArray[np.float32], corners: NDArray[np.int64], height: int, width: int) -> NDArray[np.float32]:
    """Parts (N, height, width) of one texture that begin at `corners` (N, 2; y, x in px)."""
    parts = np.empty((len(corners), height, width), np.float32)
    for part, (y, x) in zip(parts, corners.tolist(), strict=True):
        part[:] = texture[y : y + height, x : x + width]
    return parts


def blend(fine: NDArray[np.float32], coarse: NDArray[np.float32], share: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mix two independent textures by `share` (N,) of the coarse one, keeping unit variance for zero-mean inputs."""
    weight = share[:, None, None]
    return ((1 - weight) * fine + weight * coarse) / np.sqrt((1 - weight) ** 2 + weight**2)
