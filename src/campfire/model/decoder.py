"""The decoder: from latent tokens and channel embeddings to pixels."""

import torch
from torch import Tensor, nn

from campfire.model.config import ModelConfig
from campfire.model.encoder import Stack, flat_rows
from campfire.model.layers import Linear


class Decoder(Stack):
    """Transformer that reconstructs all patches of all given channels (paper, section 2.2).

    With `context`, each patch token receives a linear projection of its channel's embedding; decoders that serve a
    single channel do not need it.
    """

    def __init__(self, config: ModelConfig, context: bool = True) -> None:
        width = config.decoder_width
        super().__init__(config, width, config.decoder_depth, config.decoder_heads, 0.0)
        self.decoder_embed = Linear(config.encoder_width, width)
        self.mask_token = nn.Parameter(torch.empty(1, 1, width))
        self.context_layer = Linear(config.context_width, width) if context else None
        self.pred = Linear(width, config.patch_size**2)

    def forward(self, latent: Tensor, channels: int, context: Tensor | None, kept: Tensor | None) -> Tensor:
        """Predicted patches (B, C, N, P*P).

        `latent` (B, 1 + C K, D); `context` (C, D') or (B, C, D'); `kept` (B, 1 or C, K) int64 gives
        the patches of the latent tokens; None when all patches are present in order.
        """
        x = self.decoder_embed(latent)
        start, tokens = x[:, :1], x[:, 1:].unflatten(1, (channels, -1))
        if kept is not None:
            patches, (batch, _, _, width) = self.config.patches, tokens.shape
            missing = self.mask_token[0].to(tokens.dtype).expand(batch * channels * patches, width)
            filled = missing.index_copy(0, flat_rows(kept, channels, patches), tokens.flatten(0, 2))
            tokens = filled.view(batch, channels, patches, width)
        if self.context_layer is not None and context is not None:
            tokens = tokens + self.context_layer(context).unsqueeze(-2)
        # Under autocast the float32 positions make the sums that go from block to block float32, as in the encoder.
        tokens = tokens + self.pos_embed[0, 1:]
        start = start + self.pos_embed[:, :1]
        x = self.transform(torch.cat([start, tokens.flatten(1, 2)], dim=1), None, channels)
        return self.pred(x[:, 1:]).unflatten(1, (channels, -1))
