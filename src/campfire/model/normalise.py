"""Normalisation of raw tiles, alike in pretraining and embedding."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from campfire.core.errors import ConfigError

NORMALISATIONS = ("tile", "plate", "none")


def plate_statistics(images: Any, limit: int = 2048) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation per channel of a plate's tiles, two (C,) float32 arrays, in the tiles' units.

    `images` (N, C, H, W) array or memory map; at most `limit` tiles at even distances are read, so the same plate
    gives the same numbers in pretraining and embedding.
    """
    count = len(images)
    if count == 0:
        raise ConfigError("plate statistics of a plate without tiles; set normalisation to tile or drop the plate")
    rows = np.unique(np.linspace(0, count - 1, min(count, limit)).round().astype(np.int64))
    sums = np.zeros(images.shape[1])
    squares = np.zeros(images.shape[1])
    pixels = 0
    for start in range(0, len(rows), 64):
        block = np.asarray(images[rows[start : start + 64]], dtype=np.float64)
        sums += block.sum(axis=(0, 2, 3))
        squares += np.square(block).sum(axis=(0, 2, 3))
        pixels += block.shape[0] * block.shape[2] * block.shape[3]
    mean = sums / pixels
    return mean.astype(np.float32), np.sqrt(np.maximum(squares / pixels - mean**2, 0)).astype(np.float32)


def normalise(images: Tensor, mode: str = "tile", statistics: tuple[Any, Any] | None = None) -> Tensor:
    """Raw tiles (B, C, H, W) of any integer or float type to float32 of the same shape.

    `tile`: zero mean and unit variance per tile and channel (constant tiles become zeros). `plate`: by `statistics`,
    means and standard deviations of shape (C,) or (B, C). `none`: integers are divided by their type's maximum,
    floats left as they are.
    """
    if mode not in NORMALISATIONS:
        raise ConfigError(f"normalisation {mode!r} is not one of {', '.join(NORMALISATIONS)}")
    if mode == "none":
        scale = 1.0 if images.is_floating_point() else float(torch.iinfo(images.dtype).max)
        return images.float() / scale
    values = images.float()
    if mode == "tile":
        variance, mean = torch.var_mean(values, dim=(2, 3), correction=0, keepdim=True)
        deviation = variance.sqrt()
    else:
        if statistics is None:
            raise ConfigError("normalisation plate needs the plate's means and deviations (augment.plate_statistics)")
        mean, deviation = (
            torch.as_tensor(part, dtype=torch.float32, device=values.device)[..., None, None] for part in statistics
        )
    # The floor keeps rounding errors of constant tiles from being blown up; real contrast is far above it.
    return (values - mean) / torch.maximum(deviation, mean.abs() * 1e-4 + 1e-8)
