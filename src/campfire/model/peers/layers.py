"""Transformer parts that several peers share."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from campfire.core.errors import DataError
from campfire.model.layers import Attention, Mlp

DINO_SHIFT = 0.1
"""DINO's code resamples positions to n' + 0.1 patches, so that rounding never drops one; its weights require it."""


class Scale(nn.Module):
    """A learned factor per feature (layer scale)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Block(nn.Module):
    """Pre-norm block: attention and MLP, each after a LayerNorm and with an optional layer scale."""

    def __init__(self, width: int, heads: int, hidden: int, eps: float = 1e-6, scaled: bool = False) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=eps)
        self.mlp = Mlp(width, hidden)
        self.scaled = scaled
        if scaled:
            self.ls1, self.ls2 = Scale(width), Scale(width)

    def forward(self, x: Tensor) -> Tensor:
        attended = self.attn(self.norm1(x), None)
        x = x + (self.ls1(attended) if self.scaled else attended)
        mixed = self.mlp(self.norm2(x))
        return x + (self.ls2(mixed) if self.scaled else mixed)


class PatchProjection(nn.Module):
    """Patch embedding of (B, C, H, W) as tokens (B, T, D); its convolution is named `proj`."""

    def __init__(self, channels: int, width: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, patch, patch)

    def forward(self, images: Tensor) -> Tensor:
        return self.proj(images).flatten(2).transpose(1, 2)


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Softmax attention of (B, T, D) queries over (B, S, D) keys and values in `heads` heads: (B, T, D)."""
    split = [x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value)]
    return functional.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2)


def grid_of(images: Tensor, patch: int, what: str) -> tuple[int, int]:
    """Rows and columns of patches of (..., H, W); DataError where the sides are no multiples of the patch."""
    height, width = images.shape[-2:]
    if height % patch or width % patch:
        raise DataError(f"{what}: tiles of {height} x {width} px; give sides that are multiples of {patch} px")
    return height // patch, width // patch


def resample(table: Tensor, grid: Sequence[int], shift: float = DINO_SHIFT, antialias: bool = False) -> Tensor:
    """Positions (1, n^2, D) of a square grid resampled bicubically to `grid` rows and columns: (1, T, D).

    `shift` is added to the new size for the ratio of the grids; 0 resamples to the exact size.
    """
    side = round(table.shape[1] ** 0.5)
    square = table.reshape(1, side, side, -1).permute(0, 3, 1, 2)
    if shift:
        ratio = [(edge + shift) / side for edge in grid]
        new = functional.interpolate(square, scale_factor=ratio, mode="bicubic", antialias=antialias)
    else:
        new = functional.interpolate(square, size=list(grid), mode="bicubic", antialias=antialias)
    return new.flatten(2).transpose(1, 2)


def positions_for(
    table: Tensor, grid: Sequence[int], leading: int = 1, shift: float = DINO_SHIFT, always: bool = False
) -> Tensor:
    """Positions (1, leading + T, D) for `grid`: the table itself at its own size, else with resampled patch rows.

    `leading` rows belong to class and context tokens and are never resampled. `always` resamples at the table's own
    size too, where a shift moves its entries.
    """
    first, patches = table[:, :leading], table[:, leading:]
    native = grid[0] == grid[1] and grid[0] * grid[1] == patches.shape[1]
    return table if native and not always else torch.cat([first, resample(patches, grid, shift)], dim=1)
