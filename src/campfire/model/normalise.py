"""Normalisation of raw tiles, the same in pretraining and embedding.

The decoder identifies a channel only by what its tiles have in common (`model.channels`). Normalisations that set
the mean of every channel to zero (`tile`, `plate`) remove this information; the others keep it (docs/channels.md).
"""

from typing import Any, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from campfire.core.errors import ConfigError
from campfire.model.config import Normalisation

NORMALISATIONS: tuple[str, ...] = get_args(Normalisation)
CENTRED = ("tile", "plate")
"""Normalisations after which the mean of every channel is zero."""

LOW, HIGH = 0.001, 0.999
"""Quantiles at the ends of the ranges, which a few outlying pixels do not affect."""
NO_RANGE = 1e8
"""Divisor of a channel whose low and high quantile are equal: what is outside of them becomes zero as well."""
RAW_SCALE = 1000.0
"""`none` gives uint16 intensities in thousands of counts, so that camera images are of order one."""


class PlateStatistics(NamedTuple):
    """Intensities of a plate, or of each tile's plate: (C,) or (B, C) float32, in the tiles' units."""

    mean: Any
    deviation: Any
    low: Any
    """Quantile LOW: the background of the camera and of empty regions."""
    high: Any
    """Quantile HIGH."""

    def of(self, channels: Any) -> "PlateStatistics":
        """The same for these channels alone, by their position in the last axis."""
        return PlateStatistics(*(part[..., channels] for part in self))


def needs_plate(normalisation: str) -> bool:
    """Whether tiles are scaled by the statistics of their plate."""
    return normalisation.startswith("plate")


def plate_statistics(images: Any, limit: int = 2048) -> PlateStatistics:
    """Mean, standard deviation, low and high quantile per channel of a plate's tiles, four (C,) float32 arrays.

    `images` (N, C, H, W) uint8 or uint16, array or memory map; at most `limit` evenly spaced tiles are read, so a
    plate gives the same numbers in pretraining and embedding. All four are exact for these tiles.
    """
    count = len(images)
    if count == 0:
        raise ConfigError("plate statistics of a plate without tiles; set normalisation to tile or drop the plate")
    rows = np.unique(np.linspace(0, count - 1, min(count, limit)).round().astype(np.int64))
    levels = np.iinfo(images.dtype).max + 1
    histogram = np.zeros((images.shape[1], levels), dtype=np.int64)
    for start in range(0, len(rows), 64):
        block = np.asarray(images[rows[start : start + 64]])
        for channel in range(images.shape[1]):
            histogram[channel] += np.bincount(block[:, channel].ravel(), minlength=levels)
    share = histogram / histogram.sum(axis=1, keepdims=True)
    values = np.arange(levels, dtype=np.float64)
    mean = share @ values
    deviation = np.sqrt(np.maximum(share @ values**2 - mean**2, 0))
    reached = share.cumsum(axis=1)
    low, high = ((reached >= quantile).argmax(axis=1) for quantile in (LOW, HIGH))
    return PlateStatistics(*(part.astype(np.float32) for part in (mean, deviation, low, high)))


def normalise(images: Tensor, mode: str = "tile", statistics: tuple[Any, ...] | None = None) -> Tensor:
    """Raw tiles (B, C, H, W) of any integer or float type to float32 of the same shape.

    tile, plate: zero mean, unit variance of each tile and channel, or by the plate's mean and deviation.
    tile_range, plate_range: [0, 1] from the low to the high quantile of the tile's or the plate's channel, clipped.
    tile_sd, plate_sd: distance from the low quantile in standard deviations: as `tile` and `plate`, not centred.
    none: uint16 in thousands of counts (RAW_SCALE), uint8 over 255, floats as they are.
    `statistics` (PlateStatistics) are required for the three plate modes. Constant tiles become zeros.
    """
    shift, divisor = affine(images, mode, statistics)
    values = (images.float() - shift) / divisor
    return values.clamp(0, 1) if mode.endswith("_range") else values


def rescale(images: Tensor, mode: str, other: str, statistics: tuple[Any, ...] | None = None) -> Tensor:
    """Gain and offset (2, B, C) from raw `images` normalised by `mode` to the scale of `other` (not clipped)."""
    shift, divisor = affine(images, mode, statistics)
    other_shift, other_divisor = affine(images, other, statistics)
    pair = torch.stack([divisor / other_divisor, (shift - other_shift) / other_divisor])
    return pair[..., 0, 0].expand(2, *images.shape[:2])


def affine(images: Tensor, mode: str, statistics: tuple[Any, ...] | None = None) -> tuple[Tensor, Tensor]:
    """The offset and divisor of a normalisation: two float32 tensors that broadcast to (B, C, H, W)."""
    if mode not in NORMALISATIONS:
        raise ConfigError(f"normalisation {mode!r} is not one of {', '.join(NORMALISATIONS)}")
    if mode == "none":
        scale = 1.0 if images.is_floating_point() else 255.0 if images.dtype == torch.uint8 else RAW_SCALE
        nothing = torch.zeros(1, images.shape[1], 1, 1, device=images.device)
        return nothing, nothing + scale
    if needs_plate(mode):
        if statistics is None:
            raise ConfigError(f"normalisation {mode} needs the plate's statistics (normalise.plate_statistics)")
        parts = [torch.as_tensor(part, dtype=torch.float32, device=images.device) for part in statistics]
        mean, deviation, low, high = (part.reshape(-1, images.shape[1], 1, 1) for part in parts)
    else:
        mean, deviation, low, high = _tile_statistics(images.float(), mode)
    if mode.endswith("_range"):
        # Without a range the few pixels outside of it would be millions; the channel's mean patch is not clipped.
        span = high - low
        return low, torch.where(span > low.abs() * 1e-4 + 1e-8, span, NO_RANGE)
    # The floor prevents amplified rounding errors in constant tiles; real contrast is far above it.
    return mean if mode in CENTRED else low, torch.maximum(deviation, mean.abs() * 1e-4 + 1e-8)


def _tile_statistics(values: Tensor, mode: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Mean, deviation, low and high quantile of each tile and channel (B, C, 1, 1), if `mode` needs them."""
    pixels = values.flatten(2)
    if mode == "tile_range":
        low, high = _ranked(pixels, LOW), _ranked(pixels, HIGH)
        return low, high, low, high
    variance, mean = variance_and_mean(values)
    low = mean if mode == "tile" else _ranked(pixels, LOW)
    return mean, variance.sqrt(), low, low


def variance_and_mean(values: Tensor) -> tuple[Tensor, Tensor]:
    """Variance (over the number of pixels) and mean of each tile and channel of (B, C, H, W): two (B, C, 1, 1)."""
    if values.device.type != "cpu":
        return torch.var_mean(values, dim=(2, 3), correction=0, keepdim=True)
    # On a CPU `var_mean` takes one pixel at a time; these two passes are sixteen times as fast.
    mean = values.mean(dim=(2, 3), keepdim=True)
    return (values - mean).square().mean(dim=(2, 3), keepdim=True), mean


def _ranked(pixels: Tensor, quantile: float) -> Tensor:
    """The pixel (B, C, 1, 1) of (B, C, M) at a quantile near 0 or 1, by nearest rank; only a few pixels are sorted."""
    last = pixels.shape[2] - 1
    rank, largest = round(quantile * last), quantile > 0.5
    return pixels.topk((last - rank if largest else rank) + 1, largest=largest).values[..., -1, None, None]
