"""What reproducible sums of three or more processes cost a step: DDP's search for unused parameters, on and off.

    python bench/ranks.py [--quick] [--ranks 4] [--steps 60] [--json FILE]

With `deterministic` DDP keeps its first grouping of gradients by searching each step's graph for unused parameters.
Two of the trainer's engines, one with and one without the search, take steps in turns in the same processes on a CPU
(gloo), and other work on the machine meets both alike. The demo's model mostly computes; the deep one has the 24 blocks
of ViT-L, and so the graph that is searched, but little to compute. It says nothing of GPUs: there the search is host
time, and NCCL overlaps otherwise.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pretrain import DEMO_MODEL
from step_variants import tiles_in_memory

from campfire.core.columns import CHANNELS
from campfire.core.text import markdown_table
from campfire.training import PretrainOptions
from campfire.training.engine import Engine
from campfire.training.launcher import start
from campfire.training.loader import Batch
from campfire.training.processes import Processes, join

MODELS: dict[str, dict[str, Any]] = {
    "demo's": DEMO_MODEL,
    "24 blocks, 32 wide": {
        "width": 32, "depth": 24, "heads": 2, "decoder_width": 16, "decoder_depth": 8, "decoder_heads": 2,
    },
}  # fmt: skip
WARM = 5


def engine_of(model: dict[str, Any], batch: int, deterministic: bool, processes: Processes) -> Engine:
    """The trainer's engine, which searches where `deterministic` holds."""
    options = PretrainOptions(
        model=model, channels=CHANNELS[:3], augmentation={"channel_subset": "all"}, batch_size=batch,
        global_batch=batch * processes.world, device="cpu", deterministic=deterministic,
    )  # fmt: skip
    return Engine(options, processes)


def one_rank(batch: int, steps: int) -> None:
    """A process of the run; the first one prints a line of JSON for each model."""
    torch.set_num_threads(1)
    with join("cpu") as processes:
        source = tiles_in_memory(batch)
        images = torch.from_numpy(source.groups[0].plates[0].images)
        zeros = np.zeros(batch, np.int64)
        for name, model in MODELS.items():
            engines = {searches: engine_of(model, batch, searches, processes) for searches in (False, True)}
            times: dict[bool, list[float]] = {False: [], True: []}
            for number in range(steps + WARM):
                turns = (False, True) if number % 2 else (True, False)
                for searches in turns:
                    total = batch * processes.world
                    made = Batch(number, 0, 1, total, images, source.groups[0].channels, plates=zeros, rows=zeros)
                    processes.wait()
                    began = time.perf_counter()
                    engines[searches].step(number, [made], source, 1e-4)
                    processes.wait()
                    times[searches].append(1000 * (time.perf_counter() - began))
            pairs = zip(times[True][WARM:], times[False][WARM:], strict=True)
            row = {
                "model": name,
                "parameters": sum(1 for _ in engines[True].model.parameters()),
                "without_ms": statistics.median(times[False][WARM:]),
                "with_ms": statistics.median(times[True][WARM:]),
                "more_ms": statistics.median(one - other for one, other in pairs),
            }
            if processes.first:
                print(json.dumps(row), flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three processes and three steps: only that it runs")
    parser.add_argument("--ranks", type=int, default=4, help="processes (4)")
    parser.add_argument("--steps", type=int, default=60, help="measured steps of each kind (60)")
    parser.add_argument("--batch", type=int, default=8, help="tiles of a process (8)")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--rank", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    steps = 3 if arguments.quick else arguments.steps
    if arguments.rank:
        one_rank(arguments.batch, steps)
        return
    said: list[str] = []
    ranks = 3 if arguments.quick else arguments.ranks
    command = [sys.executable, __file__, "--rank", "--batch", str(arguments.batch), "--steps", str(steps)]
    code = start(command, ranks, tell=said.append, threads=1)
    rows = [json.loads(line) for line in said if line.startswith("{")]
    if code or len(rows) != len(MODELS):
        raise SystemExit("\n".join(said))
    heads = ["model", "parameter tensors", "ms a step without", "with", "median of the differences"]
    table = [[row["model"], row["parameters"], *(f"{row[key]:.1f}" for key in list(row)[2:])] for row in rows]
    print(markdown_table(heads, table))
    if arguments.json:
        arguments.json.write_text(json.dumps({"ranks": ranks, "steps": steps, "models": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
