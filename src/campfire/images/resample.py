"""Resizing and background of images at the scale of a nucleus. NumPy only; one field takes a few milliseconds."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def _positions(size: int, source: float) -> NDArray[np.float64]:
    """Where the centres of `size` pixels lie in a row of `source` pixels (or parts of one) of the same extent."""
    return (np.arange(size) + 0.5) * source / size - 0.5


def _interpolate_rows(image: NDArray[np.float32], size: int, extent: float) -> NDArray[np.float32]:
    """`size` rows over the first `extent` rows of `image`."""
    # Beyond the outermost centres, extrapolate the line through the last two, so that a gradient continues to the edge.
    at = _positions(size, extent)
    low = np.clip(np.floor(at).astype(np.int64), 0, max(image.shape[0] - 2, 0))
    weight = (at - low).astype(np.float32)[:, None]
    high = np.minimum(low + 1, image.shape[0] - 1)
    return image[low] * (1 - weight) + image[high] * weight


def resize(image: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.float32]:
    """`image` (H, W) at `shape`, float32: averaged over whole pixels where it shrinks, bilinear for the rest."""
    factors = [max(1, old // new) for old, new in zip(image.shape, shape, strict=True)]
    binned = bin_pixels(image, factors[0], factors[1])
    tall, wide = (old / factor for old, factor in zip(image.shape, factors, strict=True))
    return np.ascontiguousarray(_interpolate_rows(_interpolate_rows(binned, shape[0], tall).T, shape[1], wide).T)


def bin_pixels(image: NDArray[Any], rows: int, columns: int) -> NDArray[np.float32]:
    """Means of rows x columns pixels; an incomplete last row or column of blocks joins its neighbour's edge."""
    if rows == 1 and columns == 1:
        return image.astype(np.float32)
    height, width = -(-image.shape[0] // rows), -(-image.shape[1] // columns)
    padded = np.pad(image, ((0, height * rows - image.shape[0]), (0, width * columns - image.shape[1])), mode="edge")
    return padded.reshape(height, rows, width, columns).mean(axis=(1, 3), dtype=np.float32)


def nearest(labels: NDArray[np.int32], shape: tuple[int, int]) -> NDArray[np.int32]:
    """Labels (h, w) at `shape`, each pixel taking the label at its centre."""
    rows, columns = (
        np.clip(np.rint(_positions(new, old)).astype(np.int64), 0, old - 1)
        for new, old in zip(shape, labels.shape, strict=True)
    )
    return labels[rows[:, None], columns[None, :]]


def background(image: NDArray[np.float32], block: int, quantile: float = 0.1) -> NDArray[np.float32]:
    """Smooth lower envelope (H, W): a low quantile of each block, median over 3 x 3 blocks, interpolated."""
    from scipy.ndimage import median_filter

    rows, columns = (max(1, round(size / block)) for size in image.shape)
    tall, wide = -(-image.shape[0] // rows), -(-image.shape[1] // columns)
    padded = np.pad(image, ((0, rows * tall - image.shape[0]), (0, columns * wide - image.shape[1])), mode="reflect")
    blocks = padded.reshape(rows, tall, columns, wide).swapaxes(1, 2).reshape(rows, columns, -1)
    # Every third pixel is enough for a quantile of a smooth image and keeps the partition cheap.
    sampled = blocks[..., ::3]
    rank = int(quantile * (sampled.shape[-1] - 1))
    grid = np.partition(sampled, rank, axis=-1)[..., rank]
    # Continued in a straight line beyond the edge, so that the median does not flatten a gradient there.
    for axis, size in enumerate(grid.shape):
        width = [(1, 1) if n == axis else (0, 0) for n in range(2)]
        grid = np.pad(grid, width, mode="reflect", reflect_type="odd") if size > 1 else np.pad(grid, width, mode="edge")
    return resize(median_filter(grid, 3)[1:-1, 1:-1], (image.shape[0], image.shape[1]))
