"""The encoder: from patches of any set of channels to latent tokens and one embedding per tile."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from campfire.model.config import ModelConfig
from campfire.model.layers import Block
from campfire.model.positions import axial_frequencies, sincos_table, token_places


def patchify(images: Tensor, patch_size: int) -> Tensor:
    """Cut (B, C, H, W) into (B, C, N, P*P): patches row by row, pixels row by row inside a patch."""
    rows, columns = images.shape[2] // patch_size, images.shape[3] // patch_size
    cut = images.unflatten(3, (columns, patch_size)).unflatten(2, (rows, patch_size))
    return cut.transpose(3, 4).reshape(*images.shape[:2], rows * columns, patch_size * patch_size)


def unpatchify(patches: Tensor, patch_size: int) -> Tensor:
    """Put (B, C, N, P*P) patches of a square tile together: the inverse of `patchify`."""
    batch, channels, count, _ = patches.shape
    grid = round(count**0.5)
    cut = patches.reshape(batch, channels, grid, grid, patch_size, patch_size).transpose(3, 4)
    return cut.reshape(batch, channels, grid * patch_size, grid * patch_size)


def flat_rows(positions: Tensor, channels: int, patches: int) -> Tensor:
    """Patches at `positions` (B, 1 or C, K) int64 of N as rows of a (B C N, ...) array: (B C K,) int64.

    `index_select` and `index_copy` move whole rows; unlike with `gather`, their gradients need no additions.
    """
    first = torch.arange(len(positions) * channels, device=positions.device) * patches
    return (first.view(-1, channels, 1) + positions).flatten()


class PatchProjection(nn.Module):
    """The convolution (1, P, P) shared by all channels, applied as a matrix product to cut patches (..., P*P)."""

    def __init__(self, width: int, patch_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, 1, 1, patch_size, patch_size))
        self.bias = nn.Parameter(torch.empty(width))

    def forward(self, patches: Tensor) -> Tensor:
        return functional.linear(patches, self.weight.flatten(1), self.bias)


class Stack(nn.Module):
    """What encoder and decoder share: sin-cos table, blocks with optional RoPE, final norm."""

    def __init__(self, config: ModelConfig, width: int, depth: int, heads: int, drop_path: float) -> None:
        super().__init__()
        self.config = config
        self.head_dim = width // heads
        self.pos_embed = nn.Parameter(sincos_table(width, config.grid), requires_grad=False)
        mixed = config.rope == "mixed"
        self.drop_path = drop_path
        self.blocks = nn.ModuleList(
            Block(width, heads, config.mlp_ratio, mixed, config.rope_form) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def transform(self, x: Tensor, positions: Tensor | None, channels: int, paths: Tensor | None = None) -> Tensor:
        """Blocks and norm over (B, 1 + C K, width); `positions` (B, 1 or C, K) or None.

        `paths` (2 depth, B): uniform draws that decide which samples skip which branch (stochastic depth).
        """
        config = self.config
        scales = None if paths is None else self._branch_scales(paths)
        places = None if config.rope == "none" else self._places(positions, channels, x.device)
        frequencies = axial_frequencies(self.head_dim, config.rope_base, x.device) if config.rope == "axial" else None
        for i, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            turn = block.freqs if config.rope == "mixed" else frequencies
            x = block(x, places, turn, None if scales is None else scales[i])
        return self.norm(x)

    def _places(self, positions: Tensor | None, channels: int, device: torch.device) -> Tensor:
        """Column and row of every token, see `positions.token_places`."""
        return token_places(self.config.grid, positions, channels, device)

    def _branch_scales(self, paths: Tensor) -> Tensor:
        """Weights (depth, 2, B) of the branches. Blocks do not hold their rate, so they share one compiled graph."""
        keep = 1 - torch.linspace(0, self.drop_path, len(self.blocks), device=paths.device)[:, None, None]
        draws = paths.unflatten(0, (-1, 2))
        return (draws < keep).to(paths.dtype) / keep


class Encoder(Stack):
    """Vision transformer over the patches of all channels (paper, section 2.2)."""

    def __init__(self, config: ModelConfig) -> None:
        width = config.encoder_width
        super().__init__(config, width, config.encoder_depth, config.encoder_heads, config.drop_path)
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.patch_embed = nn.ModuleDict({"proj": PatchProjection(width, config.patch_size)})

    def forward(
        self,
        patches: Tensor,
        positions: Tensor | None = None,
        paths: Tensor | None = None,
        condition: Tensor | None = None,
    ) -> Tensor:
        """Latent tokens (B, 1 + C K, D) of patches (B, C, K, P*P): class token first, then channel by channel.

        `positions` (B, 1 or C, K) int64 gives the number of each patch; None means all N in order. `condition` is only
        used by the encoders of relatives.
        """
        tokens = self.tokens(patches, positions, condition)
        x = torch.cat([self.start(len(patches), tokens.dtype, condition), tokens.flatten(1, 2)], dim=1)
        return self.transform(x, positions, patches.shape[1], paths)

    def tokens(self, patches: Tensor, positions: Tensor | None, condition: Tensor | None) -> Tensor:
        """Patches (B, C, K, P*P) to tokens (B, C, K, D) that carry their positions."""
        place = self.pos_embed[0, 1:]
        return self.project(patches) + (place if positions is None else place[positions])

    def start(self, batch: int, dtype: torch.dtype, condition: Tensor | None) -> Tensor:
        """The tokens (B, 1, D) in front of the patches: the class token."""
        return (self.cls_token + self.pos_embed[:, :1]).to(dtype).expand(batch, -1, -1)

    def project(self, patches: Tensor) -> Tensor:
        """Patches (..., P*P) to patch embeddings (..., D), before any positions."""
        return self.patch_embed["proj"](patches)

    def pool(self, latent: Tensor, pooling: str = "mean") -> Tensor:
        """Embedding of latent tokens (B, 1 + C K, D).

        mean: the norm of the mean patch token, without the class token, (B, D), in the order of the release. cls: the
        class token (B, D). cls+mean: both, one after the other, (B, 2 D).
        """
        parts = {"cls": lambda: latent[:, 0], "mean": lambda: self.norm(latent[:, 1:].mean(dim=1))}
        return torch.cat([parts[name]() for name in pooling.split("+")], dim=1)
