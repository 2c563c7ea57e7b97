"""Kind `features`: classical measurements by cp_measure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from campfire.core.options import Names, Options, option
from campfire.encoders.registry import register

if TYPE_CHECKING:
    from campfire.encoders.base import Encoder


class FeaturesOptions(Options):
    """Which measurements."""

    kind: Literal["features"] = "features"
    families: Names | None = option(None, "measurement families of cp_measure; all of them by default")
    workers: int = option(1, "processes that measure", execution=True, internal=True, ge=1)


@register("features", FeaturesOptions)
def make_features(options: FeaturesOptions, name: str, device: str) -> Encoder:
    """Classical features; they are computed on the CPU."""
    from campfire.encoders.features import FeatureEncoder

    return FeatureEncoder(name, options.families, options.workers)
