"""Channel embeddings, by which the decoder identifies the channel of a patch.

A channel's embedding is a function of that channel's patches in a group of tiles (paper, section 2.2: their mean), so
it also exists for channels never seen in training. Sums over tiles are computed separately from the embeddings: they
add up over the passes of a step and over processes, so the group does not depend on how the batch is divided.
"""

import torch
from torch import Tensor
from torch.distributed import ReduceOp

from campfire.core.errors import ConfigError

MAX_LABELS = 256
"""Channel indices are free labels below this bound (it fixes the size of the reduction between ranks)."""


def check_index(channel_index: Tensor, images: Tensor, limit: int) -> None:
    """Check the shape of a channel index and, on the CPU, where reading it is free, its range; raises ConfigError."""
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


def label_sums(values: Tensor, channel_index: Tensor) -> Tensor:
    """Sums of `values` (B, C, K) float32 over the tiles of each label, and how many: (MAX_LABELS, K + 1)."""
    labels = channel_index.expand(values.shape[:2]).reshape(-1)
    if values.is_cuda:
        return _sums_by_product(values.flatten(0, 1), labels)
    sums = values.new_zeros(MAX_LABELS, values.shape[2] + 1)
    sums[:, :-1].index_add_(0, labels, values.flatten(0, 1))
    sums[:, -1].index_add_(0, labels, torch.ones_like(labels, dtype=values.dtype))
    return sums


def _sums_by_product(values: Tensor, labels: Tensor) -> Tensor:
    """`label_sums` of rows (M, K) and labels (M,) as a matrix product: `index_add_` on a GPU adds in any order."""
    chosen = (torch.arange(MAX_LABELS, device=labels.device)[:, None] == labels).to(values.dtype)
    return torch.cat([chosen @ values, chosen.sum(1, keepdim=True)], dim=1)


def label_means(sums: Tensor, channel_index: Tensor) -> Tensor:
    """Means of `label_sums` for each channel of an index: (C, K), or (B, C, K) for an index of each tile."""
    return (sums[:, :-1] / sums[:, -1:].clamp_min(1))[channel_index]


def sum_over_ranks(values: Tensor) -> Tensor:
    """Sum over the processes of a distributed run, in place (torch.compile traces it as a functional collective).

    No `torch.compiler.disable` here: that decorator imports the compiler, seconds for every process that embeds.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(values, op=ReduceOp.SUM)
    return values
