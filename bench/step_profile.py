"""Where the time of a pretraining step on a GPU goes, and what changes of it would bring.

    python bench/step_profile.py [--quick] [--device auto] [--batch 400] [--channels 3] [--seconds 120] [--out FILE]

The trainer's own engine takes steps of ViT-L/14 on tiles that are already in memory. Printed are
  variants   tiles/s, host time to ask for a step and peak memory, of the step as it is trained (compiled, repeatable)
             and of changes; some change the model, to show what a part costs
  phases     GPU and host time between marks in one step, beside what arithmetic and memory traffic would take
  kernels    the 25 that take most GPU time, their sums by kind, and the share of time in which the GPU is idle
Variants whose compilation takes long come last; none is started after `--seconds`.
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pretrain import DEMO_MODEL, machine, matmul_rate, peak_memory, synchronise
from step_phases import expected, phases, show_phases
from step_variants import tiles_in_memory
from torch.nn.attention import SDPBackend, sdpa_kernel

from campfire.core.columns import CHANNELS
from campfire.training import PretrainOptions
from campfire.training.engine import Engine
from campfire.training.flops import peak_rate, training_flops
from campfire.training.loader import Batch
from campfire.training.processes import Processes
from campfire.training.repeatable import repeatable

KINDS = {
    "attention": ("flash", "fmha", "sdpa", "attention"),
    "matrix products": ("gemm", "nvjet", "cutlass", "xmma", "splitk", "cublas"),
    "compiled": ("triton",),
    "FFT": ("fft",),
    "optimiser": ("multi_tensor", "adam"),
    "copies": ("memcpy", "memset"),
    "norms": ("layer_norm", "layernorm"),
    "reductions": ("reduce",),
}
"""Kind of a kernel by words in its name; the first that fits."""


@dataclass(frozen=True)
class Variant:
    """A step to measure."""

    name: str
    compiled: bool = True
    deterministic: bool = True
    attention: SDPBackend | None = None
    """The one allowed; None: torch's choice."""
    library: str = "default"
    """Torch's preferred library of matrix products."""
    stacks: bool = False
    """Compile encoder and decoder whole, instead of block by block."""
    model: tuple[tuple[str, Any], ...] = ()
    """Changed options of the model."""
    batches: int = 1
    """Batch in multiples of the given one."""
    graphs: bool = False
    """Record full steps and replay them."""
    tables: bool = False
    """Compile rotary tables apart from the blocks."""


VARIANTS = (
    Variant("as trained"),
    Variant("not deterministic", deterministic=False),
    Variant("cuBLASLt", library="cublaslt"),
    Variant("no rotary positions", model=(("rope", "none"),)),
    Variant("cuDNN attention", deterministic=False, attention=SDPBackend.CUDNN_ATTENTION),
    Variant("twice the batch", batches=2),
    Variant("eager", compiled=False),
    Variant("8 heads in the decoder", model=(("decoder_heads", 8),)),
    Variant("whole stacks compiled", stacks=True),
)


class Steps:
    """An engine and one batch in memory; call it to take a step."""

    def __init__(self, variant: Variant, base: dict[str, Any], channels: int, batch: int, device: torch.device) -> None:
        batch *= variant.batches
        on = variant.compiled and device.type == "cuda"
        options = PretrainOptions(
            model=base | dict(variant.model), channels=CHANNELS[:channels], augmentation={"channel_subset": "all"},
            batch_size=batch, global_batch=batch, device=device.type, precision="bf16",
            compile=on and not variant.stacks, cuda_graphs=variant.graphs, compile_tables=variant.tables,
        )  # fmt: skip
        self.source = tiles_in_memory(batch)
        images = torch.from_numpy(np.ascontiguousarray(self.source.groups[0].plates[0].images[:, :channels]))
        images = images.pin_memory() if device.type == "cuda" else images
        zeros = np.zeros(batch, np.int64)
        self.batch = Batch(0, 0, 1, batch, images, tuple(CHANNELS[:channels]), plates=zeros, rows=zeros)
        self.engine, self.number = Engine(options, Processes(0, 1, device)), 0
        if on and variant.stacks:
            self.engine.model.encoder.compile(dynamic=False)
            self.engine.model.decoder.compile(dynamic=False)

    def __call__(self) -> None:
        self.engine.step(self.number, [replace(self.batch, step=self.number)], self.source, 1e-4)
        self.number += 1


@contextmanager
def as_in(variant: Variant, device: torch.device) -> Iterator[None]:
    """The settings of the process under which a variant runs."""
    torch._dynamo.reset()
    kernel = sdpa_kernel(variant.attention) if variant.attention and device.type == "cuda" else nullcontext()
    if device.type == "cuda":
        torch.backends.cuda.preferred_blas_library(variant.library)
    with repeatable(device, variant.deterministic), kernel:
        yield


