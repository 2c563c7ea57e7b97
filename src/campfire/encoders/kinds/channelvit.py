"""Kind `channelvit`: one pass over the tokens of all channels, which their embeddings tell apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from campfire.core.options import Names, Numbers, option
from campfire.encoders.kinds.peers import JUMP_DEVIATION, JUMP_MEAN, JUMP_ORDER, PeerOptions
from campfire.encoders.registry import Source, known_channels, register

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from campfire.encoders.base import Encoder

SOURCE = Source(
    "insitro/ChannelViT 1077a10",
    "CC BY-NC 4.0",
    "CC BY-NC 4.0 (none stated of their own)",
    "the weights are in release v1.0.0 of https://github.com/insitro/ChannelViT",
)
PREPROCESSING = 1


class JumpScaling(PeerOptions):
    """Grey levels standardised by fixed values per channel, as for the authors' JUMP-CP cells."""

    channel_order: Names = option(
        JUMP_ORDER, "your channels' names by the number that the weights give them", source="config/data/jumpcp.yaml"
    )
    scaling: Literal["fixed", "tile"] = option(
        "fixed",
        "fixed: grey levels by `mean` and `deviation`, which the authors took of cells on black; tile: each channel of "
        "each tile to mean 0 and deviation 1",
    )
    mean: Numbers = option(JUMP_MEAN, "grey levels by channel_order", source="config/transformations/cell.yaml")
    deviation: Numbers = option(
        JUMP_DEVIATION, "grey levels by channel_order", source="config/transformations/cell.yaml"
    )

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Values for every channel."""
        yield from super().contradictions()
        for field in ("mean", "deviation"):
            if self.scaling == "fixed" and len(getattr(self, field)) != len(self.channel_order):
                yield field, f"gives {len(getattr(self, field))} values for {len(self.channel_order)} channels"
        if any(value <= 0 for value in self.deviation):
            yield "deviation", "must be above 0"


class ChannelViTOptions(JumpScaling):
    """Tiles resized to the size of the positions."""

    kind: Literal["channelvit"] = "channelvit"
    size: int | None = option(None, "edge to which tiles are resized; by default that of the positions", unit="px")
    positions: Literal["authors", "sound"] = option(
        "authors",
        "authors: position tables of several channels are resampled at (n + 0.1) / n, on which the published weights "
        "were trained; sound: as they are",
    )


def scale(options: JumpScaling, tiles: Tensor, places: list[int]) -> Tensor:
    """Grey levels (B, C, H, W) of the channels at `places` of the order, brought to scale."""
    import torch

    from campfire.model.peers.prepare import standardise

    if options.scaling == "tile":
        return standardise(tiles)
    mean, deviation = (
        torch.tensor([values[place] for place in places], device=tiles.device)[:, None, None]
        for values in (options.mean, options.deviation)
    )
    return (tiles - mean) / deviation


@register("channelvit", ChannelViTOptions, SOURCE)
def make_channelvit(options: ChannelViTOptions, name: str, device: str) -> Encoder:
    """ChannelViT, either class, under its authors' parameter names."""
    import torch

    from campfire.encoders.frozen import FrozenEncoder, find_weights, grey_levels, resize
    from campfire.model.peers import channelvit

    tensors = find_weights(options.weights, options.sha256, name, SOURCE)
    model = channelvit.build(tensors, options.heads, options.positions)
    order = list(options.channel_order)
    size = options.size or round((model.shape.positions - 1) ** 0.5) * model.shape.patch

    def embed(images: Tensor, channels: Sequence[str]) -> Tensor:
        places = known_channels(order, list(channels), name)
        values = scale(options, resize(grey_levels(images), size), places)
        return model.encode(values, torch.tensor(places, device=values.device))[:, 0]

    settings = {"kind": "channelvit", "preprocessing": PREPROCESSING, "heads": model.shape.heads, "size": size}
    settings |= {"positions": options.positions, "channel_order": order, "scaling": options.scaling}
    settings |= {"mean": list(options.mean), "deviation": list(options.deviation)}
    return FrozenEncoder(name, device, model, embed, lambda channels: model.shape.width, settings)
