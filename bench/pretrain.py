"""Speed of a pretraining step: tiles/s, MFU and peak memory, against a plain loop and against the arithmetic.

    python bench/pretrain.py [--quick] [--device auto|cpu|cuda] [--size large] [--batch 400] [--out FILE.json]

Three rates for 1, 2 and 3 channels:
  ours    the trainer's own engine and loader (bf16, compiled and fused where the device has it)
  plain   the same model as a plain implementation trains it: fp32, eager, attention written out, tile-by-tile
          collation, filters by forward and inverse FFT, one AdamW kernel per tensor, loss.item() in every step
  bound   the rate at which the counted FLOPs of a step would pass at the speed of a large matrix product here
On a CPU the model and batch are small by default, and the rates say nothing of a GPU; the three are measured in turns
(`--rounds`), and medians of the turns' ratios are printed, so that other work on the machine meets all three alike.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from campfire.core.columns import CHANNELS
from campfire.core.random import keyed_generator
from campfire.model import MaskedAutoencoder, ModelConfig
from campfire.runs.provenance import hardware
from campfire.training import PretrainOptions
from campfire.training.engine import Engine
from campfire.training.epoch_plan import plan_epoch
from campfire.training.flops import peak_rate, training_flops
from campfire.training.loader import Loader
from campfire.training.objective import filter_images
from campfire.training.processes import Processes
from campfire.training.repeatable import repeatable
from campfire.training.source import Group, PlateRows, Source

DEMO_MODEL = {"width": 128, "depth": 4, "heads": 4, "decoder_width": 64, "decoder_depth": 2, "decoder_heads": 4}


def machine() -> dict[str, Any]:
    """What the figures belong to."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    load = os.getloadavg()[0]
    return {
        "gpu": gpu, "cpu": hardware()["processor"], "cores": os.cpu_count(),
        "threads": torch.get_num_threads(), "torch": torch.__version__, "load": round(load, 1),
    }  # fmt: skip


def write_plate(path: Path, tiles: int, channels: int, seed: int) -> Path:
    """A synthetic tile array (N, C, 112, 112) uint16."""
    rng = np.random.default_rng(seed)
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint16, shape=(tiles, channels, 112, 112))
    block = rng.integers(100, 4000, (64, channels, 112, 112), dtype=np.uint16)
    for start in range(0, tiles, 64):
        array[start : start + 64] = block[: tiles - start]
    array.flush()
    with open(path, "rb") as handle:
        os.fsync(handle)  # else the first reader waits for the disk to write
    return path


