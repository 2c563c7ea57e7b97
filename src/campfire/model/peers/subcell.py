"""SubCell (CellProfiling/SubCellPortable 676f0e1): a ViT of transformers, pooled by gated attention.

On loading, its parameters are renamed to DINO's and queries, keys and values joined, so that the shared transformer
runs it.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from campfire.core.errors import WeightsError
from campfire.model.layers import Linear
from campfire.model.peers.layers import DINO_SHIFT
from campfire.model.peers.vit import VisionTransformer, VitShape, shape_of
from campfire.model.peers.weights import fill

NAMES = {
    "embeddings.cls_token": "cls_token",
    "embeddings.position_embeddings": "pos_embed",
    "embeddings.patch_embeddings.projection": "patch_embed.proj",
    "attention.output.dense": "attn.proj",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
    "layernorm": "norm",
}
"""Parts of transformers' names and of ours, longer ones first."""


class Pooled(NamedTuple):
    """Result of pooling B tiles of h x w patches with H heads."""

    embedding: Tensor  # (B, H D)
    weights: Tensor  # (B, H, 1 + T): of the class token, then of the patches; they sum to 1


class GatedPooling(nn.Module):
    """Attention pooling over all tokens, the class token included; the heads' sums are concatenated."""

    def __init__(self, width: int, inner: int, heads: int) -> None:
        super().__init__()
        self.attention_v = nn.Sequential(Linear(width, inner), nn.Tanh())
        self.attention_u = nn.Sequential(Linear(width, inner), nn.GELU())
        self.attention = Linear(inner, heads)

    def forward(self, tokens: Tensor) -> Pooled:
        scores = self.attention(self.attention_v(tokens) * self.attention_u(tokens))
        weights = scores.transpose(1, 2).softmax(dim=-1)
        return Pooled((weights @ tokens).flatten(1), weights)


class SubCell(nn.Module):
    """Encoder, pooling and any number of classifiers, whose probabilities are averaged."""

    def __init__(self, shape: VitShape, inner: int, pool_heads: int, classifiers: list[list[int]]) -> None:
        super().__init__()
        self.encoder = VisionTransformer(shape)
        self.pool_model = GatedPooling(shape.width, inner, pool_heads)
        self.classifiers = nn.ModuleList(_classifier(sizes) for sizes in classifiers)

    def forward(self, values: Tensor) -> Pooled:
        """Pooled tokens of tiles (B, C, H, W) in [0, 1]."""
        return self.pool_model(self.encoder(values))

    def probabilities(self, embedding: Tensor) -> Tensor:
        """Mean probability (B, K) of each location over the classifiers."""
        return torch.stack([part(embedding).sigmoid() for part in self.classifiers]).mean(dim=0)

    def class_attention(self, values: Tensor) -> Tensor:
        """Attention weights (B, heads, T) of the class token on the patches in the last block."""
        encoder = self.encoder
        before = encoder.layers(encoder.tokens(values), 2)
        x = before[0] if len(before) > 1 else encoder.tokens(values)
        block = encoder.blocks[-1]
        query, key, _ = block.attn.qkv(block.norm1(x)).unflatten(2, (3, encoder.shape.heads, -1)).unbind(2)  # type: ignore[operator, union-attr]
        scores = torch.einsum("bhd,bthd->bht", query[:, 0], key) * query.shape[-1] ** -0.5
        return scores.softmax(dim=-1)[..., 1:]


def _classifier(sizes: list[int]) -> nn.Sequential:
    first, second, third, last = sizes
    return nn.Sequential(Linear(first, second), nn.ReLU(), Linear(second, third), nn.ReLU(), Linear(third, last))


def renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Encoder tensors in transformers' names (behind `encoder.`) under DINO's names, q, k and v joined."""
    found: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if not name.startswith("encoder.") or ".attention.attention." in name:
            continue
        own = re.sub(r"^encoder\.layer\.", "blocks.", name.removeprefix("encoder."))
        for theirs, ours in NAMES.items():
            if theirs in own:
                own = own.replace(theirs, ours)
                break
        found[own] = value
    layers = {n.split(".")[3] for n in tensors if n.startswith("encoder.encoder.layer.")}
    for layer in layers:
        for part in ("weight", "bias"):
            parts = [f"encoder.encoder.layer.{layer}.attention.attention.{k}.{part}" for k in ("query", "key", "value")]
            if any(name not in tensors for name in parts):
                raise WeightsError(f"SubCell: the weights lack {parts[0]} or its key or value; give the whole file")
            found[f"blocks.{layer}.attn.qkv.{part}"] = torch.cat([tensors[name] for name in parts])
    return found


def build(
    tensors: Mapping[str, Tensor],
    heads: int | None = None,
    eps: float = 1e-12,
    classifiers: list[Mapping[str, Tensor]] | None = None,
    exact_positions: bool = True,
) -> SubCell:
    """The network of the published files (encoder and pooling in one, each classifier its own), in evaluation mode.

    `exact_positions`: resample off the native size as transformers 4.45 does; False as 4.44 and older (n' + 0.1).
    """
    encoder = renamed(tensors)
    shape = replace(shape_of(encoder, heads), eps=eps, shift=0.0 if exact_positions else DINO_SHIFT)
    pooling = {re.sub(r"(attention_[uv])\.1\.", r"\1.0.", n): t for n, t in tensors.items() if n.startswith("pool_")}
    try:
        pool_heads, inner = pooling["pool_model.attention.weight"].shape
    except KeyError as error:
        raise WeightsError(f"SubCell: the weights lack {error}; give the file with encoder and pooling") from error
    named = {f"encoder.{n}": t for n, t in encoder.items()} | pooling
    sizes: list[list[int]] = []
    for number, part in enumerate(classifiers or []):
        own = {re.sub(r"^([36])\.", lambda m: {"3": "2.", "6": "4."}[m[1]], n): t for n, t in part.items()}
        sizes.append([own["0.weight"].shape[1], *(len(own[f"{k}.weight"]) for k in (0, 2, 4))])
        named |= {f"classifiers.{number}.{n}": t for n, t in own.items()}
    model = SubCell(shape, inner, pool_heads, sizes)
    fill(model, named, "SubCell")
    return model


def map_of(weights: Tensor, grid: tuple[int, int]) -> Tensor:
    """Weights (B, H, 1 + T) of tokens as maps (B, H, rows, columns) of the patches."""
    return weights[..., 1:].unflatten(-1, grid)
