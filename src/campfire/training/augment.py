"""Normalisation, augmentation and channel subsets: in the batch, on the device, from explicit generators."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from campfire.core.errors import ConfigError

NORMALISATIONS = ("tile", "plate", "none")
SUBSETS = ("release", "uniform", "all")


@dataclass(frozen=True)
class AugmentOptions:
    """How a batch is prepared for pretraining (paper, section 3.1)."""

    normalisation: str = "tile"  # z-score per tile and channel (tile), by the plate's statistics (plate), or none
    flip: bool = True  # random flips along both axes
    rotation: str = "right"  # none, right (multiples of 90 degrees) or any (any angle, reflected borders)
    channel_subset: str = "release"  # draw per step: release (size first), uniform (over non-empty subsets) or all

    def __post_init__(self) -> None:
        for field, allowed in (
            ("normalisation", NORMALISATIONS),
            ("rotation", ("none", "right", "any")),
            ("channel_subset", SUBSETS),
        ):
            if getattr(self, field) not in allowed:
                raise ConfigError(f"augment.{field}: {getattr(self, field)!r} is not one of {', '.join(allowed)}")


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


def augment(images: Tensor, options: AugmentOptions, generator: torch.Generator) -> Tensor:
    """Flip and rotate each tile of (B, C, H, W) on its own, all its channels alike, in random ways.

    `generator` lives on the images' device. With square tiles the eight flips and right-angle turns are equally
    likely; float images are needed for `rotation: any`.
    """
    batch = images.shape[0]
    draws = torch.rand(4, batch, generator=generator, device=images.device)
    if options.rotation == "any":
        images = rotate(images, draws[3] * 2 * torch.pi)
    upside, aside = draws[:2] < 0.5
    if not options.flip:
        upside, aside = torch.zeros_like(upside), torch.zeros_like(aside)
    if options.rotation == "right":
        turns = (draws[2] * 4).long()
        # A quarter turn is a transposition and a flip; a half turn flips both axes.
        images = _where(turns % 2 == 1, images.transpose(2, 3), images)
        upside, aside = upside ^ ((turns == 1) | (turns == 2)), aside ^ (turns >= 2)
    images = _where(upside, images.flip(2), images)
    return _where(aside, images.flip(3), images)


def _where(chosen: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    return torch.where(chosen[:, None, None, None], yes, no)


def rotate(images: Tensor, angles: Tensor) -> Tensor:
    """Turn float tiles (B, C, H, W) by angles (B,) in radians, counter-clockwise, bilinear, borders reflected."""
    cosine, sine, zero = angles.cos(), angles.sin(), torch.zeros_like(angles)
    matrix = torch.stack([cosine, -sine, zero, sine, cosine, zero], dim=1).reshape(-1, 2, 3)
    grid = functional.affine_grid(matrix, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid.to(images.dtype), padding_mode="reflection", align_corners=False)


def draw_channels(count: int, scheme: str, generator: torch.Generator) -> list[int]:
    """Positions of a random non-empty subset of `count` channels, ascending, from a CPU generator.

    `release`: the size first, uniformly, then a subset of that size (of three channels each single and pair has
    probability 1/9, the triple 1/3); `uniform`: all non-empty subsets alike; `all`: every channel, no draw.
    """
    if scheme not in SUBSETS:
        raise ConfigError(f"channel subset {scheme!r} is not one of {', '.join(SUBSETS)}")
    if scheme == "all":
        return list(range(count))
    if scheme == "release":
        size = int(torch.randint(1, count + 1, (), generator=generator))
        return sorted(torch.randperm(count, generator=generator)[:size].tolist())
    code = int(torch.randint(1, 2**count, (), generator=generator))
    return [position for position in range(count) if code >> position & 1]
