"""Augmentation and channel subsets of batches on the device, drawn from explicit generators."""

import torch
from torch import Tensor
from torch.nn import functional

from campfire.core.errors import ConfigError
from campfire.training.options import AugmentOptions

SUBSETS = ("release", "uniform", "all")


def augment(images: Tensor, options: AugmentOptions, generator: torch.Generator) -> Tensor:
    """Randomly flip and rotate each tile of (B, C, H, W), with the same transform for all its channels.

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
    probability 1/9, the triple 1/3); `uniform`: all non-empty subsets equally likely; `all`: every channel, no draw.
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
