"""The kinds of encoder; importing this package registers them all, without torch."""

from campfire.encoders.kinds import (
    baselines,
    campfire,
    cell_dino,
    chada_vit,
    channelvit,
    contextvit,
    features,
    masked,
    morphem,
    openphenom,
    python,
    subcell,
    table,
    timm,
)

__all__ = [
    "baselines",
    "campfire",
    "cell_dino",
    "chada_vit",
    "channelvit",
    "contextvit",
    "features",
    "masked",
    "morphem",
    "openphenom",
    "python",
    "subcell",
    "table",
    "timm",
]
