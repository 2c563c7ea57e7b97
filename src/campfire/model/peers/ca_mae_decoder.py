"""The decoder and the loss of CA-MAE: a small transformer for each channel that looks at all channels' tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from campfire.core.errors import DataError
from campfire.model.layers import Linear, Mlp
from campfire.model.peers.layers import Block, attend

CROSS_HEADS = 8
"""Heads of the cross-attention, whatever the decoder's own number."""


@dataclass(frozen=True)
class DecoderShape:
    """Sizes of the decoder; all but `heads` can be read from its weights."""

    width: int
    depth: int
    heads: int
    channels: int
    positions: int  # rows of its fixed table: 1 + channels x tokens per channel
    eps: float = 1e-6

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], heads: int) -> "DecoderShape":
        """Sizes from a state dict; KeyError where a part is missing."""
        table = tensors["decoder.pos_embeddings"]
        channels = sum(name.startswith("decoder.modality_tokens.") for name in tensors)
        depth = len({name.split(".")[3] for name in tensors if name.startswith("decoder.decoders.0.")})
        return cls(table.shape[2], depth, heads, channels, table.shape[1])


class CrossAttention(nn.Module):
    """Attention of one channel's tokens to the context of all."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.q = Linear(width, width, bias=False)
        self.kv = Linear(width, 2 * width, bias=False)
        self.proj = Linear(width, width)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        key, value = self.kv(context).chunk(2, dim=-1)
        return self.proj(attend(self.q(x), key, value, CROSS_HEADS))


class ChannelDecoders(nn.Module):
    """Latent tokens to decoded tokens of a fixed set of channels; cross-attention and its MLP are shared."""

    def __init__(self, shape: DecoderShape) -> None:
        super().__init__()
        self.shape = shape
        width, eps = shape.width, shape.eps
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.placeholder = nn.Parameter(torch.zeros(1, 1, width), requires_grad=False)
        self.modality_tokens = nn.ParameterList(nn.Parameter(torch.zeros(1, 1, width)) for _ in range(shape.channels))
        self.pos_embeddings = nn.Parameter(torch.zeros(1, shape.positions, width), requires_grad=False)
        self.context_norm = nn.LayerNorm(width, eps=eps)
        self.query_norm = nn.LayerNorm(width, eps=eps)
        self.out_norm = nn.LayerNorm(width, eps=eps)
        self.cross_attention = CrossAttention(width)
        self.mlp = Mlp(width, 4 * width)
        self.decoders = nn.ModuleList(
            nn.Sequential(*(Block(width, shape.heads, 4 * width, eps) for _ in range(shape.depth)))
            for _ in range(shape.channels)
        )

    def forward(self, latent: Tensor, restore: Tensor, which: Sequence[int] | None = None) -> Tensor:
        """Decoded tokens (B, C T, width) of kept ones (B, 1 + K, width), class token first; `restore` (B, C T).

        `which` selects channels; the default is all, the only choice of the published code.
        """
        chosen = range(self.shape.channels) if which is None else which
        per_channel, tokens = (self.shape.positions - 1) // self.shape.channels, restore.shape[1]
        if tokens != len(chosen) * per_channel:
            raise DataError(
                f"CA-MAE: {tokens} tokens, but its decoder reconstructs exactly {len(chosen) * per_channel}, those of "
                f"{len(chosen)} channels; only the encoder takes other channels"
            )
        removed = self.mask_token.expand(len(latent), tokens - (latent.shape[1] - 1), -1).to(latent.dtype)
        both = torch.cat([latent[:, 1:], removed], dim=1)
        restored = both.gather(1, restore[..., None].expand(-1, -1, both.shape[2]))
        labels = torch.cat([self.modality_tokens[m].expand(-1, per_channel, -1) for m in chosen], dim=1)
        x = restored + self.pos_embeddings[:, 1 : 1 + tokens] + labels
        context = self.context_norm(x)
        decoded = []
        for m, part in zip(chosen, x.split(per_channel, dim=1), strict=True):
            y = self.cross_attention(self.query_norm(part), context)
            decoded.append(self.decoders[m](y + self.mlp(self.out_norm(y))))
        return torch.cat(decoded, dim=1)


def patch_targets(values: Tensor, patch: int, standardised: bool = False) -> Tensor:
    """Prepared tiles (B, C, H, W) as the pixels of each token (B, C T, P^2); optionally z-scored per patch."""
    rows = values.unfold(2, patch, patch).unfold(3, patch, patch)
    tokens = rows.flatten(4).flatten(1, 3)
    if standardised:
        variance, mean = torch.var_mean(tokens, dim=-1, keepdim=True)  # the unbiased variance, as published
        tokens = (tokens - mean) / (variance + 1e-6).sqrt()
    return tokens


def whole_images(tokens: Tensor, channels: int, patch: int) -> Tensor:
    """Pixels of tokens (B, C T, P^2) as images (B, C, H, W): the inverse of `patch_targets` on square tiles."""
    grid = round((tokens.shape[1] // channels) ** 0.5)
    cut = tokens.reshape(len(tokens), channels, grid, grid, patch, patch)
    return cut.permute(0, 1, 2, 4, 3, 5).reshape(len(tokens), channels, grid * patch, grid * patch)


def magnitude_distance(prediction: Tensor, target: Tensor) -> Tensor:
    """Distance of the moduli of unnormalised Fourier transforms over the last two axes, coefficient by coefficient."""
    return (torch.fft.fft2(prediction).abs() - torch.fft.fft2(target).abs()).abs()


def authors_fourier(prediction: Tensor, target: Tensor, channels: int) -> Tensor:
    """The published Fourier term per token (B, C T) of pixels (B, C T, P^2).

    It reinterprets memory as (B, P^2 C, sqrt T, sqrt T): this is a token's own patch only where T = P^2 (256 px, patch
    16), and scrambled pixels elsewhere. For training, use `magnitude_distance` of whole images.
    """
    batch, count, pixels = prediction.shape
    side = round((count // channels) ** 0.5)
    shape = (batch, pixels * channels, side, side)
    distance = magnitude_distance(prediction.reshape(shape), target.reshape(shape))
    return distance.reshape(batch, count, pixels).mean(dim=-1)


def masked_token_mean(values: Tensor, mask: Tensor | None = None) -> Tensor:
    """Mean of values (B, N) over the removed tokens, of all where `mask` is None."""
    return values.mean() if mask is None else (values * mask).sum() / mask.sum()


def authors_loss(
    prediction: Tensor, target: Tensor, mask: Tensor | None, channels: int, weight: float = 0.01
) -> dict[str, Tensor]:
    """The published loss on tokens: `loss` = (1 - weight) `mse` + weight `fourier`, over removed tokens."""
    mse = masked_token_mean((prediction - target).square().mean(dim=-1), mask)
    terms = {"mse": mse, "loss": mse}
    if weight:
        terms["fourier"] = masked_token_mean(authors_fourier(prediction, target, channels), mask)
        terms["loss"] = (1 - weight) * mse + weight * terms["fourier"]
    return terms
