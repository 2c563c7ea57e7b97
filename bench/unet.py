"""Throughput of a residual U-Net of Cellpose 3's size on whole fields, by precision and layout.

    python bench/unet.py [--quick] [--json FILE]

Cellpose itself need not be installed: the network has its depth and widths (32, 64, 128, 256; two residual blocks of
two convolutions at each level, a style vector from the deepest one), random weights, two input channels and three
outputs. It measures how many fields per second the arithmetic of segmentation allows, not the performance of Cellpose.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTHS = (32, 64, 128, 256)


def convolution(inputs: int, outputs: int) -> nn.Sequential:
    """Normalisation, rectifier, 3x3 convolution."""
    return nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(inplace=False), nn.Conv2d(inputs, outputs, 3, padding=1))


class Residual(nn.Module):
    """Two convolutions around a projected shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first, self.second = convolution(inputs, outputs), convolution(outputs, outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W)."""
        return self.shortcut(x) + self.second(self.first(x))


class UNet(nn.Module):
    """Encoder, style vector, decoder: (B, 2, H, W) -> (B, 3, H, W), H and W multiples of 8."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(Residual(i, o) for i, o in zip((2, *WIDTHS[:-1]), WIDTHS, strict=True))
        self.style = nn.Linear(WIDTHS[-1], WIDTHS[-1])
        self.up = nn.ModuleList(Residual(i + o, o) for i, o in zip(WIDTHS[:0:-1], WIDTHS[-2::-1], strict=True))
        self.out = nn.Conv2d(WIDTHS[0], 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Flows and cell probability of fields."""
        kept = []
        for number, block in enumerate(self.down):
            x = block(functional.max_pool2d(x, 2) if number else x)
            kept.append(x)
        x = x + self.style(x.mean((2, 3)))[:, :, None, None]
        for block, skipped in zip(self.up, kept[-2::-1], strict=True):
            x = block(torch.cat([functional.interpolate(x, scale_factor=2.0), skipped], dim=1))
        return self.out(x)


def rate(network: nn.Module, fields: Tensor, precision: str, repeats: int) -> float:
    """Fields per second, median of the repeats after two for warming up."""
    kind = fields.device.type
    times = []
    for _ in range(repeats + 2):
        began = time.perf_counter()
        with torch.inference_mode(), torch.autocast(kind, dtype=torch.bfloat16, enabled=precision == "bf16"):
            network(fields)
        if kind == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return len(fields) / statistics.median(times[2:])


def main() -> None:
    """Print one line per precision and layout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small fields")
    parser.add_argument("--json", type=Path, help="also write the results here")
    given = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    side, batch, repeats = (128, 1, 1) if given.quick else (1080, 8 if device == "cuda" else 1, 5)
    torch.manual_seed(0)
    plain = UNet().eval().to(device)
    rows: list[dict[str, Any]] = []
    for layout in (torch.contiguous_format, torch.channels_last):
        network = plain.to(memory_format=layout)
        fields = torch.rand(batch, 2, side, side, device=device).to(memory_format=layout)
        for precision in ("fp32", "bf16"):
            found = rate(network, fields, precision, repeats)
            name = "channels last" if layout == torch.channels_last else "contiguous"
            rows.append({"layout": name, "precision": precision, "fields_per_s": found})
            print(f"{name:14s} {precision}  {found:8.2f} fields/s of {side} px, batch {batch}", flush=True)
    if given.json:
        given.json.write_text(json.dumps({"side": side, "batch": batch, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
