"""Cell-DINO and channel-adaptive DINO (facebookresearch/dinov2 7764ea0): DINOv2's ViT with chunked block names.

Cell-DINO takes a fixed set of channels in one pass. The channel-adaptive model ("bag of channels") is a one-channel ViT
that sees every channel as an image of its own; its published `forward` fails for several channels, ours folds them.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from campfire.model.peers.prepare import standardise
from campfire.model.peers.vit import VisionTransformer, shape_of
from campfire.model.peers.weights import fill


def plain_name(name: str) -> str:
    """A parameter's name without the chunk of its block: blocks.<chunk>.<block>.x becomes blocks.<block>.x."""
    return re.sub(r"^blocks\.\d+\.(\d+)\.", r"blocks.\1.", name)


def build(tensors: Mapping[str, Tensor], heads: int | None = None) -> VisionTransformer:
    """The network of a state dict with or without block chunks, in evaluation mode; DINO and iBOT heads are ignored."""
    named = {plain_name(name): value for name, value in tensors.items()}
    model = VisionTransformer(shape_of(named, heads))
    fill(model, named, "Cell-DINO", ignored=("dino_head.", "ibot_head.", "head."))
    return model


def prepare(images: Tensor, levels: float = 255.0) -> Tensor:
    """Tiles (B, C, H, W) to [0, 1] by `levels`, then standardised per channel (1e-7 beside the deviation)."""
    return standardise(images.float() / levels, 1e-7)


def embed(model: VisionTransformer, values: Tensor) -> Tensor:
    """Class token (B, D) of tiles with the channels of the training."""
    return model(values)[:, 0]


def embed_each(model: VisionTransformer, values: Tensor) -> Tensor:
    """Class tokens (B, C D) of the channels of (B, C, H, W), each seen alone, in channel order."""
    batch, channels = values.shape[:2]
    return model(fold(values))[:, 0].reshape(batch, channels * model.shape.width)


def linear_features_each(model: VisionTransformer, values: Tensor, last: int = 4) -> Tensor:
    """The authors' features for linear probes: (B, (last + 1) C D), block by block, channels within, then means."""
    batch = len(values)
    outputs = [model.norm(x) for x in model.layers(model.tokens(fold(values)), last)]
    parts = [x[:, 0].reshape(batch, -1) for x in outputs]
    return torch.cat([*parts, outputs[-1][:, 1:].mean(dim=1).reshape(batch, -1)], dim=1)


def unit(values: Tensor) -> Tensor:
    """Rows of (B, D) of length one, as the authors' nearest-neighbour evaluation uses them."""
    return functional.normalize(values, dim=-1)


def fold(values: Tensor) -> Tensor:
    """Channels as images: (B, C, H, W) to (B C, 1, H, W)."""
    return values.reshape(-1, 1, *values.shape[2:])
