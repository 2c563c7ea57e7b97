"""Campfire's relatives as masked autoencoders, trained by the same trainer on the same tiles.

ChannelViT and ChAda-ViT were published without a decoder. Here they are masked autoencoders that differ from Campfire
in one respect each: the encoder's tokens carry a learned embedding of the stain (ChannelViT) or of the channel's
position in the image (ChAda-ViT, with standard pre-norm blocks instead of its own). ContextViT adds a context token of
the plate beside Campfire's class token; unlike in the published code, its gradient always reaches the patches. CA-MAE
is in `ca_mae_autoencoder`.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from campfire.core.errors import ConfigError
from campfire.model.autoencoder import MaskedAutoencoder
from campfire.model.config import ModelConfig
from campfire.model.encoder import Encoder, patchify
from campfire.model.layers import Linear
from campfire.model.peers.contextvit import group_means

SLOTS = 10
"""Number of channel positions that ChAda-ViT knows."""


class LabelledEncoder(Encoder):
    """An encoder whose tokens carry an embedding of their channel's label."""

    def __init__(self, config: ModelConfig, labels: int) -> None:
        super().__init__(config)
        self.channel_embed = nn.Parameter(torch.empty(labels, config.encoder_width))

    def tokens(self, patches: Tensor, positions: Tensor | None, condition: Tensor | None) -> Tensor:
        """As `Encoder.tokens`; the condition is the labels (C,) or (B, C) int64 of the channels."""
        tokens = super().tokens(patches, positions, None)
        return tokens if condition is None else tokens + self.channel_embed[condition].unsqueeze(-2)


class ChannelViTAutoencoder(MaskedAutoencoder):
    """Tokens carry the embedding of their stain; the embedding of an unseen stain is untrained."""

    def _make_encoder(self) -> Encoder:
        return LabelledEncoder(self.config, self.config.channels)

    def _condition(self, patches: Tensor, index: Tensor | None, groups: Tensor | None) -> Tensor:
        if index is None:
            raise ConfigError("family channelvit embeds channels by their stain; give channel_index")
        return index.to(patches.device)


class ChAdaViTAutoencoder(MaskedAutoencoder):
    """Tokens carry the embedding of their channel's position in the image, for any stain."""

    def _make_encoder(self) -> Encoder:
        return LabelledEncoder(self.config, SLOTS)

    def _condition(self, patches: Tensor, index: Tensor | None, groups: Tensor | None) -> Tensor:
        return self._slots(patches)

    def _context(
        self, patches: Tensor, index: Tensor, sums: Tensor | None = None, scale: Tensor | None = None
    ) -> Tensor:
        """Channel embeddings for the decoder, which also receives positions instead of stains."""
        return self.channel_embed[self._slots(patches) % len(self.channel_embed)]

    def _slots(self, patches: Tensor) -> Tensor:
        channels = patches.shape[1]
        if channels > min(SLOTS, self.config.channels):
            raise ConfigError(
                f"family chada_vit: {channels} channels, but it has {min(SLOTS, self.config.channels)} slots; "
                "set model.channels, or give fewer channels"
            )
        return torch.arange(channels, device=patches.device)


class ContextEncoder(Encoder):
    """An encoder with a second token beside the class token: the context of the tile's group."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.context = Linear(config.encoder_width, config.encoder_width)

    def _places(self, positions: Tensor | None, channels: int, device: torch.device) -> Tensor:
        """The context token shares the origin with the class token, so that neither is rotated."""
        places = super()._places(positions, channels, device)
        return torch.cat([places[:, :1], places], dim=1)

    def start(self, batch: int, dtype: torch.dtype, condition: Tensor | None) -> Tensor:
        """The class token and the condition, the context (B, D) of each tile."""
        assert condition is not None
        return torch.cat([super().start(batch, dtype, None), condition[:, None].to(dtype)], dim=1)

    def transform(self, x: Tensor, positions: Tensor | None, channels: int, paths: Tensor | None = None) -> Tensor:
        """As `Stack.transform`; the context takes part in attention and is omitted from the result."""
        x = super().transform(x, positions, channels, paths)
        return torch.cat([x[:, :1], x[:, 2:]], dim=1)


class ContextAutoencoder(MaskedAutoencoder):
    """Campfire with ContextViT's token: the mean patch of all tiles of a group in the batch, through a linear layer.

    The mean includes masked patches, before positions are added, and covers this process's batch.
    """

    encoder: ContextEncoder

    def _make_encoder(self) -> Encoder:
        return ContextEncoder(self.config)

    def _condition(self, patches: Tensor, index: Tensor | None, groups: Tensor | None) -> Tensor:
        if groups is None or self.config.context_group == "batch":
            groups = torch.zeros(len(patches), dtype=torch.long, device=patches.device)
        means = group_means(self.encoder.project(patches.flatten(1, 2).mean(dim=1, keepdim=True)), groups)
        return self.encoder.context(means)

    @torch.no_grad()
    def context_of(self, images: Tensor) -> Tensor:
        """The context token (D,) of normalised tiles of one plate."""
        patches = patchify(images, self.config.patch_size).flatten(1, 2)
        return self.encoder.context(self.encoder.project(patches.mean(dim=(0, 1))))

    def embed_in(self, images: Tensor, context: Tensor, pooling: str = "mean") -> Tensor:
        """Embeddings (B, D) of whole tiles in the context (D,) of their plate, independent of the batch."""
        self._check(images, None)
        patches = patchify(images, self.config.patch_size)
        latent = self.encoder(patches, condition=context.expand(len(patches), -1))
        return self.encoder.pool(latent, pooling).float()


def _ca_mae(config: ModelConfig, seed: int) -> MaskedAutoencoder:
    from campfire.model.ca_mae_autoencoder import CaMaeAutoencoder

    return CaMaeAutoencoder(config, seed)


FAMILIES: dict[str, Callable[[ModelConfig, int], MaskedAutoencoder]] = {
    "campfire": MaskedAutoencoder,
    "channelvit": ChannelViTAutoencoder,
    "chada_vit": ChAdaViTAutoencoder,
    "contextvit": ContextAutoencoder,
    "ca_mae": _ca_mae,
}
"""`model.family` to its class."""


def build_model(config: ModelConfig, seed: int = 0) -> MaskedAutoencoder:
    """The masked autoencoder of a configuration, with initial values drawn from `seed`."""
    return FAMILIES[config.family](config, seed)
