"""Illumination correction: an image divided by its plate's illumination function.

The Cell Painting Gallery publishes one function per plate and channel (`<plate>_Illum<Channel>.npy`, float32 of the
image's shape, smallest value about 1), made by CellProfiler and applied as image / function. The paper does not
mention the correction, so it is an option of the workflow: `none` or `gallery`.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from campfire.core.errors import DataError

METHODS = ("none", "gallery")


def read_function(path: str | Path) -> NDArray[np.float32]:
    """An illumination function (H, W), float32, from a `.npy` file.

    Raises DataError when the file is missing or damaged, is not 2-D, or holds values that are not finite and positive.
    """
    try:
        function = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such illumination function; fetch it or set illumination to none") from error
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: not a readable .npy array ({error}); delete it and fetch it again") from error
    if function.ndim != 2 or function.dtype.kind not in "fiu":
        raise DataError(f"{path}: expected a 2-D array of numbers, found {function.dtype} of shape {function.shape}")
    function = np.ascontiguousarray(function, dtype=np.float32)
    if not np.isfinite(function).all() or function.min() <= 0:
        raise DataError(f"{path}: an illumination function must be finite and positive everywhere")
    return function


def read_functions(folder: str | Path, channels: Iterable[str], method: str) -> dict[str, NDArray[np.float32]] | None:
    """The functions of `channels` from `illum_<channel>.npy` in a plate's image folder; None when `method` is none."""
    if method not in METHODS:
        raise DataError(f"unknown illumination correction {method!r}; use one of {', '.join(METHODS)}")
    if method == "none":
        return None
    return {channel: read_function(Path(folder) / f"illum_{channel}.npy") for channel in channels}


def correct(image: NDArray[Any], function: NDArray[np.float32]) -> NDArray[np.float32]:
    """`image` (H, W) divided by `function` (H, W), float32 in the image's unit.

    Raises DataError when the shapes differ.
    """
    if image.shape != function.shape:
        raise DataError(
            f"the illumination function has shape {function.shape}, the image {image.shape}; set illumination to none "
            "or give the function of this plate"
        )
    return np.divide(image, function, dtype=np.float32)


def to_uint16(image: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Corrected values rounded to the nearest count and clipped to uint16, as tiles store them."""
    return np.clip(np.rint(image), 0, 65535).astype(np.uint16)


def estimate(images: Iterable[NDArray[Any]], smoothing: float = 0.1) -> NDArray[np.float32]:
    """An illumination function (H, W) from many fields of one plate and channel, for screens that publish none.

    The mean over fields, smoothed by a Gaussian of `smoothing` times the shorter side (sigma), divided by its
    2nd percentile so that, as in the gallery's functions, the darkest part is left as it is. A few hundred fields
    are needed for the cells to average out; one image at a time is in memory.

    Raises DataError without an image, or when shapes differ.
    """
    from scipy.ndimage import gaussian_filter

    total: NDArray[np.float64] | None = None
    count = 0
    for image in images:
        if total is None:
            total = np.zeros(image.shape, dtype=np.float64)
        if image.shape != total.shape:
            raise DataError(f"fields of one plate differ in shape: {image.shape} and {total.shape}")
        total += image
        count += 1
    if total is None:
        raise DataError("an illumination function cannot be estimated from no image")
    smooth = gaussian_filter(total / count, smoothing * min(total.shape), mode="nearest")
    floor = np.percentile(smooth, 2)
    if floor <= 0:
        raise DataError("the fields are black; no illumination function can be estimated")
    return np.maximum(smooth / floor, 1).astype(np.float32)
