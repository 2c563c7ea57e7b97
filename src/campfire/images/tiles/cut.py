"""Cutting square tiles centred on nuclei out of a site's images. NumPy only."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from campfire.core.errors import DataError
from campfire.core.options import TILE_SIZE
from campfire.images.resample import resize


def native_size(size: int, pixel_size_um: float | None, tiles_um: float | None) -> int:
    """Side, in px of an image, of the square that becomes a tile of `size` px at `tiles_um` per px.

    pixel_size_um: of the image. Even, so that the nucleus keeps its pixel in the tile; the scale of tiles is therefore
    met to within one px of the square, less than 1 % at 112 px. Without either pixel size: `size`.
    """
    if not pixel_size_um or not tiles_um:
        return size
    return max(2, 2 * round(size * tiles_um / pixel_size_um / 2))


def resample(tiles: NDArray[Any], size: int) -> NDArray[np.float32]:
    """(N, C, size, size) float32 from square tiles of another size: averaged where they shrink, else bilinear."""
    count, channels = tiles.shape[:2]
    out = np.empty((count, channels, size, size), dtype=np.float32)
    for n in range(count):
        for c in range(channels):
            out[n, c] = resize(tiles[n, c], (size, size))
    return out


def origins(y: ArrayLike, x: ArrayLike, size: int = TILE_SIZE) -> NDArray[np.int64]:
    """(N, 2) top and left pixel of the tiles centred on centroids y, x (px).

    Pixel (i, j) covers [i - 0.5, i + 0.5), so the centroid lies in pixel floor(y + 0.5), which becomes the tile's
    pixel size // 2. Negative where a tile reaches beyond the field.
    """
    centres = np.stack([np.asarray(y, dtype=np.float32), np.asarray(x, dtype=np.float32)], axis=-1)
    return np.floor(centres.astype(np.float64) + 0.5).astype(np.int64) - size // 2


def fits(y: ArrayLike, x: ArrayLike, shape: tuple[int, ...], size: int = TILE_SIZE) -> NDArray[np.bool_]:
    """(N,) whether the whole tile around each centroid lies inside a field of `shape` (H, W)."""
    corner = origins(y, x, size)
    return ((corner >= 0) & (corner + size <= np.asarray(shape[:2]))).all(axis=-1)


def cut(
    images: dict[str, NDArray[Any]], y: ArrayLike, x: ArrayLike, channels: list[str], size: int = TILE_SIZE
) -> NDArray[Any]:
    """(N, C, size, size) tiles in the images' dtype, channels in the order of `channels`.

    images: channel to (H, W). The part of a tile beyond the field is filled by reflection at the field's edge.
    Raises DataError when a centroid lies outside the field, or the field is too small to reflect.
    """
    shape = images[channels[0]].shape
    corner = origins(y, x, size)
    centre = corner + size // 2
    if ((centre < 0) | (centre >= np.asarray(shape))).any():
        raise DataError(f"a nucleus lies outside its field of {shape[0]} x {shape[1]} px; segment this plate again")
    margin = max(0, -int(corner.min(initial=0)), int((corner + size - np.asarray(shape)).max(initial=0)))
    if margin >= min(shape):
        raise DataError(f"a field of {shape[0]} x {shape[1]} px is too small for tiles of {size} px; use border: drop")
    tiles = np.empty((len(corner), len(channels), size, size), dtype=images[channels[0]].dtype)
    for c, channel in enumerate(channels):
        image = np.pad(images[channel], margin, mode="reflect") if margin else images[channel]
        for n, (top, left) in enumerate((corner + margin).tolist()):
            tiles[n, c] = image[top : top + size, left : left + size]
    return tiles
