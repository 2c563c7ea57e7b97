"""Kind `timm`: any timm model without its head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from campfire.core.options import Numbers, Options, option
from campfire.encoders.registry import register

if TYPE_CHECKING:
    from campfire.encoders.base import Encoder


class TimmOptions(Options):
    """A timm model and how tiles enter it."""

    kind: Literal["timm"] = "timm"
    model: str = option(
        "", "timm model name with its tag, `hf-hub:<owner>/<model>@<commit>`, or `local-dir:<folder>` with config.json"
    )
    weights: str = option("hub", "`hub`, `random` or a file")
    size: Literal[224, "224", "native"] | int = option(224, "edge to which tiles are resized, or `native`", unit="px")
    combine: Literal["average", "concatenate"] = option("average", "channels one by one: how they are put together")
    rgb: bool = option(True, "three channels are the colours of one image")
    tile_size: int | None = option(
        None, "edge of the tiles, for native size; null: that of the paper", unit="px", follows="tiles.size", ge=1
    )
    mean: Numbers | None = option(
        None, "mean of the three colours, in [0, 1]; by default that of the model's tag", min_length=3, max_length=3
    )
    deviation: Numbers | None = option(None, "their deviation", min_length=3, max_length=3)
    seed: int = option(0, "seed of random weights", ge=0)
    pooling: Literal["cls", "mean", "cls+mean"] | None = option(
        None, "class token, mean of the patch tokens, or both; by default what the timm model does by itself"
    )
    normalisation: Literal["tile_range", "plate_range"] = option(
        "tile_range", "tiles are stretched to [0, 1] by their own percentiles, or by those of their plate"
    )


@register("timm", TimmOptions)
def make_timm(options: TimmOptions, name: str, device: str) -> Encoder:
    """A timm model; see `campfire.encoders.timm_models`."""
    from campfire.encoders.timm_models import load_timm

    return load_timm({key: value for key, value in options.values().items() if value is not None}, name, device)
