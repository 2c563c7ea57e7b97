"""How peers scale their tiles: functions from raw values to what a network takes, all float32."""

import torch
from torch import Tensor


def standardise(images: Tensor, eps: float = 1e-7, inside: bool = False) -> Tensor:
    """Zero mean and unit biased deviation per tile and channel of (..., H, W).

    `eps` is added to the deviation, or to the variance under the root where `inside` (an instance norm).
    """
    variance, mean = torch.var_mean(images.float(), dim=(-2, -1), correction=0, keepdim=True)
    return (images - mean) / ((variance + eps).sqrt() if inside else variance.sqrt() + eps)


def joint_range(images: Tensor, eps: float = 1e-6) -> Tensor:
    """(x - min) / (max - min + eps) over all channels and pixels of each tile (B, C, H, W)."""
    values = images.float()
    low = values.amin(dim=(1, 2, 3), keepdim=True)
    return (values - low) / (values.amax(dim=(1, 2, 3), keepdim=True) - low + eps)


def by_brightest(images: Tensor) -> Tensor:
    """Tiles (B, C, H, W) divided by the largest value of all their channels."""
    values = images.float()
    return values / values.amax(dim=(1, 2, 3), keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)


def saturation_noise(images: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Float tiles (B, C, H, W) whose pixels of channel 0 equal to 255 are replaced by uniform values in [200, 255).

    MorphEm's step against saturated pixels; it touches the first channel only and does nothing on other scales.
    """
    values = images.float().clone()
    first = values[:, 0]
    noise = torch.stack([torch.empty_like(tile).uniform_(200, 255, generator=generator) for tile in first])
    values[:, 0] = torch.where(first == 255, noise, first)
    return values
