"""Kinds `cell_dino` and `channel_adaptive_dino`: DINOv2's models for cells, of fixed channels and of single ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from campfire.core.errors import ConfigError
from campfire.core.options import Names, option
from campfire.encoders.kinds.peers import PeerOptions
from campfire.encoders.registry import Source, register

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from campfire.encoders.base import Encoder

SOURCE = Source(
    "facebookresearch/dinov2 7764ea0",
    "CC BY-NC by its headers, CC BY 4.0 by its licence file",
    "FAIR Noncommercial Research License",
    "Meta sends the address of the weights on request, see docs/README_CELL_DINO.md of facebookresearch/dinov2",
)
PREPROCESSING = 1


class CellDinoOptions(PeerOptions):
    """Tiles z-scored per channel; all channels in one pass."""

    kind: Literal["cell_dino"] = "cell_dino"
    channel_order: Names = option(
        ..., "your channels' names in the order of the training, which the repository does not name", min_length=1
    )
    absent: Literal["refuse", "zero"] = option(
        "refuse", "a channel that a channel set lacks: refuse, or zero, which is what a constant channel becomes"
    )
    size: int | None = option(None, "edge to which tiles are resized; by default as they are", unit="px", ge=1)


class ChannelAdaptiveDinoOptions(PeerOptions):
    """Tiles resized to 8/7 of the size, cropped, z-scored per channel; each channel is seen alone."""

    kind: Literal["channel_adaptive_dino"] = "channel_adaptive_dino"
    size: int | None = option(None, "edge of the crop; by default that of the positions (224)", unit="px", ge=1)
    crop: bool = option(True, "resize to 8/7 of the size and crop its centre, as the authors; or resize to the size")
    combine: Literal["concatenate", "average"] = option(
        "concatenate", "how the channels' class tokens are put together; the authors concatenate"
    )
    unit: bool = option(False, "embeddings of length one, as in the authors' nearest-neighbour evaluation")


@register("cell_dino", CellDinoOptions, SOURCE)
def make_cell_dino(options: CellDinoOptions, name: str, device: str) -> Encoder:
    """Cell-DINO under its authors' parameter names."""
    from campfire.encoders.frozen import FrozenEncoder, all_channels, find_weights, grey_levels, resize
    from campfire.model.peers import cell_dino

    model = cell_dino.build(find_weights(options.weights, options.sha256, name, SOURCE), options.heads)
    order = list(options.channel_order)
    if len(order) != model.shape.channels:
        raise ConfigError(
            f"encoder {name}: channel_order names {len(order)} channels, the weights take {model.shape.channels}"
        )

    def embed(images: Tensor, channels: Sequence[str]) -> Tensor:
        values = cell_dino.prepare(resize(grey_levels(images), options.size))
        return cell_dino.embed(model, all_channels(values, channels, order, options.absent, name))

    settings = {"kind": "cell_dino", "preprocessing": PREPROCESSING, "heads": model.shape.heads}
    settings |= {"channel_order": order, "size": options.size}
    return FrozenEncoder(name, device, model, embed, lambda channels: model.shape.width, settings)


@register("channel_adaptive_dino", ChannelAdaptiveDinoOptions, SOURCE)
def make_channel_adaptive_dino(options: ChannelAdaptiveDinoOptions, name: str, device: str) -> Encoder:
    """The "bag of channels" model under its authors' parameter names."""
    from campfire.encoders.frozen import FrozenEncoder, centre_crop, find_weights, grey_levels, resize
    from campfire.model.peers import cell_dino
    from campfire.model.peers.vit import check_single_channel

    model = cell_dino.build(find_weights(options.weights, options.sha256, name, SOURCE), options.heads)
    check_single_channel(model.shape, f"encoder {name}")
    size = options.size or round((model.shape.positions - 1) ** 0.5) * model.shape.patch
    joined = options.combine == "concatenate"

    def embed(images: Tensor, channels: Sequence[str]) -> Tensor:
        tiles = resize(grey_levels(images), round(size * 8 / 7) if options.crop else size)
        found = cell_dino.embed_each(model, cell_dino.prepare(centre_crop(tiles, size)))
        if not joined:
            found = found.unflatten(1, (len(channels), -1)).mean(dim=1)
        return cell_dino.unit(found) if options.unit else found

    def dim(channels: Sequence[str]) -> int:
        return model.shape.width * (len(channels) if joined else 1)

    settings = {"kind": "channel_adaptive_dino", "preprocessing": PREPROCESSING, "heads": model.shape.heads}
    settings |= {"size": size, "crop": options.crop, "combine": options.combine, "unit": options.unit}
    return FrozenEncoder(name, device, model, embed, dim, settings)
