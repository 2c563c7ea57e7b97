"""Kind `masked`: another encoder of the config, on tiles that show the cell alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from campfire.core.options import Options, option
from campfire.encoders.registry import register

if TYPE_CHECKING:
    from campfire.encoders.base import Encoder


class MaskedOptions(Options):
    """Which encoder, and what of a tile it sees."""

    kind: Literal["masked"] = "masked"
    encoder: str = option(..., "the encoder of this config that embeds the masked tiles", min_length=1)
    radius: float | None = option(
        None,
        "also hide what lies farther from the nucleus; null hides only what is nearer to another nucleus",
        unit="px",
        gt=0,
    )
    of: Mapping[str, Any] | None = option(None, "spec of that encoder", internal=True)


@register("masked", MaskedOptions)
def make_masked(options: MaskedOptions, name: str, device: str) -> Encoder:
    """The encoder of a spec, on masked tiles."""
    from campfire.core.errors import ConfigError
    from campfire.encoders.load import load
    from campfire.encoders.masked import MaskedEncoder

    if options.of is None:
        raise ConfigError(f"encoder {name}: give the spec of encoder {options.encoder} as `of`")
    return MaskedEncoder(load({"name": options.encoder, **options.of}, device), name, options.radius)
