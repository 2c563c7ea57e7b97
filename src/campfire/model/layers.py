"""Transformer blocks. Nothing here draws initial values: `MaskedAutoencoder` does, from one seed."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from campfire.model.positions import rotary_tables, rotate

Tables = tuple[Tensor, Tensor | None]


class Linear(nn.Linear):
    """A linear layer without initialisation of its own: the model draws its values."""

    def reset_parameters(self) -> None:
        """Do nothing: the model draws all values once from its seed."""


class Attention(nn.Module):
    """Multi-head self-attention over (B, T, D) with a fused projection and optional rotary tables."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = Linear(width, 3 * width)
        self.proj = Linear(width, width)

    def forward(self, x: Tensor, tables: Tables | None) -> Tensor:
        qkv = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if tables is None:
            query, key, value = qkv.unbind(0)
        else:
            turned, value = qkv.split([2, 1])
            (query, key), value = rotate(turned, *tables).unbind(0), value[0]
        return self.proj(functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two linear layers with a GELU between."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = Linear(width, hidden)
        self.fc2 = Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(functional.gelu(self.fc1(x)))


class Block(nn.Module):
    """Pre-norm transformer block; `freqs` holds learnt rotary frequencies where the model has them."""

    def __init__(self, width: int, heads: int, mlp_ratio: float, mixed_rope: bool, rope_form: str) -> None:
        super().__init__()
        self.heads, self.rope_form = heads, rope_form
        if mixed_rope:
            self.freqs = nn.Parameter(torch.empty(2, 1, width // 2))
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, int(width * mlp_ratio))

    def compile_parts(self, **how: Any) -> None:
        """Compile the rotary tables and the rest apart, with the arguments of `torch.compile`.

        In one graph the compiler computes cosines and sines anew for each element of queries, keys and their gradients.
        """
        self.tables = torch.compile(self.tables, **how)  # type: ignore[method-assign]
        self.mix = torch.compile(self.mix, **how)  # type: ignore[method-assign]

    def forward(
        self, x: Tensor, places: Tensor | None, frequencies: Tensor | None, scales: Tensor | None = None
    ) -> Tensor:
        """`x` (B, T, D); `scales` (2, B) float32 weigh the two branches of each sample, 0 where it skips one.

        `places` and `frequencies` as in `positions.rotary_tables`; both None without rotary positions.
        """
        return self.mix(x, self.tables(places, frequencies), scales)

    def tables(self, places: Tensor | None, frequencies: Tensor | None) -> Tables | None:
        """Rotary tables of the block, in the type in which queries and keys are computed."""
        if places is None or frequencies is None:
            return None
        halves = self.attn.qkv.in_features // self.heads // 2
        cosine, sine = rotary_tables(frequencies.reshape(2, -1, halves), places, self.rope_form)
        if torch.is_autocast_enabled(places.device.type):
            kind = torch.get_autocast_dtype(places.device.type)
            cosine, sine = cosine.to(kind), None if sine is None else sine.to(kind)
        return cosine, sine

    def mix(self, x: Tensor, tables: Tables | None, scales: Tensor | None) -> Tensor:
        """`forward` with the rotary tables at hand."""
        attended = self.attn(self.norm1(x), tables)
        x = x + (attended if scales is None else attended * scales[0, :, None, None].to(attended.dtype))
        mixed = self.mlp(self.norm2(x))
        return x + (mixed if scales is None else mixed * scales[1, :, None, None].to(mixed.dtype))
