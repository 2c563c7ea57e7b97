"""MorphEm: a one-channel ViT applied to each channel, class tokens concatenated (CaicedoLab/CHAMMI-75 b84a4ec)."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from campfire.model.peers.prepare import saturation_noise, standardise
from campfire.model.peers.vit import VisionTransformer, check_single_channel, shape_of
from campfire.model.peers.weights import fill


def build(tensors: Mapping[str, Tensor], heads: int | None = None) -> VisionTransformer:
    """The network of a state dict, in evaluation mode; a DINO head in the file is ignored."""
    shape = shape_of(tensors, heads)
    check_single_channel(shape, "MorphEm")
    model = VisionTransformer(shape)
    fill(model, tensors, "MorphEm", ignored=("head.",))
    return model


def native_size(model: VisionTransformer) -> int:
    """Edge of the tiles that the position table was made for, px."""
    return round((model.shape.positions - 1) ** 0.5) * model.shape.patch


def prepare(images: Tensor, size: int, generator: torch.Generator | None = None, noise: bool = False) -> Tensor:
    """Tiles (B, C, H, W) standardised per channel (eps 1e-7 under the root), then resized to `size` (bilinear).

    With `noise`, saturated pixels of channel 0 of 8-bit tiles are randomised first, as in the authors' transform.
    """
    values = standardise(saturation_noise(images, generator) if noise else images.float(), 1e-7, inside=True)
    if values.shape[-2:] == (size, size):
        return values
    return functional.interpolate(values, (size, size), mode="bilinear", antialias=True, align_corners=False)


def embed(model: VisionTransformer, values: Tensor) -> Tensor:
    """Class tokens of all channels of (B, C, H, W), concatenated in channel order: (B, C D)."""
    batch, channels = values.shape[:2]
    return model(values.reshape(batch * channels, 1, *values.shape[2:]))[:, 0].reshape(batch, -1)
