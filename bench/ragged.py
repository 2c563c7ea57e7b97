"""Batches of tiles with different numbers of channels: equal channels per batch, padding with a mask, joined tokens.

    python bench/ragged.py [--quick] [--width 384] [--depth 4]

Times forward and backward pass of transformer blocks over the visible tokens of tiles with 1 to 3 channels (51 tokens a
channel, as 112 px tiles in patches of 7 px with 80 % masked). `equal` makes three batches of one number each, as the
trainer does; `padded` makes one batch of the longest, with a mask; `ragged` joins all tokens for norms and linear
layers and computes attention for the tiles of each length. Tokens per second count visible tokens only.
"""

import argparse
import os
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

HEADS, TOKENS = 4, 51


class Block(nn.Module):
    """A pre-norm transformer block; `attend` maps queries, keys and values (..., width) to values."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, attend: Callable[[Tensor], Tensor]) -> Tensor:
        x = x + self.out(attend(self.qkv(self.norms[0](x))))
        hidden: Tensor = x + self.down(gelu(self.up(self.norms[1](x))))
        return hidden


def dense(qkv: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention over (B, T, 3 width), keys limited by a mask (B, 1, 1, T)."""
    batch, tokens, width = qkv.shape
    q, k, v = qkv.reshape(batch, tokens, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
    return scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).reshape(batch, tokens, width // 3)


def ragged(qkv: Tensor, sizes: list[int], tiles: int) -> Tensor:
    """Attention over joined tokens (T, 3 width) of `tiles` tiles of each length, sorted by it."""
    parts = qkv.split([size * tiles for size in sizes])
    done = [dense(part.reshape(tiles, size, -1)).flatten(0, 1) for part, size in zip(parts, sizes, strict=True)]
    return torch.cat(done)


def measure(width: int, depth: int, tiles: int, repeats: int) -> dict[str, float]:
    """Visible tokens per processor second of each way."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    blocks = nn.ModuleList(Block(width) for _ in range(depth))
    counts = [TOKENS * channels for channels in (1, 2, 3) for _ in range(tiles // 3)]
    joined = torch.randn(sum(counts), width)
    parts = joined.split(counts)
    groups = [torch.stack([part for part in parts if len(part) == TOKENS * channels]) for channels in (1, 2, 3)]
    padded = nn.utils.rnn.pad_sequence(list(parts), batch_first=True)
    mask = (torch.arange(padded.shape[1]) < torch.tensor(counts)[:, None])[:, None, None]
    sizes = [TOKENS * channels for channels in (1, 2, 3)]

    def run(x: Tensor, attend: Callable[[Tensor], Tensor]) -> None:
        for block in blocks:
            x = block(x, attend)
        x.square().mean().backward()  # type: ignore[no-untyped-call]

    ways: dict[str, Callable[[], object]] = {
        "equal": lambda: [run(group, dense) for group in groups],
        "padded": lambda: run(padded, lambda qkv: dense(qkv, mask)),
        "ragged": lambda: run(joined, lambda qkv: ragged(qkv, sizes, tiles // 3)),
    }
    rates: dict[str, float] = {}
    for name, way in ways.items():
        way()
        times = []
        for _ in range(repeats):
            began = time.process_time()
            way()
            times.append(time.process_time() - began)
        rates[name] = sum(counts) / float(np.median(times))
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one small turn")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--depth", type=int, default=4)
    arguments = parser.parse_args()
    tiles, repeats = (6, 1) if arguments.quick else (24, 3)
    for name, rate in measure(arguments.width, arguments.depth, tiles, repeats).items():
        print(f"{name:8s}{rate:,.0f} visible tokens per processor second")


if __name__ == "__main__":
    main()