def rate(steps: Steps, device: torch.device, warm: int, count: int) -> dict[str, float]:
    """tiles/s of steps that do not wait for each other, host time to ask for one (ms), memory, seconds to begin."""
    began = time.perf_counter()
    for _ in range(warm):
        steps()
    synchronise(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    start, asked = time.perf_counter(), []
    for _ in range(count):
        before = time.perf_counter()
        steps()
        asked.append(time.perf_counter() - before)
    synchronise(device)
    seconds = (time.perf_counter() - start) / count
    return {
        "tiles_per_s": steps.batch.total / seconds, "step_ms": 1e3 * seconds, "host_ms": 1e3 * min(asked),
        "memory_gib": peak_memory(device), "warm_s": start - began,
    }  # fmt: skip


def kind_of(name: str) -> str:
    """The kind of a kernel by its name."""
    low = name.lower()
    return next((kind for kind, words in KINDS.items() if any(word in low for word in words)), "other")


def kernels(steps: Steps, device: torch.device, count: int) -> dict[str, Any]:
    """Kernels of some steps by name and kind, ms a step; and the share of the span in which none ran."""
    from torch.profiler import ProfilerActivity, profile

    cuda = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU]) as seen:
        for _ in range(count):
            steps()
        synchronise(device)
    by_name: dict[str, list[float]] = defaultdict(list)
    spans = []
    for event in seen.events() or []:
        on_device = str(event.device_type).endswith("CUDA")
        if on_device != cuda or getattr(event, "is_user_annotation", False):
            continue
        start, end = event.time_range.start, event.time_range.end
        by_name[event.name].append((end - start) / 1e3 if cuda else event.self_cpu_time_total / 1e3)
        spans.append((start, end))
    spans.sort()
    busy, reached = 0.0, spans[0][0] if spans else 0.0
    for start, end in spans:
        busy += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    span = reached - spans[0][0] if spans else 1.0
    total = sum(map(sum, by_name.values()))
    rows = sorted(((sum(v) / count, len(v) / count, name) for name, v in by_name.items()), reverse=True)
    kinds: dict[str, float] = defaultdict(float)
    for ms, _, name in rows:
        kinds[kind_of(name)] += ms
    return {
        "total_ms": total / count, "span_ms": span / 1e3 / count, "idle": 1 - busy / span, "kinds": dict(kinds),
        "launches": sum(row[1] for row in rows),
        "top": [
            {"ms": ms, "calls": calls, "share": ms * count / total, "kernel": name[:150]}
            for ms, calls, name in rows[:25]
        ],
    }  # fmt: skip


def show_kernels(found: dict[str, Any]) -> None:
    """Print what `kernels` found."""
    print(f"kernels: {found['launches']:.0f} a step, {found['total_ms']:.1f} ms; GPU idle {100 * found['idle']:.0f} %")
    for kind, ms in sorted(found["kinds"].items(), key=lambda item: -item[1]):
        print(f"  {kind:28s} {ms:8.2f} ms {100 * ms / found['total_ms']:5.1f} %")
    for row in found["top"]:
        print(f"  {row['ms']:8.2f} ms {row['calls']:6.0f} calls {100 * row['share']:5.1f} %  {row['kernel'][:96]}")


def attempt(variant: Variant, given: argparse.Namespace, base: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """A variant's row; of the first variant with its phases and kernels."""
    row: dict[str, Any] = {"variant": variant.name, "batch": given.batch * variant.batches}
    warm, count = (1, 2) if given.quick else (4, 10)
    try:
        with as_in(variant, device):
            steps = Steps(variant, base, given.channels, given.batch, device)
            row |= rate(steps, device, warm, count)
            peak = peak_rate(device, bf16=True)
            flops = training_flops(steps.engine.config, given.channels)
            row["mfu"] = row["tiles_per_s"] * flops / peak if peak else None
            print(
                f"{variant.name:28s} batch {row['batch']:5d} {row['tiles_per_s']:8,.0f} tiles/s "
                f"{row['step_ms']:7.1f} ms, host {row['host_ms']:6.1f} ms, MFU {row['mfu'] or 0:.3f}, "
                f"{row['memory_gib']:5.1f} GiB, ready after {row['warm_s']:.0f} s", flush=True,
            )  # fmt: skip
            if variant.name == "as trained":
                products = matmul_rate(device, torch.bfloat16 if device.type == "cuda" else torch.float32)
                wanted = expected(steps.engine.config, given.channels, given.batch, products, given.bandwidth * 1e12)
                row |= {"phases": phases(steps, device, 2 if given.quick else 5), "expected": wanted}
                show_phases(row["phases"], wanted)
                row["kernels"] = kernels(steps, device, 1 if given.quick else 3)
                show_kernels(row["kernels"])
    except (torch.OutOfMemoryError, RuntimeError) as error:
        row["failed"] = str(error).splitlines()[0][:200]
        print(f"{variant.name:28s} {row['failed']}", flush=True)
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return row


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small model and two steps")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--batch", type=int, default=0, help="tiles per step (default: 400 on a GPU, 4 on a CPU)")
    parser.add_argument("--channels", type=int, default=3, choices=[1, 2, 3])
    parser.add_argument("--bandwidth", type=float, default=4.8, help="of the GPU's memory, TB/s (default: an H200's)")
    parser.add_argument("--seconds", type=float, default=1e9, help="after which no further variant is started")
    parser.add_argument("--out", type=Path, help="file for the figures")
    given = parser.parse_args()
    cuda = given.device == "cuda" or (given.device == "auto" and torch.cuda.is_available())
    device, end = torch.device("cuda" if cuda else "cpu"), time.monotonic() + given.seconds
    given.batch = given.batch or (400 if cuda and not given.quick else 4)
    base: dict[str, Any] = {"size": "large"} if cuda and not given.quick else dict(DEMO_MODEL)
    print(f"{machine()}\nViT-L/14 unless --quick, {given.channels} channels", file=sys.stderr)
    rows = []
    for variant in VARIANTS:
        if time.monotonic() > end:
            print(f"{variant.name:28s} not started: no time left")
            continue
        rows.append(attempt(variant, given, base, device))
        if given.out:
            given.out.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
