"""Kind `subcell`: models of subcellular location; of two channels, the nucleus is paired with each other one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from campfire.core.errors import ConfigError
from campfire.core.options import Names, option
from campfire.encoders.kinds.peers import PeerOptions
from campfire.encoders.registry import Source, known_channels, register

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from campfire.encoders.base import Encoder

SOURCE = Source(
    "CellProfiling/SubCellPortable 676f0e1",
    "MIT",
    "none stated",
    "the addresses of the weights are in https://github.com/CellProfiling/SubCellPortable (CZI's public bucket)",
)
PREPROCESSING = 1


class SubCellOptions(PeerOptions):
    """Tiles as they are, all channels together brought to [0, 1] by their least and largest value."""

    kind: Literal["subcell"] = "subcell"
    channel_order: Names | None = option(
        None,
        "your channels in the places of microtubules, ER, nuclei and protein, without those that the weights leave "
        "out; not for weights of two channels (nuclei, protein), which see the nucleus with each other channel in turn",
    )
    nucleus: str = option("DNA", "the nuclear stain, for weights of two channels")
    combine: Literal["concatenate", "average"] = option("concatenate", "how the pairs' embeddings are put together")
    size: int | None = option(None, "edge to which tiles are resized; by default as they are", unit="px")
    eps: float = option(1e-12, "of the LayerNorms", source="the weights' config (layer_norm_eps)", gt=0)
    positions: Literal["exact", "shifted"] = option(
        "exact", "resampled off the native size as transformers 4.45 does (exact), or 4.44 and older (shifted)"
    )


@register("subcell", SubCellOptions, SOURCE)
def make_subcell(options: SubCellOptions, name: str, device: str) -> Encoder:
    """SubCell's encoder and pooling under their authors' parameter names."""
    import torch

    from campfire.encoders.frozen import FrozenEncoder, find_weights, resize
    from campfire.model.peers import subcell
    from campfire.model.peers.prepare import joint_range

    tensors = find_weights(options.weights, options.sha256, name, SOURCE)
    tensors = {key: value for key, value in tensors.items() if "::" not in key}
    model = subcell.build(tensors, options.heads, options.eps, exact_positions=options.positions == "exact")
    pairs = options.channel_order is None
    taken = model.encoder.shape.channels
    if taken != (2 if pairs else len(options.channel_order or ())):
        raise ConfigError(f"encoder {name}: the weights take {taken} channels; set channel_order to {taken} of yours")

    def groups(channels: Sequence[str]) -> list[list[int]]:
        """Positions of the channels of each pass."""
        if not pairs:
            order = list(options.channel_order or ())
            known_channels(order, list(channels), name)
            known_channels(list(channels), order, name)
            return [[list(channels).index(channel) for channel in order]]
        others = [place for place, channel in enumerate(channels) if channel != options.nucleus]
        if options.nucleus not in channels or not others:
            raise ConfigError(
                f"encoder {name}: it pairs {options.nucleus} with other channels, but the channel set is "
                f"{', '.join(channels)}; add them, or set `nucleus`"
            )
        return [[list(channels).index(options.nucleus), place] for place in others]

    def embed(images: Tensor, channels: Sequence[str]) -> Tensor:
        values = joint_range(resize(images.float(), options.size))
        found = torch.stack([model(values[:, places]).embedding for places in groups(channels)])
        return found.mean(dim=0) if options.combine == "average" else found.transpose(0, 1).flatten(1)

    def dim(channels: Sequence[str]) -> int:
        width = model.encoder.shape.width * model.pool_model.attention.out_features
        return width * (1 if options.combine == "average" else len(groups(channels)))

    settings = {"kind": "subcell", "preprocessing": PREPROCESSING, "heads": model.encoder.shape.heads}
    settings |= {"size": options.size, "eps": options.eps, "positions": options.positions, "combine": options.combine}
    settings |= {"nucleus": options.nucleus, "channel_order": None if pairs else list(options.channel_order or ())}
    return FrozenEncoder(name, device, model, embed, dim, settings)
