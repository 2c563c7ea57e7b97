"""CA-MAE as a masked autoencoder of this project: one encoder, one decoder per channel, one pool of masked tokens.

Its blocks have the sound form of `campfire.model.peers.ca_mae`. Its loss is the objective {spatial: 0.99, high: 0,
frequency: 0.01, l1: patch_amplitude}. Unlike the published code it also decodes a subset of its channels.
"""

from typing import Any

import torch
from torch import Tensor, nn

from campfire.core.errors import ConfigError
from campfire.model.autoencoder import Extras, MaskedAutoencoder, Output
from campfire.model.channels import check_index
from campfire.model.config import ModelConfig
from campfire.model.encoder import unpatchify
from campfire.model.initialise import initialise
from campfire.model.layers import Linear
from campfire.model.peers import ca_mae
from campfire.model.peers.ca_mae_decoder import CROSS_HEADS, ChannelDecoders, DecoderShape
from campfire.model.peers.layers import Block

LAYER_SCALE = 1e-4
"""Initial factor of the encoder's branches (timm's, which the authors keep)."""


class CaMaeEncoder(ca_mae.Backbone):
    """CA-MAE's encoder with the pooling of this project's interface."""

    def pool(self, latent: Tensor) -> Tensor:
        """Embedding (B, D): `fc_norm` of the mean patch token, the class token left out."""
        return ca_mae.embedding(self, latent)


class CaMaeAutoencoder(MaskedAutoencoder):
    """One pool of masked tokens over all channels; a decoder per channel that attends to the tokens of all."""

    encoder: CaMaeEncoder  # type: ignore[assignment]
    decoder: ChannelDecoders  # type: ignore[assignment]

    def __init__(self, config: ModelConfig, seed: int = 0) -> None:
        nn.Module.__init__(self)
        self.config = config
        if config.decoder_width % CROSS_HEADS:
            raise ConfigError(
                f"model.decoder_width: {config.decoder_width} must be a multiple of {CROSS_HEADS} (ca_mae)"
            )
        rows = 1 + config.channels * config.patches
        self.encoder = CaMaeEncoder(
            ca_mae.EncoderShape(
                config.patch_size, config.encoder_width, config.encoder_depth, config.encoder_heads, rows, "sound"
            )
        )
        self.encoder_decoder_proj = Linear(config.encoder_width, config.decoder_width)
        self.decoder = ChannelDecoders(
            DecoderShape(config.decoder_width, config.decoder_depth, config.decoder_heads, config.channels, rows)
        )
        self.decoder_pred = Linear(config.decoder_width, config.patch_size**2)
        initialise(self, seed)
        self._own_values()

    @torch.no_grad()
    def _own_values(self) -> None:
        """Set the authors' own initial values: small layer scales, zero channel tokens, fixed positions."""
        grid, channels = self.config.grid, self.config.channels
        for name, parameter in self.named_parameters():
            if parameter.is_meta:
                continue
            if name.endswith("ls.gamma"):
                parameter.fill_(LAYER_SCALE)
            elif "modality_tokens" in name:
                parameter.zero_()
        for table in (self.encoder.pos_embed, self.decoder.pos_embeddings):
            if not table.is_meta:
                table.copy_(ca_mae.position_table(table.shape[2], grid, channels))

    def draw(
        self, batch: int, channels: int, generator: torch.Generator, device: torch.device | str | None = None
    ) -> dict[str, Tensor]:
        """Noise (B, C, N); the patches with the lowest values of all channels are kept."""
        shape = (batch, channels, self.config.patches)
        return {"noise": torch.rand(shape, generator=generator, device=device or generator.device)}

    def compile_blocks(self, tables_apart: bool = False, **how: Any) -> None:
        """Compile the transformer blocks in place."""
        for module in self.modules():
            if isinstance(module, ca_mae.ParallelBlock | Block):
                module.compile(**how)

    def embed(self, images: Tensor, channel_index: Tensor | None = None, pooling: str = "mean") -> Tensor:
        """Embeddings (B, D) float32 of whole tiles of up to `config.channels` channels, pooled by the mean."""
        if pooling != "mean":
            raise ConfigError(f"pooling {pooling}: a CA-MAE pools by the mean of its patch tokens; set pooling to mean")
        self._check(images, None)
        if images.shape[1] > self.config.channels:
            raise ConfigError(f"{images.shape[1]} channels, but the model has positions for {self.config.channels}")
        return self.encoder.pool(self.encoder(images)).float()

    def _masked(self, images: Tensor, channel_index: Tensor, noise: Tensor, extras: Extras) -> Output:
        """Reconstruct from the tokens with the lowest `noise` (B, C, N)."""
        kept = max(1, int(noise[0].numel() * (1 - self.config.mask_ratio)))
        return self._reconstruct(images, channel_index, noise.flatten(1), kept)

    def _whole(self, images: Tensor, channel_index: Tensor, extras: Extras) -> Output:
        """Reconstruct whole tiles, nothing masked."""
        tokens = images.shape[1] * self.config.patches
        order = torch.arange(tokens, dtype=torch.float32, device=images.device).expand(len(images), -1)
        return self._reconstruct(images, channel_index, order, tokens)

    def _reconstruct(self, images: Tensor, index: Tensor, noise: Tensor, kept: int) -> Output:
        batch, channels = images.shape[:2]
        if index.ndim == 2:
            raise ConfigError("family ca_mae: tiles of one batch have the same channels; give channel_index (C,)")
        order = noise.argsort(dim=1)
        restore = order.argsort(dim=1)
        tokens = self.encoder.tokens(images)
        chosen = order[:, :kept, None].expand(-1, -1, tokens.shape[2])
        seen = torch.cat([tokens[:, :1], tokens[:, 1:].gather(1, chosen)], dim=1)
        latent = self.encoder.encode(seen)
        decoded = self.decoder(self.encoder_decoder_proj(latent), restore, index.tolist())
        predicted = self.decoder_pred(decoded).unflatten(1, (channels, -1))
        mask = (restore >= kept).float().view(batch, channels, -1)
        return Output(unpatchify(predicted, self.config.patch_size), images, mask, latent)

    def _check(self, images: Tensor, channel_index: Tensor | None) -> None:
        super()._check(images, None)
        if channel_index is not None:
            check_index(channel_index, images, self.config.channels)
