"""Kind `morphem`: a ViT of single channels, class tokens concatenated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from campfire.core.options import option
from campfire.encoders.kinds.peers import PeerOptions
from campfire.encoders.registry import Source, register

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from campfire.encoders.base import Encoder

SOURCE = Source(
    "CaicedoLab/CHAMMI-75 b84a4ec",
    "MIT",
    "MIT",
    "the weights are CaicedoLab/MorphEm on the Hugging Face hub, or a backbone trained with CaicedoLab/CHAMMI-75",
)
PREPROCESSING = 1


class MorphEmOptions(PeerOptions):
    """Tiles are z-scored per channel, then resized to the size of the positions (bilinear)."""

    kind: Literal["morphem"] = "morphem"
    combine: Literal["concatenate", "average"] = option(
        "concatenate", "how the channels' class tokens are put together; the authors concatenate"
    )
    noise: bool = option(False, "randomise saturated pixels of the first channel of 8-bit tiles, as the authors do")
    seed: int = option(0, "seed of that noise", ge=0)


@register("morphem", MorphEmOptions, SOURCE)
def make_morphem(options: MorphEmOptions, name: str, device: str) -> Encoder:
    """MorphEm under its authors' parameter names."""
    import torch

    from campfire.encoders.frozen import FrozenEncoder, find_weights, grey_levels
    from campfire.model.peers import morphem

    model = morphem.build(find_weights(options.weights, options.sha256, name, SOURCE), options.heads)
    size, joined = morphem.native_size(model), options.combine == "concatenate"

    def embed(images: Tensor, channels: Sequence[str]) -> Tensor:
        noise = torch.Generator(images.device).manual_seed(options.seed) if options.noise else None
        values = morphem.prepare(grey_levels(images), size, noise, options.noise)
        found = morphem.embed(model, values)
        return found if joined else found.unflatten(1, (len(channels), -1)).mean(dim=1)

    def dim(channels: Sequence[str]) -> int:
        return model.shape.width * (len(channels) if joined else 1)

    settings = {"kind": "morphem", "preprocessing": PREPROCESSING, "heads": model.shape.heads}
    settings |= {"combine": options.combine, "noise": options.noise, "seed": options.seed}
    return FrozenEncoder(name, device, model, embed, dim, settings)