def synthetic_source(paths: list[Path], channels: int) -> Source:
    """The plates at `paths` as one group with the first `channels` channels."""
    plates = []
    for path in paths:
        images = np.load(path, mmap_mode="r")
        plates.append(PlateRows(path, path.stem, images, np.arange(channels), np.arange(len(images))))
    return Source((Group(tuple(CHANNELS[:channels]), tuple(plates)),))


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of a large square matrix product, best of several."""
    size = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(20):
        synchronise(device)
        began = time.perf_counter()
        a @ b
        synchronise(device)
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


def our_rate(
    options: PretrainOptions, source: Source, device: torch.device, warm: int, steps: int
) -> tuple[float, float]:
    """Tiles per second of our steps, loader included, and the share of time spent waiting for it."""
    engine = Engine(options, Processes(0, 1, device))
    loader = Loader(source, options.batch_size, seed=1, pin=device.type == "cuda", window_tiles=4096)
    sizes = [group.tiles for group in source.groups]

    def endless() -> Iterator[Any]:
        epoch = 0
        while True:
            # Whole batches only: the rest of an epoch would be a shape of its own.
            plan = plan_epoch([size // options.batch_size * options.batch_size for size in sizes],
                              options.batch_size, 1, keyed_generator(1, epoch))  # fmt: skip
            yield from loader.epoch(plan, epoch)
            epoch += 1

    batches, waited, began = endless(), 0.0, 0.0
    for number in range(warm + steps):
        if number == warm:
            synchronise(device)
            waited, began = 0.0, time.perf_counter()
        before = time.perf_counter()
        first = next(batches)
        waited += time.perf_counter() - before
        engine.step(number, chain([first], islice(batches, first.parts - 1)), source, 1e-4)
    synchronise(device)
    seconds = time.perf_counter() - began
    return steps * options.batch_size / seconds, waited / seconds


def plain_rate(config: ModelConfig, source: Source, batch: int, device: torch.device, warm: int, steps: int) -> float:
    """Tiles per second of the plain loop on the same model, tiles and objective (trial 3 of Table 2.3)."""
    model = MaskedAutoencoder(config, seed=1).to(device).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=5e-3, foreach=False, fused=False)
    rng, noise = np.random.default_rng(0), torch.Generator(device).manual_seed(0)
    plates, channels = source.groups[0].plates, len(source.groups[0].channels)
    index = torch.arange(channels, device=device)
    began = 0.0
    for number in range(warm + steps):
        if number == warm:
            synchronise(device)
            began = time.perf_counter()
        tiles = []
        for _ in range(batch):
            plate = plates[rng.integers(len(plates))]
            tile = torch.from_numpy(plate.images[rng.integers(len(plate.rows))][:channels].astype(np.float32))
            tile = (tile - tile.mean((1, 2), keepdim=True)) / tile.std((1, 2), keepdim=True)
            tiles.append(torch.rot90(tile, int(rng.integers(4)), (1, 2)))
        images = torch.stack(tiles).to(device)
        with sdpa_kernel(SDPBackend.MATH):
            output = model(images, index, generator=noise)
            mask = output.pixel_mask()
            spatial = ((output.prediction - images) ** 2 * mask).sum() / mask.sum()
            filtered = (filter_images(part, "high", 0.1) for part in (output.prediction, images))
            loss = 0.75 * spatial + 0.25 * torch.nn.functional.mse_loss(*filtered)
            optimiser.zero_grad()
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=False)
        optimiser.step()
        loss.item()
    synchronise(device)
    return steps * batch / (time.perf_counter() - began)


def plain_rate_that_fits(config: ModelConfig, source: Source, batch: int, *rest: Any) -> float:
    """The same with half as many tiles, and so on, where the plain loop's batch is too much for the GPU."""
    try:
        return plain_rate(config, source, batch, *rest)
    except torch.OutOfMemoryError:
        if batch == 1:
            raise
    # What the loop held is freed only after that clause.
    torch.cuda.empty_cache()
    print(f"the plain loop's batch of {batch} is too much for this GPU; it gets {batch // 2}", file=sys.stderr)
    return plain_rate_that_fits(config, source, batch // 2, *rest)


def options_for(model: dict[str, Any], channels: int, batch: int, device: torch.device) -> PretrainOptions:
    return PretrainOptions(
        model=model, channels=CHANNELS[:channels], augmentation={"channel_subset": "all"},
        batch_size=batch, global_batch=batch, device=device.type,
    )  # fmt: skip


def step_rate(quick: bool) -> float:
    """Tiles per second of one process's step with three channels: ViT-L/14 on a GPU, the demo's model on a CPU."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, batch = ({"size": "large"}, 400) if device.type == "cuda" else (DEMO_MODEL, 128)
    with tempfile.TemporaryDirectory() as folder:
        source = synthetic_source([write_plate(Path(folder) / "a.npy", 4 * batch, 3, 0)], 3)
        with repeatable(device, wanted=True):
            return our_rate(options_for(model, 3, batch, device), source, device, 1, 2 if quick else 10)[0]


def peak_memory(device: torch.device) -> float:
    """Peak memory in GiB: of the GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small model and few steps")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--size", help="tiny to huge, or demo (default: large on a GPU, demo on a CPU)")
    parser.add_argument("--batch", type=int, help="tiles per step (default: 400 on a GPU, 64 on a CPU)")
    parser.add_argument("--channels", type=int, nargs="+", default=[1, 2, 3], choices=[1, 2, 3])
    parser.add_argument("--steps", type=int, help="timed steps")
    parser.add_argument("--rounds", type=int, help="turns of the three measurements (default: 1 on a GPU, 5 on a CPU)")
    parser.add_argument("--compile", action="store_true", help="also compile on a CPU (minutes)")
    parser.add_argument("--options", type=json.loads, default={}, help='of pretraining, as {"cuda_graphs": true}')
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    name = "cuda" if arguments.device == "cuda" or (arguments.device == "auto" and torch.cuda.is_available()) else "cpu"
    device, cuda = torch.device(name), name == "cuda"
    size = arguments.size or ("large" if cuda and not arguments.quick else "demo")
    model: dict[str, Any] = DEMO_MODEL if size == "demo" else {"size": size}
    batch = arguments.batch or (400 if cuda else 64)
    warm, steps = (1, 2) if arguments.quick else (5, arguments.steps or (30 if cuda else 8))
    config = ModelConfig(**model)
    print(f"{machine()}\n{size}, patch {config.patch_size}, batch {batch}, {steps} steps", file=sys.stderr)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = write_plate(Path(folder) / "a.npy", max(8 * batch, 512), 3, 0)
        for channels in arguments.channels:
            # Many times over: an epoch's end would let the GPU wait for the first tiles of the next in every few steps.
            source = synthetic_source([path] * 8, channels)
            options = options_for(model, channels, batch, device)
            changed = arguments.options | ({"compile": True} if arguments.compile else {})
            options = PretrainOptions(**{**options.as_dict(), **changed})
            if cuda:
                torch.cuda.reset_peak_memory_stats(device)
            turns, memory = [], 0.0
            for _ in range(arguments.rounds or (1 if cuda or arguments.quick else 5)):
                rate = matmul_rate(device, torch.bfloat16 if cuda else torch.float32)
                with repeatable(device, options.deterministic):
                    ours, waited = our_rate(options, source, device, warm + 3 * cuda, steps)
                memory = memory or peak_memory(device)
                plain = plain_rate_that_fits(config, source, batch, device, 1, max(2, steps // 4))
                turns.append((ours, plain, rate, waited))
            ours, plain, rate, waited = np.median(turns, axis=0).tolist()
            over, share = (float(np.median([turn[0] / turn[i] for turn in turns])) for i in (1, 2))
            flops = training_flops(config, channels)
            peak = peak_rate(device, cuda)
            row = {
                "channels": channels, "tiles_per_s": ours, "plain_tiles_per_s": plain, "over_plain": over,
                "bound_tiles_per_s": rate / flops, "share_of_bound": share * flops,
                "mfu": ours * flops / peak if peak else None, "memory_gib": memory, "waited_share": waited,
                "gflop_per_tile": flops / 1e9,
            }  # fmt: skip
            rows.append(row)
            print(
                f"{channels} channels: {ours:,.0f} tiles/s, {over:.1f} x plain ({plain:,.0f}), "
                f"{row['share_of_bound']:.2f} of the bound ({rate / flops:,.0f}; {rate / 1e12:.2f} TFLOP/s), "
                f"peak memory {memory:.1f} GiB, waiting for tiles {100 * waited:.0f} %"
            )
    if arguments.out:
        report = {"machine": machine(), "size": size, "batch": batch, "results": rows}
        arguments.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
