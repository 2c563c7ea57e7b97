"""ChannelViT (insitro/ChannelViT 1077a10): a learned embedding per channel beside positions that channels share.

Two position forms. `authors`: the table is resampled at (n + 0.1) / n whenever the input has more patches than one
channel at native size, so every multi-channel pass uses shifted positions; published weights need it. `sound`: the
table is used as it is at native size; for training.
"""

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from campfire.core.errors import DataError
from campfire.model.peers.layers import grid_of, positions_for
from campfire.model.peers.vit import VisionTransformer, VitShape, shape_of
from campfire.model.peers.weights import fill

PositionForm = Literal["authors", "sound"]


class ChannelEmbedding(nn.Module):
    """One patch projection for all channels, plus the embedding of each token's channel."""

    def __init__(self, channels: int, width: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv3d(1, width, (1, patch, patch), (1, patch, patch))
        self.channel_embed = nn.Embedding(channels, width)

    def forward(self, images: Tensor, index: Tensor) -> Tensor:
        """(B, C, H, W) and channel numbers (B, C) to tokens (B, C T, D), channel outermost."""
        projected = self.proj(images[:, None]).flatten(3)  # (B, D, C, T)
        labelled = projected + self.channel_embed(index).transpose(1, 2)[..., None]
        return labelled.flatten(2).transpose(1, 2)


class ChannelViT(VisionTransformer):
    """Tokens of all channels attend to each other; the output is the class token."""

    def __init__(self, shape: VitShape, positions: PositionForm = "authors") -> None:
        super().__init__(shape)
        self.position_form = positions

    def _projection(self) -> nn.Module:
        return ChannelEmbedding(self.shape.channels, self.shape.width, self.shape.patch)

    def position_table(self, grid: tuple[int, int], channels: int) -> Tensor:
        """Positions (1, 1 + T, D) of one channel as they are used with so many channels."""
        shifted = self.position_form == "authors" and channels > 1
        return positions_for(self.pos_embed, grid, always=shifted)

    def labelled_tokens(self, images: Tensor, index: Tensor) -> Tensor:
        """Class and patch tokens (B, 1 + C T, D) with channel embeddings and positions."""
        channels = images.shape[1]
        if index.numel() and int(index.max()) >= self.shape.channels:
            raise DataError(
                f"ChannelViT: channel number {int(index.max())}; the weights embed {self.shape.channels} channels"
            )
        grid = grid_of(images, self.shape.patch, "ChannelViT")
        patches = self.patch_embed(images, index.expand(len(images), -1))
        table = self.position_table(grid, channels)
        start = (self.cls_token + table[:, :1]).expand(len(images), -1, -1)
        return torch.cat([start, patches + table[:, 1:].repeat(1, channels, 1)], dim=1)

    def encode(self, images: Tensor, index: Tensor) -> Tensor:
        """Normed tokens (B, 1 + C T, D) of images (B, C, H, W) whose channels have the numbers `index` (B or 1, C)."""
        return self.norm(self.layers(self.labelled_tokens(images, index))[0])


def channel_sample(channels: int, generator: random.Random) -> list[int]:
    """Hierarchical channel sampling: a uniform number of channels, then which, in random order (one draw per batch)."""
    return generator.sample(range(channels), k=generator.randint(1, channels))


def build(tensors: Mapping[str, Tensor], heads: int | None = None, positions: PositionForm = "authors") -> ChannelViT:
    """The network of a state dict of either published class, in evaluation mode; a classifier is ignored."""
    named = dict(tensors)
    plain = named.pop("patch_embed.channel_embed", None)
    if plain is not None:  # the plain class stores its table as (1, D, C, 1, 1)
        named["patch_embed.channel_embed.weight"] = plain[0].flatten(1).T.contiguous()
    channels = len(named["patch_embed.channel_embed.weight"]) if "patch_embed.channel_embed.weight" in named else 0
    model = ChannelViT(replace(shape_of(named, heads), channels=max(1, channels)), positions)
    fill(model, named, "ChannelViT", ignored=("head.",))
    return model
