"""Campfire as an encoder: a run of this workflow, its untrained twin, or the authors' checkpoint."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from campfire.core.errors import DataError
from campfire.model import MaskedAutoencoder, weights_digest
from campfire.model.normalise import normalise


class CampfireEncoder:
    """The encoder half of a masked autoencoder, tiles normalised as in its pretraining, bf16 on a GPU."""

    def __init__(self, model: MaskedAutoencoder, name: str, normalisation: str = "tile", device: str = "cpu") -> None:
        self.name = name
        self.device = device
        self.normalisation = normalisation
        # Models that compute differently may hold the same tensors: the configuration and the scale belong to it.
        text = json.dumps([weights_digest(model.encoder), model.config.to_dict(), normalisation], sort_keys=True)
        self.digest = hashlib.sha256(text.encode()).hexdigest()
        self.model = model.to(device).eval()

    def dim(self, channels: Sequence[str]) -> int:
        """The encoder's width, whatever the channels."""
        return self.model.config.encoder_width

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
            return self.model.embed(values)
