"""DINO's vision transformer: the body of MorphEm, Cell-DINO, channel-adaptive DINO, ChannelViT and ContextViT."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from campfire.core.errors import WeightsError
from campfire.model.peers.layers import DINO_SHIFT, Block, PatchProjection, grid_of, positions_for


@dataclass(frozen=True)
class VitShape:
    """Sizes of a DINO transformer; all but `heads` can be read from its weights."""

    channels: int
    patch: int
    width: int
    depth: int
    heads: int
    hidden: int
    positions: int  # rows of the position table, class token included
    scaled: bool = False  # layer scale in the blocks
    masked: bool = False  # a mask token
    eps: float = 1e-6
    shift: float = DINO_SHIFT  # of positions that are resampled; 0 resamples to the exact size


def count_blocks(names: Mapping[str, Tensor], prefix: str = "blocks.") -> int:
    """Number of blocks in a weights file whose keys read `<prefix><number>.…`."""
    numbers = {int(name[len(prefix) :].split(".")[0]) for name in names if name.startswith(prefix)}
    if not numbers or numbers != set(range(len(numbers))):
        raise WeightsError(f"the weights have no blocks named {prefix}0, {prefix}1, …; give the authors' file")
    return len(numbers)


def default_heads(width: int) -> int:
    """Heads 64 wide, as in every standard ViT."""
    return max(1, width // 64)


def shape_of(tensors: Mapping[str, Tensor], heads: int | None = None) -> VitShape:
    """Sizes of the network that a state dict in DINO's names belongs to; WeightsError where a part is missing."""
    try:
        projection = tensors["patch_embed.proj.weight"]
        hidden, width = tensors["blocks.0.mlp.fc1.weight"].shape
        positions = tensors["pos_embed"].shape[1]
    except KeyError as error:
        raise WeightsError(f"the weights lack {error}; give a ViT under DINO's parameter names") from error
    return VitShape(
        channels=projection.shape[1],
        patch=projection.shape[-1],
        width=width,
        depth=count_blocks(tensors),
        heads=heads or default_heads(width),
        hidden=hidden,
        positions=positions,
        scaled="blocks.0.ls1.gamma" in tensors,
        masked="mask_token" in tensors,
    )


def check_single_channel(shape: VitShape, what: str) -> None:
    """Raise WeightsError unless the weights take one channel at a time."""
    if shape.channels != 1:
        raise WeightsError(f"{what}: the weights take {shape.channels} channels together, not one; give its own file")


class VisionTransformer(nn.Module):
    """Images (B, C, H, W), already scaled, to tokens; positions are resampled off the native size as DINO does."""

    leading = 1
    """Tokens in front of the patches: the class token."""

    def __init__(self, shape: VitShape) -> None:
        super().__init__()
        self.shape = shape
        self.cls_token = nn.Parameter(torch.empty(1, 1, shape.width))
        self.pos_embed = nn.Parameter(torch.empty(1, shape.positions, shape.width))
        if shape.masked:
            self.mask_token = nn.Parameter(torch.empty(1, shape.width))
        self.patch_embed = self._projection()
        self.blocks = nn.ModuleList(
            Block(shape.width, shape.heads, shape.hidden, shape.eps, shape.scaled) for _ in range(shape.depth)
        )
        self.norm = nn.LayerNorm(shape.width, eps=shape.eps)

    def _projection(self) -> nn.Module:
        return PatchProjection(self.shape.channels, self.shape.width, self.shape.patch)

    def tokens(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        """Class and patch tokens (B, 1 + T, D) with positions; the mask token replaces masked patches ((B, T) bool)."""
        grid = grid_of(images, self.shape.patch, "the model")
        patches = self.patch_embed(images)
        if mask is not None:
            patches = torch.where(mask[..., None], self.mask_token.to(patches.dtype), patches)
        x = torch.cat([self.cls_token.expand(len(images), -1, -1), patches], dim=1)
        return x + positions_for(self.pos_embed, grid, self.leading, self.shape.shift)

    def layers(self, x: Tensor, last: int = 1) -> list[Tensor]:
        """Outputs (B, 1 + T, D) of the last blocks, in their order, before the final norm."""
        outputs: list[Tensor] = []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        return outputs[-last:]

    def forward(self, images: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normed tokens (B, 1 + T, D): the class token first."""
        return self.norm(self.layers(self.tokens(images, mask))[0])

    def linear_features(self, images: Tensor, last: int = 4) -> Tensor:
        """Normed class tokens of the last blocks, then the last block's mean normed patch token: (B, (last + 1) D)."""
        outputs = [self.norm(x) for x in self.layers(self.tokens(images), last)]
        return torch.cat([*(x[:, 0] for x in outputs), outputs[-1][:, 1:].mean(dim=1)], dim=1)
