"""Raw tiles of noise, and names that tests of encoders share."""

import torch

RGB = ["DNA", "AGP", "Mito"]
TINY = "vit_tiny_patch16_224"
"""A small timm model."""


def raw(batch: int = 3, channels: int = 3, size: int = 28, seed: int = 0) -> torch.Tensor:
    """Tiles (batch, channels, size, size) uint16."""
    noise = torch.rand(batch, channels, size, size, generator=torch.Generator().manual_seed(seed))
    return (noise * 3000 + 200).to(torch.uint16)
