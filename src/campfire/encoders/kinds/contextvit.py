"""Kind `contextvit`: a ViT of fixed channels with a context token of the plate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from campfire.core.errors import ConfigError, DataError
from campfire.core.options import option
from campfire.encoders.kinds.channelvit import JumpScaling, scale
from campfire.encoders.registry import Source, known_channels, register

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from campfire.encoders.base import Encoder

SOURCE = Source(
    "insitro/ContextViT 831aa4d",
    "CC BY-NC 4.0",
    "none published",
    "the authors published none; train it with insitro/ContextViT",
)
PREPROCESSING = 1


class ContextViTOptions(JumpScaling):
    """The context token is made from tiles at even distances over the plate, so batches do not matter."""

    kind: Literal["contextvit"] = "contextvit"
    form: Literal["mean_linear", "mean", "mean_linear_layer", "mean_layer"] = option(
        "mean_linear", "where the context token comes from; `layer`: after every block anew"
    )
    plate_tiles: int = option(256, "tiles of the plate that make its context", ge=1)
    size: int | None = option(None, "edge to which tiles are resized; by default that of the positions", unit="px")
    absent: Literal["refuse", "zero"] = option("refuse", "a channel that a channel set lacks: refuse, or zero")


@register("contextvit", ContextViTOptions, SOURCE)
def make_contextvit(options: ContextViTOptions, name: str, device: str) -> Encoder:
    """ContextViT under its authors' parameter names."""
    from campfire.encoders.frozen import FrozenEncoder, all_channels, find_weights, grey_levels, resize
    from campfire.model.peers import contextvit

    tensors = find_weights(options.weights, options.sha256, name, SOURCE)
    model = contextvit.build(tensors, options.heads, options.form)
    order = list(options.channel_order)
    if len(order) != model.shape.channels:
        raise ConfigError(
            f"encoder {name}: channel_order names {len(order)} channels, the weights take {model.shape.channels}"
        )
    size = options.size or round((model.shape.positions - model.leading) ** 0.5) * model.shape.patch
    contexts: list[Tensor] = []

    def prepare(images: Tensor, channels: Sequence[str]) -> Tensor:
        places = known_channels(order, channels, name)
        values = scale(options, resize(grey_levels(images), size), places)
        return all_channels(values, channels, order, options.absent, name)

    def begin_plate(images: Tensor, channels: Sequence[str]) -> None:
        contexts[:] = model.contexts(prepare(images, channels))

    def embed(images: Tensor, channels: Sequence[str]) -> Tensor:
        if not contexts:
            raise DataError("no plate's context; call begin_plate with tiles of the plate first")
        return model.encode_in(prepare(images, channels), contexts)[:, 0]

    settings = {"kind": "contextvit", "preprocessing": PREPROCESSING, "heads": model.shape.heads, "size": size}
    settings |= {"form": options.form, "plate_tiles": options.plate_tiles, "channel_order": order}
    settings |= {"scaling": options.scaling, "mean": list(options.mean), "deviation": list(options.deviation)}
    return FrozenEncoder(
        name, device, model, embed, lambda channels: model.shape.width, settings, begin_plate, options.plate_tiles
    )
