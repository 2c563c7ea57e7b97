"""Kinds `openphenom` and `ca_mae`: the channel-agnostic encoder of Recursion, published as OpenPhenom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from campfire.core.options import option
from campfire.encoders.kinds.peers import PeerOptions
from campfire.encoders.registry import Source, register

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from campfire.encoders.base import Encoder

OPENPHENOM = Source(
    "recursionpharma/OpenPhenom, recursionpharma/maes_microscopy e2faf37",
    "CC BY-NC 4.0",
    "non-commercial",
    "OpenPhenom's model.safetensors is at https://huggingface.co/recursionpharma/OpenPhenom",
)
CA_MAE = Source(
    "recursionpharma/maes_microscopy e2faf37",
    "CC BY-NC 4.0",
    "none published but OpenPhenom's",
    "train it with recursionpharma/maes_microscopy, or take OpenPhenom's (kind: openphenom)",
)
PREPROCESSING = 1


class OpenPhenomOptions(PeerOptions):
    """Tiles as grey levels, resized (bicubic), then an instance norm per channel."""

    kind: Literal["openphenom"] = "openphenom"
    size: int = option(256, "edge to which tiles are resized: 16 x 16 patches", unit="px", ge=1)
    readout: Literal["average", "concatenate", "normalised"] = option(
        "average",
        "average: mean of all patch tokens (the published `predict`); concatenate: of each channel's; "
        "normalised: the encoder's own output, with the final LayerNorm that the other two leave out",
    )
    mlp_bias: Literal["shifted", "sound"] = option(
        "shifted",
        "where the blocks add the MLP's bias: shifted, as timm before 1.0.25, on which published weights were trained; "
        "sound, as later timm",
    )


class CaMaeOptions(OpenPhenomOptions):
    """The same network with user-trained weights."""

    kind: Literal["ca_mae"] = "ca_mae"  # type: ignore[assignment]
    readout: Literal["average", "concatenate", "normalised"] = option(
        "normalised", "normalised: the encoder's own output; average, concatenate: without its final LayerNorm"
    )


@register("openphenom", OpenPhenomOptions, OPENPHENOM)
def make_openphenom(options: OpenPhenomOptions, name: str, device: str) -> Encoder:
    """OpenPhenom under its authors' parameter names."""
    return _make(options, name, device, OPENPHENOM)


@register("ca_mae", CaMaeOptions, CA_MAE)
def make_ca_mae(options: CaMaeOptions, name: str, device: str) -> Encoder:
    """A CA-MAE of maes_microscopy."""
    return _make(options, name, device, CA_MAE)


def _make(options: OpenPhenomOptions, name: str, device: str, source: Source) -> Encoder:
    from campfire.core.errors import ConfigError
    from campfire.encoders.frozen import FrozenEncoder, find_weights, grey_levels, resize
    from campfire.model.peers import ca_mae, openphenom

    model = ca_mae.build(find_weights(options.weights, options.sha256, name, source), options.mlp_bias).backbone
    shape, joined = model.shape, options.readout == "concatenate"
    tokens = (options.size // shape.patch) ** 2
    if options.size % shape.patch or (shape.positions - 1) % tokens:
        raise ConfigError(
            f"encoder {name}: size {options.size} px gives {tokens} patches of {shape.patch} px per channel, but the "
            f"weights hold {shape.positions - 1} positions; set the size that it was trained with"
        )

    def embed(images: Tensor, channels: Sequence[str]) -> Tensor:
        values = ca_mae.prepare(resize(grey_levels(images), options.size))
        return openphenom.read(model, openphenom.tokens_of(model, values, tokens), len(channels), options.readout)

    def dim(channels: Sequence[str]) -> int:
        return shape.width * (len(channels) if joined else 1)

    settings = {"kind": options.kind, "preprocessing": PREPROCESSING, "mlp_bias": options.mlp_bias}
    settings |= {"size": options.size, "readout": options.readout}
    return FrozenEncoder(name, device, model, embed, dim, settings)
