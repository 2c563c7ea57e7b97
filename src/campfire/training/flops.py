"""Counted arithmetic of a training step, and what a device could do at most."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from campfire.model import ModelConfig

if TYPE_CHECKING:
    import torch

PEAK_BF16 = {
    "GH200": 989e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L40": 181e12,
    "L4": 121e12,
    "A10": 125e12,
}
"""Dense bf16 matrix rates in FLOP/s from the vendor's data sheets, by whole words of torch's device name."""


def _blocks(tokens: int, width: int, depth: int, mlp_ratio: float) -> float:
    """Forward FLOPs of blocks over one sequence: four projections, two MLP layers, two attention products."""
    hidden = int(width * mlp_ratio)
    return depth * (2 * tokens * width * (4 * width + 2 * hidden) + 4 * tokens**2 * width)


def training_flops(config: ModelConfig, channels: int) -> float:
    """FLOPs (two per multiply-add) of forward and backward of one tile with this many channels.

    Matrix products of one forward pass, and twice that for the backward pass. Norms, activations and the objective
    are left out, as model FLOP utilisation always does. A test compares it with torch's own count.
    """
    width, narrow, pixels = config.encoder_width, config.decoder_width, config.patch_size**2
    seen, patches = channels * config.kept, channels * config.patches
    encoder = 2 * seen * pixels * width + _blocks(1 + seen, width, config.encoder_depth, config.mlp_ratio)
    each = config.decoder == "per_channel"
    entering = channels * (1 + config.kept) if each else 1 + seen
    sequences = [1 + config.patches] * channels if each else [1 + patches]
    decoder = 2.0 * entering * width * narrow + 2 * patches * narrow * pixels
    decoder += sum(_blocks(tokens, narrow, config.decoder_depth, config.mlp_ratio) for tokens in sequences)
    return 3.0 * (encoder + decoder)


def peak_rate(device: torch.device, bf16: bool) -> float:
    """The device's peak FLOP/s for MFU; 0 where it is not known (CPUs, other GPUs, fp32)."""
    if device.type != "cuda" or not bf16:
        return 0.0
    import torch

    name = torch.cuda.get_device_name(device)
    return next((rate for words, rate in PEAK_BF16.items() if re.search(rf"\b{words}\b", name)), 0.0)
