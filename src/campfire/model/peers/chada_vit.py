"""ChAda-ViT (nicoboou/chada_vit 1aff2b5): channels in numbered slots, attention over the tokens of all of them.

Two forms. `authors` (for their weights): slots are added only when the table has exactly ten rows, and tokens that are
exactly zero are taken for padding, so a black channel vanishes when the projection has no bias. `sound` (for training):
slots of a table of any length, every token attended. The published code pads to ten channels; computing only the
channels an image has gives the same numbers.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from campfire.core.errors import DataError, WeightsError
from campfire.model.layers import Linear
from campfire.model.peers.layers import PatchProjection, grid_of, positions_for
from campfire.model.peers.vit import count_blocks
from campfire.model.peers.weights import fill

Form = Literal["authors", "sound"]

PUBLISHED_SLOTS = 10
"""Rows of the channel table with which the published code adds it."""


class JointAttention(nn.Module):
    """Self-attention under the parameter names of torch's multi-head attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = Linear(width, width)

    def forward(self, x: Tensor, attended: Tensor | None = None) -> Tensor:
        """`attended` (B, T) bool: keys that take part; None for all."""
        joint = functional.linear(x, self.in_proj_weight, self.in_proj_bias)
        query, key, value = joint.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        mask = None if attended is None else attended[:, None, None, :]
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class SandwichBlock(nn.Module):
    """ChAda's block: norm1 before the attention and again behind its residual, norm2 behind that of the ReLU MLP."""

    def __init__(self, width: int, heads: int, hidden: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.self_attn = JointAttention(width, heads)
        self.linear1 = Linear(width, hidden)
        self.linear2 = Linear(hidden, width)
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.norm2 = nn.LayerNorm(width, eps=eps)

    def forward(self, x: Tensor, attended: Tensor | None = None) -> Tensor:
        x = self.norm1(x + self.self_attn(self.norm1(x), attended))
        return self.norm2(x + self.linear2(functional.relu(self.linear1(x))))


class ChAdaViT(nn.Module):
    """Images (B, C, H, W) with any number of channels up to the slots of the table."""

    def __init__(
        self,
        patch: int,
        width: int,
        depth: int,
        heads: int,
        positions: int,
        slots: int = PUBLISHED_SLOTS,
        hidden: int = 2048,
        form: Form = "authors",
    ) -> None:
        super().__init__()
        self.patch, self.form = patch, form
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.channel_token = nn.Parameter(torch.empty(1, slots, 1, width))
        self.pos_embed = nn.Parameter(torch.empty(1, 1, positions, width))
        self.token_learner = PatchProjection(1, width, patch)
        self.blocks = nn.ModuleList(SandwichBlock(width, heads, hidden) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    @property
    def slots(self) -> int:
        """The largest number of channels."""
        return int(self.channel_token.shape[1])

    @property
    def width(self) -> int:
        """Length of a token."""
        return int(self.cls_token.shape[2])

    def tokens(self, images: Tensor, slots: Sequence[int] | None = None) -> tuple[Tensor, Tensor | None]:
        """Class and patch tokens (B, 1 + C T, D), and which of them are attended (None: all).

        `slots` of the channels; by default the first ones in order.
        """
        batch, channels = images.shape[:2]
        if channels > (PUBLISHED_SLOTS if self.form == "authors" else self.slots):
            raise DataError(f"ChAda-ViT: {channels} channels, but it has slots for {self.slots}; give fewer channels")
        grid = grid_of(images, self.patch, "ChAda-ViT")
        patches = self.token_learner(images.reshape(batch * channels, 1, *images.shape[2:]))
        patches = patches.unflatten(0, (batch, channels))
        attended = None
        if self.form == "authors":
            empty = (patches == 0).all(dim=-1).flatten(1)
            if empty.any():
                attended = torch.cat([empty.new_ones(batch, 1), ~empty], dim=1)
        table = positions_for(self.pos_embed[0], grid)
        patches = patches + table[:, None, 1:]
        if self.form == "sound" or self.slots == PUBLISHED_SLOTS:
            patches = patches + self.channel_token[:, list(range(channels) if slots is None else slots)]
        start = (self.cls_token + table[:, :1]).expand(batch, -1, -1)
        return torch.cat([start, patches.flatten(1, 2)], dim=1), attended

    def forward(self, images: Tensor, slots: Sequence[int] | None = None) -> Tensor:
        """Normed tokens (B, 1 + C T, D), class token first, channel outermost; `slots` as for `tokens`."""
        x, attended = self.tokens(images, slots)
        for block in self.blocks:
            x = block(x, attended)
        return self.norm(x)


def build(tensors: Mapping[str, Tensor], heads: int = 2, form: Form = "authors") -> ChAdaViT:
    """The network of a state dict, in evaluation mode; `heads` is 2 in the authors' factory. A head is ignored."""
    try:
        projection = tensors["token_learner.proj.weight"]
        hidden = len(tensors["blocks.0.linear1.weight"])
        positions, slots = tensors["pos_embed"].shape[2], tensors["channel_token"].shape[1]
    except KeyError as error:
        raise WeightsError(f"ChAda-ViT: the weights lack {error}; give the authors' backbone") from error
    width, patch = projection.shape[0], projection.shape[-1]
    model = ChAdaViT(patch, width, count_blocks(tensors), heads, positions, slots, hidden, form)
    fill(model, tensors, "ChAda-ViT", ignored=("head.", "classifier."))
    return model
