"""Illumination correction: an image divided by its plate's illumination function.

The Cell Painting Gallery publishes one function per plate and channel (`<plate>_Illum<Channel>.npy`, float32 of the
image's shape, smallest value about 1), made by CellProfiler and applied as image / function. The paper does not
mention the correction, so it is an option of the workflow: `none` or `gallery`.

A function shows where a field is brighter, and its scale shows by how much. The scale is known if the function's
minimum, mean, median or maximum is 1; it is then rescaled to a minimum of 1, so that corrected counts never exceed the
camera's. Any other function is refused.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from campfire.core.errors import ConfigError, DataError

log = logging.getLogger(__name__)

METHODS = ("none", "gallery")
LEVELS: dict[str, Callable[[NDArray[np.float32]], Any]] = {
    "minimum": np.min,
    # CellProfiler and `estimate` set the second percentile to 1, so that single dark pixels do not count.
    "2nd percentile": lambda function: np.percentile(function, 2),
    "mean": np.mean,
    "median": np.median,
    "maximum": np.max,
}
"""Levels at which a function may be 1, in the order in which they are tried."""
LEVEL_TOLERANCE = 0.02
CLIPPED_MAX = 0.001
"""Largest share of a plate's corrected pixels that may fall outside of 0 to 65535."""


@dataclass(frozen=True)
class Shading:
    """An illumination function and how it is applied."""

    function: NDArray[np.float32]
    """(H, W), with a minimum of 1 or, from the gallery, about 1."""
    offset: float = 0.0
    """Counts that a camera gives without light: they are not shaded, so they are not divided."""


@dataclass
class Clipped:
    """Corrected pixels that fall outside of uint16, counted by `to_uint16`."""

    pixels: int = 0
    of: int = 0

    @property
    def share(self) -> float:
        return self.pixels / self.of if self.of else 0.0

    def check(self, where: str) -> None:
        """DataError when more than `CLIPPED_MAX` of the pixels are clipped."""
        if self.share > CLIPPED_MAX:
            raise DataError(
                f"{where}: {100 * self.share:.2f} % of the corrected pixels fall outside of 0 to 65535 and would be "
                "clipped; check the illumination functions and illumination_offset, or set illumination to none"
            )


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
    return _with_known_scale(function, path)


def _with_known_scale(function: NDArray[np.float32], path: str | Path) -> NDArray[np.float32]:
    """The function with a minimum of about 1; unchanged if its minimum or 2nd percentile is already 1."""
    found = {level: float(measure(function)) for level, measure in LEVELS.items()}
    level = next((level for level, value in found.items() if abs(value - 1) <= LEVEL_TOLERANCE), None)
    if level is None:
        raise DataError(
            f"{path}: the scale of this illumination function is unknown (values from {found['minimum']:.4g} to "
            f"{found['maximum']:.4g}, mean {found['mean']:.4g}); divide it by its minimum, or set illumination to none"
        )
    if level in ("minimum", "2nd percentile"):
        return function
    log.info("%s: its %s is 1; rescaled to a minimum of 1", path, level)
    return function / np.float32(found["minimum"])


def read_functions(
    folder: str | Path, channels: Iterable[str], method: str, offset: float = 0.0
) -> dict[str, Shading] | None:
    """The shading of `channels` from `illum_<channel>.npy` in a plate's image folder; None when `method` is none.

    offset: counts that the camera gives without light. CellProfiler's own correction, and so the gallery's, uses 0.
    """
    if method not in METHODS:
        raise DataError(f"unknown illumination correction {method!r}; use one of {', '.join(METHODS)}")
    if method == "none":
        return None
    if not 0 <= offset < 65535:
        raise ConfigError(f"illumination_offset: {offset:g} is no camera offset; give counts, from 0 to 65535")
    return {channel: Shading(read_function(Path(folder) / f"illum_{channel}.npy"), offset) for channel in channels}


def correct(image: NDArray[Any], shading: Shading | NDArray[np.float32]) -> NDArray[np.float32]:
    """`image` (H, W) divided by a function (H, W), float32 in the image's unit.

    With an offset, only the signal above it is divided: (image - offset) / function + offset.
    Raises DataError when the shapes differ.
    """
    function, offset = (shading.function, shading.offset) if isinstance(shading, Shading) else (shading, 0.0)
    if image.shape != function.shape:
        raise DataError(
            f"the illumination function has shape {function.shape}, the image {image.shape}; set illumination to none "
            "or give the function of this plate"
        )
    if not offset:
        return np.divide(image, function, dtype=np.float32)
    return (image.astype(np.float32) - np.float32(offset)) / function + np.float32(offset)


def to_uint16(image: NDArray[np.float32], clipped: Clipped | None = None) -> NDArray[np.uint16]:
    """Corrected values rounded to the nearest count and clipped to uint16, as tiles store them; `clipped` counts."""
    if clipped is not None:
        clipped.pixels += int(np.count_nonzero((image < -0.5) | (image >= 65535.5)))
        clipped.of += image.size
    return np.clip(np.rint(image), 0, 65535).astype(np.uint16)


def estimate(images: Iterable[NDArray[Any]], smoothing: float = 0.1) -> NDArray[np.float32]:
    """An illumination function (H, W) from many fields of one plate and channel, for screens that publish none.

    The mean over fields, smoothed by a Gaussian of `smoothing` times the shorter side (sigma), divided by its
    2nd percentile so that, as in the gallery's functions, the darkest part is unchanged. A few hundred fields
    are needed for the cells to average out; only one image at a time is in memory.

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
        raise DataError("an illumination function cannot be estimated without images")
    smooth = gaussian_filter(total / count, smoothing * min(total.shape), mode="nearest")
    floor = np.percentile(smooth, 2)
    if floor <= 0:
        raise DataError("the fields are black; no illumination function can be estimated")
    return np.maximum(smooth / floor, 1).astype(np.float32)
