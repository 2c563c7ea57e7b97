"""Kinds `intensities` and `random_cnn`: untrained baselines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from campfire.core.options import Counts, Options, Seed, option
from campfire.encoders.registry import register
from campfire.model.config import Normalisation

if TYPE_CHECKING:
    from campfire.encoders.base import Encoder


class IntensitiesOptions(Options):
    """Mean intensities; no options."""

    kind: Literal["intensities"] = "intensities"


class RandomCnnOptions(Options):
    """Two random convolutions."""

    kind: Literal["random_cnn"] = "random_cnn"
    seed: Seed = option(0, "seed of the weights")
    widths: Counts = option((32, 64), "channels of the two layers", min_length=2, max_length=2)
    normalisation: Normalisation = option("tile", "how tiles are brought to scale, as `pretrain`'s")
    combine: Literal["average", "concatenate"] = option("concatenate", "how the channels' embeddings are put together")


@register("intensities", IntensitiesOptions)
def make_intensities(options: IntensitiesOptions, name: str, device: str) -> Encoder:
    """Mean intensities of tile and centre."""
    from campfire.encoders.baselines import IntensityEncoder

    return IntensityEncoder(name, device)


@register("random_cnn", RandomCnnOptions)
def make_random_cnn(options: RandomCnnOptions, name: str, device: str) -> Encoder:
    """An untrained convolutional network."""
    from campfire.encoders.baselines import RandomCnnEncoder

    first, second = options.widths
    return RandomCnnEncoder(name, options.seed, (first, second), options.normalisation, options.combine, device)
