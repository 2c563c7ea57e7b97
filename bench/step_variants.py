"""Effect of precision, compilation and batch size on a pretraining step: tiles/s and peak memory.

    python bench/step_variants.py [--quick] [--size large] [--batch 400] [--device auto] [--json FILE]

The trainer's own engine takes steps on tiles that are already in memory, with three channels:
  fp32 eager, bf16 eager, bf16 compiled   the arithmetic, at the batch of the paper
  largest batch                           doubled until the device has no memory left (GPU only)
  huge                                    ViT-H, at the largest batch of halved sizes that fits (GPU only)
The rate is the median of several steps after warming up. A variant that does not fit is listed with its reason.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pretrain import DEMO_MODEL, machine, peak_memory, synchronise

from campfire.core.columns import CHANNELS
from campfire.training import PretrainOptions
from campfire.training.engine import Engine
from campfire.training.loader import Batch
from campfire.training.processes import Processes
from campfire.training.repeatable import repeatable
from campfire.training.source import Group, PlateRows, Source

CHANNEL_COUNT = 3


def tiles_in_memory(count: int) -> Source:
    """A source of random tiles (count, 3, 112, 112) uint16 that reads no disk."""
    images = np.random.default_rng(0).integers(100, 4000, (count, CHANNEL_COUNT, 112, 112), dtype=np.uint16)
    plate = PlateRows(Path("memory.npy"), "memory", images, np.arange(CHANNEL_COUNT), np.arange(count))
    return Source((Group(tuple(CHANNELS[:CHANNEL_COUNT]), (plate,)),))


def measure(
    model: dict[str, Any], batch: int, precision: str, compiled: bool, device: torch.device, steps: int
) -> dict:
    """tiles/s and peak memory of a variant."""
    options = PretrainOptions(
        model=model, channels=CHANNELS[:CHANNEL_COUNT], augmentation={"channel_subset": "all"}, batch_size=batch,
        global_batch=batch, device=device.type, precision=precision, compile=compiled,
    )  # fmt: skip
    source = tiles_in_memory(batch)
    images = torch.from_numpy(source.groups[0].plates[0].images)
    if device.type == "cuda":
        images = images.pin_memory()
        torch.cuda.reset_peak_memory_stats(device)
    engine = Engine(options, Processes(0, 1, device))
    zeros = np.zeros(batch, np.int64)
    made = Batch(0, 0, 1, batch, images, source.groups[0].channels, plates=zeros, rows=zeros)
    times = []
    for number in range(steps + 3):
        synchronise(device)
        began = time.perf_counter()
        engine.step(number, [replace(made, step=number)], source, 1e-4)
        synchronise(device)
        times.append(time.perf_counter() - began)
    return {"tiles_per_s": batch / statistics.median(times[3:]), "memory_gib": peak_memory(device)}


def attempt(row: dict[str, Any], **arguments: Any) -> dict[str, Any]:
    """The row with its figures, or with the reason why there are none."""
    try:
        with repeatable(arguments["device"], wanted=True):
            row |= measure(**arguments)
    except torch.OutOfMemoryError:
        row["failed"] = "out of memory"
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    rate = (
        f"{row['tiles_per_s']:10,.0f} tiles/s  {row['memory_gib']:6.1f} GiB" if "failed" not in row else row["failed"]
    )
    print(f"{row['variant']:28s} batch {row['batch']:6d}  {rate}", flush=True)
    return row


def variants(size: dict[str, Any], batch: int, device: torch.device, steps: int, compile_too: bool) -> Iterator[dict]:
    """The rows of the table, cheapest information first."""
    known = {"device": device, "steps": steps}
    choices = [("fp32 eager", "fp32", False), ("bf16 eager", "bf16", False)]
    if compile_too:
        choices.append(("bf16 compiled", "bf16", True))
    for name, precision, compiled in choices:
        row = {"variant": name, "batch": batch}
        yield attempt(row, model=size, batch=batch, precision=precision, compiled=compiled, **known)
    if device.type != "cuda":
        return
    larger = batch
    while True:
        larger *= 2
        row = {"variant": "bf16 eager, larger batch", "batch": larger}
        row = attempt(row, model=size, batch=larger, precision="bf16", compiled=False, **known)
        yield row
        if "failed" in row:
            break
    for smaller in (batch, batch // 2, batch // 4):
        row = {"variant": "ViT-H bf16 eager", "batch": smaller}
        row = attempt(row, model={"size": "huge"}, batch=smaller, precision="bf16", compiled=False, **known)
        yield row
        if "failed" not in row:
            break


def main() -> None:
    """Print one line per variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small model and two steps")
    parser.add_argument("--size", default="", help="tiny to huge, or demo (default: large on a GPU, demo on a CPU)")
    parser.add_argument("--batch", type=int, default=0, help="tiles per step (default: 400 on a GPU, 16 on a CPU)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--no-compile", action="store_true", help="leave out the compiled variant")
    parser.add_argument("--json", type=Path, help="file for the figures")
    given = parser.parse_args()
    cuda = given.device == "cuda" or (given.device == "auto" and torch.cuda.is_available())
    device = torch.device("cuda" if cuda else "cpu")
    name = given.size or ("large" if cuda and not given.quick else "demo")
    size: dict[str, Any] = DEMO_MODEL if name == "demo" else {"size": name}
    batch = given.batch or (400 if cuda and not given.quick else 16)
    print(f"{machine()}\n{name}, {CHANNEL_COUNT} channels", file=sys.stderr)
    steps = 2 if given.quick else 10
    rows = list(variants(size, batch, device, steps, cuda and not given.no_compile))
    if given.json:
        given.json.write_text(json.dumps({"machine": machine(), "size": name, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
