"""OpenPhenom (recursionpharma/OpenPhenom): CA-MAE's encoder with several ways to pool an embedding.

They give different numbers from the same weights, so tables must say which was used: `average` (the wrapper's
`predict`) and `concatenate` (its channelwise form) leave the final LayerNorm out, `normalised` (the encoder's own call)
applies it.
"""

from typing import Literal

from torch import Tensor

from campfire.core.errors import DataError
from campfire.model.peers.ca_mae import Backbone, channel_means, embedding, mean_tokens, prepare
from campfire.model.peers.prepare import by_brightest, standardise

Readout = Literal["average", "concatenate", "normalised"]
READOUTS: tuple[Readout, ...] = ("average", "concatenate", "normalised")

PUBLISHED_TOKENS = 256
"""Patches per channel (256 px, patch 16): the positions of the published file are right for no other number."""


def tokens_of(backbone: Backbone, values: Tensor, tokens_per_channel: int | None = PUBLISHED_TOKENS) -> Tensor:
    """Tokens (B, 1 + C T, D) of prepared tiles; DataError where T is not `tokens_per_channel`.

    None skips the check: other sizes then silently get wrong positions, as in the published code.
    """
    patches = (values.shape[2] // backbone.shape.patch) * (values.shape[3] // backbone.shape.patch)
    if tokens_per_channel is not None and patches != tokens_per_channel:
        edge = round(tokens_per_channel**0.5) * backbone.shape.patch
        raise DataError(
            f"OpenPhenom: tiles of {values.shape[2]} x {values.shape[3]} px would get wrong positions; resize them to "
            f"{edge} px"
        )
    return backbone(values)


def read(backbone: Backbone, tokens: Tensor, channels: int, readout: Readout) -> Tensor:
    """The embedding of tokens (B, 1 + C T, D): (B, D), or (B, C D) for `concatenate`."""
    if readout == "concatenate":
        return channel_means(tokens, channels).flatten(1)
    return embedding(backbone, tokens) if readout == "normalised" else mean_tokens(tokens)


def prepare_prestandardised(images: Tensor, levels: float = 255.0) -> Tensor:
    """CHAMMI-75's JUMP-CP script: tiles in [0, 1] are z-scored, then scaled by the model: their deviation is 0.78."""
    return prepare(standardise(images.float() / levels, 1e-7))


def prepare_by_brightest(images: Tensor) -> Tensor:
    """CHAMMI-75's other route: tiles over the brightest pixel of all channels, then the instance norm, no / 255."""
    return prepare(by_brightest(images), levels=1.0)
