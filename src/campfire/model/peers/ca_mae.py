"""CA-MAE (recursionpharma/maes_microscopy e2faf37): one shared encoder, one decoder per channel.

Two forms of the blocks' bias. `shifted` (for published weights, OpenPhenom's among them): timm before 1.0.25 joined the
MLP's bias to the wrong outputs, so hidden units, queries, keys and values got parts of it. `sound` (for training): the
bias goes to the hidden units, as in timm 1.0.25 and later. Both have the same parameter names, so either loads without
an error.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from campfire.core.errors import DataError, WeightsError
from campfire.model.layers import Linear
from campfire.model.peers.ca_mae_decoder import ChannelDecoders, DecoderShape
from campfire.model.peers.layers import Scale, attend, grid_of
from campfire.model.peers.prepare import standardise
from campfire.model.peers.vit import count_blocks
from campfire.model.peers.weights import fill
from campfire.model.positions import sincos_table

BiasForm = Literal["shifted", "sound"]

INPUT_EPS = 1e-5
"""Of the instance norm on x / 255; it visibly shrinks channels whose deviation is a few grey levels."""


@dataclass(frozen=True)
class EncoderShape:
    """Sizes of the encoder; all but the tokens per channel can be read from its weights."""

    patch: int
    width: int
    depth: int
    heads: int
    positions: int  # rows of the fixed table: 1 + channels x tokens per channel
    bias: BiasForm = "shifted"


class ParallelBlock(nn.Module):
    """Attention and MLP side by side behind one norm and one projection to (hidden, q, k, v)."""

    def __init__(self, width: int, heads: int, bias: BiasForm, ratio: int = 4) -> None:
        super().__init__()
        self.width, self.heads, self.bias, self.hidden = width, heads, bias, ratio * width
        self.in_norm = nn.LayerNorm(width, eps=1e-6)
        self.in_proj = Linear(width, self.hidden + 3 * width, bias=False)
        self.mlp_bias = nn.Parameter(torch.zeros(self.hidden))
        self.q_norm = nn.LayerNorm(width // heads, eps=1e-6)
        self.k_norm = nn.LayerNorm(width // heads, eps=1e-6)
        self.attn_out_proj = Linear(width, width)
        self.mlp_out_proj = Linear(self.hidden, width)
        self.ls = Scale(width)

    def forward(self, x: Tensor) -> Tensor:
        none = self.mlp_bias.new_zeros(3 * self.width)
        parts = [none, self.mlp_bias] if self.bias == "shifted" else [self.mlp_bias, none]
        joint = functional.linear(self.in_norm(x), self.in_proj.weight, torch.cat(parts))
        hidden, query, key, value = joint.split([self.hidden, self.width, self.width, self.width], dim=-1)
        query = self.q_norm(query.unflatten(-1, (self.heads, -1))).flatten(-2)
        key = self.k_norm(key.unflatten(-1, (self.heads, -1))).flatten(-2)
        attended = self.attn_out_proj(attend(query, key, value, self.heads))
        return x + self.ls(attended + self.mlp_out_proj(functional.gelu(hidden)))


class Backbone(nn.Module):
    """The encoder: no channel embedding, the same sin-cos positions for every channel."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.shape = shape
        self.cls_token = nn.Parameter(torch.zeros(1, 1, shape.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, shape.positions, shape.width), requires_grad=False)
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(1, shape.width, shape.patch, shape.patch)})
        self.blocks = nn.ModuleList(ParallelBlock(shape.width, shape.heads, shape.bias) for _ in range(shape.depth))
        self.fc_norm = nn.LayerNorm(shape.width, eps=1e-6)

    def patches(self, values: Tensor) -> Tensor:
        """Patch tokens (B, C T, D) of prepared tiles (B, C, H, W), channel outermost, without positions."""
        grid_of(values, self.shape.patch, "CA-MAE")
        batch, channels = values.shape[:2]
        projected = self.patch_embed["proj"](values.reshape(batch * channels, 1, *values.shape[2:]))
        return projected.flatten(2).transpose(1, 2).reshape(batch, -1, self.shape.width)

    def tokens(self, values: Tensor) -> Tensor:
        """Class and patch tokens (B, 1 + C T, D) with the table's first rows added, as published.

        The rows are right only for the table's own number of tokens per channel, which the published code does not
        check.
        """
        patches = self.patches(values)
        if patches.shape[1] >= self.shape.positions:
            raise DataError(
                f"CA-MAE: {values.shape[1]} channels of {patches.shape[1] // values.shape[1]} patches, but the weights "
                f"hold {self.shape.positions - 1} positions; give fewer channels"
            )
        x = torch.cat([self.cls_token.expand(len(values), -1, -1), patches], dim=1)
        return x + self.pos_embed[:, : x.shape[1]]

    def encode(self, tokens: Tensor) -> Tensor:
        """The blocks; there is no final norm."""
        for block in self.blocks:
            tokens = block(tokens)
        return tokens

    def forward(self, values: Tensor) -> Tensor:
        """Tokens (B, 1 + C T, D) of prepared tiles (B, C, H, W)."""
        return self.encode(self.tokens(values))


