"""Channel embeddings: what tells the decoder which channel a patch came from."""

import torch
from torch import Tensor
from torch.distributed import ReduceOp

from campfire.core.errors import ConfigError

MAX_LABELS = 256
"""Channel indices are free labels below this bound (it fixes the size of the reduction between ranks)."""


def check_index(channel_index: Tensor, images: Tensor, limit: int) -> None:
    """Shape of a channel index, and on the CPU (where looking is free) its range; errors are ConfigError."""
    batch, channels = images.shape[:2]
    if tuple(channel_index.shape) not in ((channels,), (batch, channels)):
        raise ConfigError(
            f"channel index of shape {tuple(channel_index.shape)} for images {tuple(images.shape)}; "
            f"give one index per channel, ({channels},) or ({batch}, {channels})"
        )
    if channel_index.device.type == "cpu" and channel_index.numel() and not torch.compiler.is_compiling():
        low, high = int(channel_index.min()), int(channel_index.max())
        if low < 0 or high >= limit:
            raise ConfigError(f"channel index {low if low < 0 else high} is outside 0..{limit - 1}")


def mean_patches(patches: Tensor, channel_index: Tensor, mode: str, reduce_ranks: bool) -> Tensor:
    """Mean pixel patch of each channel, float32: (C, P*P) for a shared index, else (B, C, P*P).

    The mean of the projected patches is the projection of the mean patch, so the sums (and between ranks the
    messages) are of P*P numbers per channel. `patches` (B, C, N, P*P), all of them, masked ones too;
    `mode` is `global`, `batch` or `sample`. Source: the release's forward pass, step 3.
    """
    own = patches.float().mean(dim=2)
    if mode == "sample":
        return own
    labels = channel_index.expand(own.shape[:2]).reshape(-1)
    sums = own.new_zeros(MAX_LABELS, own.shape[2] + 1)
    sums[:, :-1].index_add_(0, labels, own.flatten(0, 1))
    sums[:, -1].index_add_(0, labels, torch.ones_like(labels, dtype=own.dtype))
    if reduce_ranks and torch.distributed.is_available() and torch.distributed.is_initialized():
        sum_over_ranks(sums)
    return (sums[:, :-1] / sums[:, -1:].clamp_min(1))[channel_index]


def sum_over_ranks(values: Tensor) -> None:
    """Sum over the processes of a distributed run, in place (torch.compile traces it as a functional collective).

    No `torch.compiler.disable` here: that decorator imports the compiler, seconds for every process that embeds.
    """
    torch.distributed.all_reduce(values, op=ReduceOp.SUM)
