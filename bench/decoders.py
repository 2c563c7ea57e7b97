"""Shared against per-channel decoders: parameters, memory and speed as the number of channels grows.

    python bench/decoders.py [--quick] [--size large] [--batch 64] [--device auto] [--json out.json]

The paper claims that one decoder for all channels scales to many fluorescent markers. Each line is one training step
(forward, objective, backward) on tiles of C channels, for the shared decoder (the paper), with learned channel
embeddings, and with one decoder per channel (as CA-MAE). `memory` is the peak of the step: allocated device memory on a
GPU, the growth of the process's resident memory on a CPU (each measurement in a process of its own).
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from campfire.encoders import resolve_device
from campfire.model import MaskedAutoencoder, ModelConfig
from campfire.runs.provenance import hardware
from campfire.training.objective import Objective

KINDS: dict[str, dict[str, Any]] = {
    "shared": {},
    "learned": {"channel_embedding": "learned"},
    "per_channel": {"decoder": "per_channel"},
}
SMALL = {"width": 64, "depth": 2, "heads": 4, "decoder_width": 64, "decoder_depth": 2, "decoder_heads": 4}


def step(kind: str, channels: int, batch: int, model: dict[str, Any], device: str, repeats: int) -> dict[str, float]:
    """Parameters, peak bytes and tiles/s of one training step."""
    cuda = device.startswith("cuda")
    network = MaskedAutoencoder(ModelConfig(**model, **KINDS[kind], channels=channels)).to(device).train()
    objective, generator = Objective(), torch.Generator(device).manual_seed(0)
    images = torch.randn(batch, channels, 112, 112, generator=generator, device=device)
    index = torch.arange(channels)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    times = []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        with torch.autocast(device.split(":")[0], dtype=torch.bfloat16, enabled=cuda):
            output = network(images, index, generator=generator)
        objective(output.prediction, output.target, output.mask)["loss"].backward()
        network.zero_grad(set_to_none=True)
        if cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    after = torch.cuda.max_memory_allocated() if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    trained = sum(value.numel() for value in network.parameters() if value.requires_grad)
    return {"parameters": trained, "memory": after if cuda else after - before, "tiles_per_s": batch / min(times[1:])}


def main() -> None:
    """Print one line per kind and number of channels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small model, two numbers of channels")
    parser.add_argument("--size", default="large", help="size of the encoder, or small: a test model for a CPU")
    parser.add_argument("--batch", type=int, default=0)
    parser.add_argument("--channels", default="", help="numbers of channels, with commas")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(step(**json.loads(args.one))))
        return
    device = resolve_device(args.device)
    cuda = device.startswith("cuda")
    small = args.quick or args.size == "small"
    model = SMALL if small else {"size": args.size}
    batch = args.batch or (8 if small else 64 if cuda else 4)
    numbers = (
        [int(n) for n in args.channels.split(",")] if args.channels else [1, 5] if args.quick else [1, 3, 5, 10, 20]
    )
    machine = torch.cuda.get_device_name() if cuda else f"{hardware()['processor']}, {os.cpu_count()} cores"
    print(f"{machine}, torch {torch.__version__}, batch {batch}, {'small test model' if small else args.size}")
    print(f"{'decoder':12s} {'channels':>8s} {'parameters':>12s} {'memory MiB':>11s} {'tiles/s':>9s}")
    results: list[dict[str, Any]] = []
    for kind in KINDS:
        for channels in numbers:
            job = {"kind": kind, "channels": channels, "batch": batch, "model": model, "device": device, "repeats": 3}
            command = [sys.executable, __file__, "--one", json.dumps(job)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{kind:12s} {channels:8d} failed: {done.stderr.strip().splitlines()[-1]}", flush=True)
                continue
            found = json.loads(done.stdout.strip().splitlines()[-1])
            results.append({"kind": kind, "channels": channels, **found})
            speed, memory = found["tiles_per_s"], found["memory"] / 2**20
            print(f"{kind:12s} {channels:8d} {found['parameters']:12,d} {memory:11.0f} {speed:9.1f}", flush=True)
    if args.json:
        args.json.write_text(json.dumps({"machine": machine, "batch": batch, "steps": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
