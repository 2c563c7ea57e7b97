"""Kind `chada_vit`: channels in numbered slots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from campfire.core.options import Names, Options, option
from campfire.encoders.registry import Source, known_channels, register

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from campfire.encoders.base import Encoder

SOURCE = Source(
    "nicoboou/chada_vit 1aff2b5",
    "Apache-2.0",
    "none published",
    "the authors published none; train it with nicoboou/chada_vit",
)
PREPROCESSING = 1


class ChAdaViTOptions(Options):
    """Tiles in [0, 1], resized to the size of the positions."""

    kind: Literal["chada_vit"] = "chada_vit"
    weights: str = option("", "the backbone's file")
    sha256: str = option("", "SHA-256 of the weights file; another one is refused")
    heads: int = option(2, "attention heads", source="the authors' factory", ge=1)
    size: int | None = option(None, "edge to which tiles are resized; by default that of the positions", unit="px")
    channel_order: Names | None = option(
        None, "your channels by slot; by default the channels of a set take the first slots in their order"
    )
    form: Literal["authors", "sound"] = option(
        "authors", "authors: as their code, for their weights; sound: black channels and short tables are not dropped"
    )


@register("chada_vit", ChAdaViTOptions, SOURCE)
def make_chada_vit(options: ChAdaViTOptions, name: str, device: str) -> Encoder:
    """ChAda-ViT under its authors' parameter names."""
    from campfire.encoders.frozen import FrozenEncoder, find_weights, grey_levels, resize
    from campfire.model.peers import chada_vit

    tensors = find_weights(options.weights, options.sha256, name, SOURCE)
    model = chada_vit.build(tensors, options.heads, options.form)
    order = None if options.channel_order is None else list(options.channel_order)
    size = options.size or round((model.pos_embed.shape[2] - 1) ** 0.5) * model.patch

    def embed(images: Tensor, channels: Sequence[str]) -> Tensor:
        values = resize(grey_levels(images), size) / 255
        slots = None if order is None else known_channels(order, list(channels), name)
        return model(values, slots)[:, 0]

    settings = {"kind": "chada_vit", "preprocessing": PREPROCESSING, "heads": options.heads, "size": size}
    settings |= {"channel_order": order, "form": options.form}
    return FrozenEncoder(name, device, model, embed, lambda channels: model.width, settings)