class MaskedPass(NamedTuple):
    """A masked forward pass over C channels of T patches; K tokens were kept."""

    latent: Tensor  # (B, 1 + K, D)
    mask: Tensor  # (B, C T): 1 where a token was removed
    restore: Tensor  # (B, C T): places of the original tokens in (kept, removed)
    prediction: Tensor  # (B, C T, P^2)


class CaMae(nn.Module):
    """Encoder and, where the weights hold one, decoder, under the authors' names."""

    def __init__(self, encoder: EncoderShape, decoder: DecoderShape | None = None) -> None:
        super().__init__()
        self.encoder = nn.ModuleDict({"vit_backbone": Backbone(encoder)})
        if decoder is not None:
            self.decoder = ChannelDecoders(decoder)
            self.encoder_decoder_proj = Linear(encoder.width, decoder.width)
            self.decoder_pred = Linear(decoder.width, encoder.patch**2)

    @property
    def backbone(self) -> Backbone:
        """The encoder itself."""
        backbone = self.encoder["vit_backbone"]
        assert isinstance(backbone, Backbone)
        return backbone

    def forward(self, values: Tensor, noise: Tensor, mask_ratio: float = 0.75) -> MaskedPass:
        """Reconstruct prepared tiles from the tokens with the lowest `noise` (B, C T), one pool over all channels."""
        order = noise.argsort(dim=1)
        restore = order.argsort(dim=1)
        kept = int(noise.shape[1] * (1 - mask_ratio))
        tokens = self.backbone.tokens(values)
        chosen = order[:, :kept, None].expand(-1, -1, tokens.shape[2])
        seen = torch.cat([tokens[:, :1], tokens[:, 1:].gather(1, chosen)], dim=1)
        latent = self.backbone.encode(seen)
        prediction = self.decoder_pred(self.decoder(self.encoder_decoder_proj(latent), restore))
        return MaskedPass(latent, (restore >= kept).to(values.dtype), restore, prediction)


def prepare(images: Tensor, levels: float = 255.0) -> Tensor:
    """Tiles (B, C, H, W) to [0, 1] by `levels`, then an instance norm per tile and channel."""
    return standardise(images.float() / levels, INPUT_EPS, inside=True)


def mean_tokens(tokens: Tensor) -> Tensor:
    """Mean of all patch tokens (B, D), without normalisation (OpenPhenom's `predict`)."""
    return tokens[:, 1:].mean(dim=1)


def channel_means(tokens: Tensor, channels: int) -> Tensor:
    """Mean patch token of each channel, not normalised: (B, C, D)."""
    return tokens[:, 1:].unflatten(1, (channels, -1)).mean(dim=2)


def embedding(backbone: Backbone, tokens: Tensor) -> Tensor:
    """`fc_norm` of the mean of all patch tokens (B, D): the encoder's own output."""
    return backbone.fc_norm(mean_tokens(tokens))


def position_table(width: int, grid: int, channels: int) -> Tensor:
    """The fixed positions (1, 1 + channels grid^2, width): a zero row, then one sin-cos table for each channel."""
    table = sincos_table(width, grid)
    return torch.cat([table[:, :1], table[:, 1:].repeat(1, channels, 1)], dim=1)


def build(tensors: Mapping[str, Tensor], bias: BiasForm = "shifted", decoder_heads: int | None = None) -> CaMae:
    """The network of a state dict (CA-MAE's or OpenPhenom's), in evaluation mode.

    The decoder is omitted unless its number of heads is given, which cannot be inferred from weights (published: 16).
    WeightsError where a part is missing.
    """
    start = "encoder.vit_backbone."
    try:
        projection = tensors[f"{start}patch_embed.proj.weight"]
        head = len(tensors[f"{start}blocks.0.q_norm.weight"])
        positions = tensors[f"{start}pos_embed"].shape[1]
        depth = count_blocks(tensors, f"{start}blocks.")
        width, patch = projection.shape[0], projection.shape[-1]
        encoder = EncoderShape(patch, width, depth, width // head, positions, bias)
        decoder = DecoderShape.of(tensors, decoder_heads) if decoder_heads else None
    except KeyError as error:
        raise WeightsError(f"CA-MAE: the weights lack {error}; give the authors' file, encoder included") from error
    model = CaMae(encoder, decoder)
    fill(model, tensors, "CA-MAE", ignored=() if decoder_heads else ("decoder", "encoder_decoder_proj."))
    return model
