"""Untrained baselines: the floor that a trained encoder must exceed."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from campfire.core.random import keyed_seed
from campfire.model.normalise import normalise


class IntensityEncoder:
    """Two numbers per channel: the mean intensity, in counts, of the tile and of its centre, where the nucleus is.

    The centre is a disc of a sixth of the tile's edge in radius, so that no segmentation is involved. Embeddings are
    (B, 2 C): all tiles' means first. No texture, no shape.
    """

    normalisation = "counts"

    def __init__(self, name: str = "intensities", device: str = "cpu") -> None:
        self.name, self.device = name, device
        self.digest = hashlib.sha256(b"mean intensities of tile and centre 1").hexdigest()

    def dim(self, channels: Sequence[str]) -> int:
        """Two per channel."""
        return 2 * len(channels)

    @torch.inference_mode()
    def embed(self, images: Tensor, channels: Sequence[str], statistics: tuple[Any, ...] | None = None) -> Tensor:
        """See `Encoder.embed`; `statistics` are not used."""
        values = images.to(self.device).float()
        height, width = values.shape[2:]
        rows = torch.arange(height, device=self.device)[:, None] - (height - 1) / 2
        columns = torch.arange(width, device=self.device)[None] - (width - 1) / 2
        disc = rows**2 + columns**2 <= (min(height, width) / 6) ** 2
        return torch.cat([values.mean(dim=(2, 3)), values[:, :, disc].mean(dim=2)], dim=1)


class RandomCnnEncoder:
    """Two convolutions with random weights, never trained; channels are processed separately with shared weights.

    Each channel of a tile is normalised, convolved (7 px, step 2, then 5 px, step 2, each with a ReLU) and averaged
    over the tile. The channels' means are concatenated (`concatenate`: (B, C x width), channels remain
    distinguishable) or averaged (`average`: (B, width), as Campfire's embedding averages over channels).
    """

    def __init__(
        self,
        name: str = "random_cnn",
        seed: int = 0,
        widths: tuple[int, int] = (32, 64),
        normalisation: str = "tile",
        combine: str = "concatenate",
        device: str = "cpu",
    ) -> None:
        self.name, self.device, self.normalisation, self.combine = name, device, normalisation, combine
        self.pooling = "mean"
        self.width = widths[1]
        settings = ["random cnn 1", seed, list(widths), normalisation, combine]
        self.digest = hashlib.sha256(json.dumps(settings).encode()).hexdigest()
        first = nn.utils.skip_init(nn.Conv2d, 1, widths[0], 7, stride=2)  # takes nothing from the global generator
        second = nn.utils.skip_init(nn.Conv2d, widths[0], widths[1], 5, stride=2)
        generator = torch.Generator().manual_seed(keyed_seed(seed, "random cnn"))
        with torch.no_grad():
            for layer in (first, second):
                # He's initialisation: the size of values stays from layer to layer.
                inputs = layer.weight[0].numel()
                layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) * (2 / inputs) ** 0.5)
                assert layer.bias is not None
                layer.bias.zero_()
        self.model = nn.Sequential(first, nn.ReLU(), second, nn.ReLU()).to(device).eval()

    def dim(self, channels: Sequence[str]) -> int:
        """The width of the second layer, for each channel where they are concatenated."""
        return self.width * (len(channels) if self.combine == "concatenate" else 1)

    @torch.inference_mode()
    def embed(self, images: Tensor, channels: Sequence[str], statistics: tuple[Any, ...] | None = None) -> Tensor:
        """See `Encoder.embed`."""
        values = normalise(images.to(self.device, non_blocking=True), self.normalisation, statistics)
        batch, count, height, width = values.shape
        found: Tensor = self.model(values.reshape(batch * count, 1, height, width))
        means = found.mean(dim=(2, 3)).reshape(batch, count, self.width)
        return means.flatten(1) if self.combine == "concatenate" else means.mean(dim=1)
