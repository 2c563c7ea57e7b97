"""Campfire as an encoder: a run of this workflow, its untrained twin, or the authors' checkpoint."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from campfire.core.columns import CHANNELS, channel_order
from campfire.core.errors import ConfigError, DataError
from campfire.encoders.base import POOLINGS
from campfire.model import MaskedAutoencoder, weights_digest
from campfire.model.normalise import normalise
from campfire.model.relatives import ContextAutoencoder

CONTEXT_TILES = 256
"""Tiles of a plate that make the context of a model that has one."""


class CampfireEncoder:
    """The encoder half of a masked autoencoder, tiles normalised as in its pretraining, bf16 on a GPU."""

    def __init__(
        self,
        model: MaskedAutoencoder,
        name: str,
        normalisation: str,
        device: str = "cpu",
        trained_channels: Sequence[str] = CHANNELS,
        pooling: str = "mean",
    ) -> None:
        if pooling not in POOLINGS:
            raise ConfigError(f"encoder {name}: pooling {pooling!r} is not one of {', '.join(POOLINGS)}")
        self.name = name
        self.device = device
        self.normalisation = normalisation
        self.pooling = pooling
        # Models that compute differently may hold the same tensors: the configuration and the scale belong to it.
        settings = [weights_digest(model.encoder), model.config.to_dict(), normalisation, pooling]
        text = json.dumps(settings, sort_keys=True)
        self.digest = hashlib.sha256(text.encode()).hexdigest()
        self.model = model.to(device).eval()
        self.order = channel_order(trained_channels)
        """Channels by the index that the model knows them by."""
        self.plate_tiles = CONTEXT_TILES if isinstance(model, ContextAutoencoder) else 0
        self._context: Tensor | None = None

    def dim(self, channels: Sequence[str]) -> int:
        """The encoder's width for each token that is pooled, whatever the channels."""
        return self.model.config.encoder_width * len(self.pooling.split("+"))

    @torch.inference_mode()
    def embed(self, images: Tensor, channels: Sequence[str], statistics: tuple[Any, ...] | None = None) -> Tensor:
        """See `Encoder.embed`; any channels, also ones never seen in training. DataError for tiles of another size."""
        size = self.model.config.image_size
        if tuple(images.shape[2:]) != (size, size):
            raise DataError(
                f"encoder {self.name}: tiles of {images.shape[2]} x {images.shape[3]} px, but it was trained on "
                f"{size} px; cut tiles of that size"
            )
        values = normalise(images.to(self.device, non_blocking=True), self.normalisation, statistics)
        with torch.autocast(self.device.split(":")[0], dtype=torch.bfloat16, enabled=self.device.startswith("cuda")):
            if isinstance(self.model, ContextAutoencoder):
                if self._context is None:
                    raise DataError(f"encoder {self.name}: no plate's context; call begin_plate with some of its tiles")
                return self.model.embed_in(values, self._context, self.pooling)
            return self.model.embed(values, self._index(channels), self.pooling)

    @torch.inference_mode()
    def begin_plate(self, images: Tensor, channels: Sequence[str], statistics: tuple[Any, ...] | None = None) -> None:
        """See `PlateEncoder.begin_plate`; nothing for models without a context."""
        if isinstance(self.model, ContextAutoencoder):
            self._context = self.model.context_of(normalise(images.to(self.device), self.normalisation, statistics))

    def _index(self, channels: Sequence[str]) -> Tensor | None:
        """Channel index (C,) for a model whose encoder knows channels; DataError for an unknown one."""
        if self.model.config.family != "channelvit":
            return None
        known = self.order[: self.model.config.channels]
        unknown = [channel for channel in channels if channel not in known]
        if unknown:
            raise DataError(
                f"encoder {self.name}: a ChannelViT has an embedding for each of {', '.join(known)}, none for "
                f"{', '.join(unknown)}; embed other channels"
            )
        return torch.tensor([known.index(channel) for channel in channels], device=self.device)
