"""Ways to a faster step on a GPU, each beside the step as it is trained: tiles/s, results and bytes.

    python bench/step_graphs.py [--quick] [--device auto] [--batch 400] [--seconds 250] [--json FILE]

Each variant runs in a process of its own with a time limit, the step as trained first and last. The engine takes steps
with the numbers of channels in turn on tiles in memory, twice from the same weights: the second time a variant that
records its steps replays all of them. Told of each variant are
  tiles/s    by number of channels, and MFU of the largest
  kernels    by kind (ms), how many a step launches, and the share of time in which the GPU is idle
  results    relative distance of the first gradient from that of the step as trained, and of the mean loss
  bytes      whether both passes end with the same weights, and whether these are those of the step as trained
`--json FILE` gets all figures; a variant that is cut keeps what it had.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from pretrain import DEMO_MODEL, machine
from step_profile import Steps, Variant, as_in, kernels, rate
from torch import Tensor

from campfire.core.columns import CHANNELS
from campfire.training.flops import peak_rate, training_flops

TRAINED = "as trained"
ALL = (3, 1, 2)
GRAPHS = Variant("graphs", graphs=True)
BOTH = Variant("graphs, tables apart", graphs=True, tables=True)
PLAN: tuple[tuple[Variant, tuple[int, ...], int], ...] = (
    (Variant(TRAINED), ALL, 75),
    (GRAPHS, ALL, 75),
    (BOTH, ALL, 75),
    (replace(BOTH, name="  and 8 heads in the decoder", model=(("decoder_heads", 8),)), (3,), 60),
    (replace(GRAPHS, name="graphs, whole stacks", stacks=True), (3,), 90),
    (replace(BOTH, name="  and not deterministic", deterministic=False), (3,), 50),
    (replace(GRAPHS, name="  and no rotary positions", model=(("rope", "none"),)), (3,), 50),
    (replace(BOTH, name="  and twice the batch", batches=2), (3,), 50),
)
"""Variants with their numbers of channels and limits (s), most telling first.

Expected of a step of 400 tiles with three channels on an H200, written before the run. As trained: 151 ms, of which the
GPU works 116. Graphs: 116 ms (no waiting for launches), with one channel 42 instead of 95 (work goes with the tokens).
Tables apart: 6 to 14 ms less (one cosine and one sine for each pair of a token instead of four and more, some 80
instructions each, against 8 bytes of traffic each). Not deterministic: 5 ms less (attention's backward pass). No rotary
positions: 2 ms below tables apart. Eight heads: 6 ms less (half as many exponentials, products 64 deep). Twice the
batch: the same rate within 3 %. Whole stacks: 3 ms below graphs (8 of 54 bytes for each element of the stream).
"""
LAST = (Variant(f"{TRAINED}, again"), (3,), 40)
SAMPLE = 2048
"""Values of each parameter's gradient that are compared."""


class Notes:
    """Gradients and losses of a pass over some steps."""

    def __init__(self) -> None:
        self.gradients: list[Tensor] = []


@contextmanager
def noted(steps: Steps, notes: Notes) -> Iterator[None]:
    """Sample the gradients of every step before they are clipped."""
    update = steps.engine._update

    def before(*given: Any) -> None:
        found = [p.grad.flatten()[:SAMPLE] for p in steps.engine.model.parameters() if p.grad is not None]
        notes.gradients.append(torch.cat(found).cpu())
        update(*given)

    with patch.object(steps.engine, "_update", before):
        yield


def digest(steps: Steps) -> str:
    """Of all weights, bit for bit."""
    found = hashlib.sha256()
    for value in steps.engine.model.state_dict().values():
        found.update(value.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]


def passes(steps: Steps, batches: list[Any], turns: int) -> dict[str, Any]:
    """Two passes over the same steps from the same weights: losses, digests, the first's and second's gradients."""
    engine = steps.engine
    start = {name: value.clone() for name, value in engine.model.state_dict().items()}
    found: dict[str, Any] = {"losses": [], "digests": []}
    notes = Notes()
    for _ in range(2):
        engine.model.load_state_dict(start)
        engine.optimiser.state.clear()
        engine.restart_sums()
        steps.number = 0
        with noted(steps, notes):
            for _ in range(turns):
                for batch in batches:
                    steps.batch = batch
                    steps()
        sums = engine.sums.tolist()
        found["losses"].append(sums[0] / sums[-1])
        found["digests"].append(digest(steps))
    found["gradients"] = notes.gradients
    return found


def work(variant: Variant, counts: tuple[int, ...], given: argparse.Namespace) -> None:
    """Measure a variant in this process; the figures go to `--json`, gradients beside it."""
    cuda = given.device == "cuda"
    device = torch.device(given.device)
    base: dict[str, Any] = {"size": "large"} if cuda and not given.quick else dict(DEMO_MODEL)
    row: dict[str, Any] = {"variant": variant.name, "batch": given.batch * variant.batches, "rates": {}}

    def save() -> None:
        given.json.write_text(json.dumps(row), encoding="utf-8")

    with as_in(variant, device):
        began = time.monotonic()
        every = ALL[:2] if given.quick else ALL  # results are compared over the same steps, whatever is timed
        steps = Steps(variant, base, max(every), given.batch, device)
        whole = steps.batch
        batches = [replace(whole, images=whole.images[:, :n].contiguous(), channels=tuple(CHANNELS[:n])) for n in every]
        if cuda:
            batches = [replace(batch, images=batch.images.pin_memory()) for batch in batches]
        found = passes(steps, batches, 1 if given.quick else 3)
        torch.save(found.pop("gradients"), given.json.with_suffix(".pt"))
        row |= found | {"ready_s": time.monotonic() - began}
        save()
        peak = peak_rate(device, bf16=True)
        for n in counts:
            steps.batch = batches[every.index(n)]
            row["rates"][n] = rate(steps, device, *((1, 2) if given.quick else (3, 15)))
            row["rates"][n]["mfu"] = (
                row["rates"][n]["tiles_per_s"] * training_flops(steps.engine.config, n) / peak if peak else None
            )
            save()
        steps.batch = batches[every.index(counts[0])]
        row["kernels"] = kernels(steps, device, 1 if given.quick else 3)
        save()


def compare(row: dict[str, Any], first: dict[str, Any], folder: Path, number: int) -> None:
    """Add to a row how far its results are from the first row's."""
    row["repeats"] = len(set(row["digests"])) == 1
    row["same_bytes"] = row["digests"][0] == first["digests"][0]
    row["loss_off"] = row["losses"][0] / first["losses"][0] - 1
    mine, theirs = (torch.load(folder / f"{n}.pt", weights_only=True)[0] for n in (number, 0))
    if mine.shape == theirs.shape:
        row["gradient_off"] = float((mine - theirs).norm() / theirs.norm())


def show(rows: list[dict[str, Any]]) -> None:
    """Print a table of the rows; the last lines are the most important."""
    for row in rows:
        for kernel in row.get("kernels", {}).get("top", [])[:14] if row["variant"] in (TRAINED, BOTH.name) else []:
            print(
                f"  {row['variant'][:22]:22s} {kernel['ms']:7.2f} ms {kernel['calls']:5.0f} x {kernel['kernel'][:90]}"
            )
    print(f"\n{'variant':30s} {'batch':>5s} {'tiles/s with 3, 1, 2 channels':30s} {'MFU':>5s} {'ms':>6s} {'host':>6s} "
          f"{'GiB':>6s} {'idle':>5s} {'launch':>6s} {'ready':>5s}  loss off  gradient off"
          "  repeats, as trained")  # fmt: skip
    for row in rows:
        rates = list(row.get("rates", {}).values())
        if not rates:
            print(f"{row['variant']:30s} {row.get('failed', 'no figures')}")
            continue
        found, traced = rates[0], row.get("kernels", {})
        speeds = ", ".join(f"{r['tiles_per_s']:,.0f}" for r in rates)
        print(f"{row['variant']:30s} {row['batch']:5d} {speeds:30s} {found['mfu'] or 0:5.3f} {found['step_ms']:6.1f} "
              f"{found['host_ms']:6.1f} {max(r['memory_gib'] for r in rates):6.1f} {100 * traced.get('idle', 0):4.0f}% "
              f"{traced.get('launches', 0):6.0f} {row['ready_s']:5.0f}  {row.get('loss_off', 0):8.1e}  "
              f"{row.get('gradient_off', float('nan')):8.1e}  {row.get('repeats')}, {row.get('same_bytes')}"
              f"  {row.get('failed', '')}")  # fmt: skip
        kinds = sorted(traced.get("kinds", {}).items(), key=lambda item: -item[1])
        print("    " + ", ".join(f"{kind} {ms:.1f}" for kind, ms in kinds if ms >= 0.05) + " ms")


def attempt(number: int, variant: Variant, limit: float, folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """The row of a variant measured in a process of its own, with the reason where it ended early."""
    file = folder / f"{number}.json"
    command = [sys.executable, __file__, "--work", str(number), "--device", given.device, "--batch", str(given.batch),
               "--json", str(file), *(["--quick"] if given.quick else [])]  # fmt: skip
    failed = ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
        if done.returncode:
            failed = (done.stderr.strip().splitlines() or ["no message"])[-1][:300]
            print(done.stderr[-1500:], file=sys.stderr)
    except subprocess.TimeoutExpired:
        failed = f"cut after {limit:.0f} s"
    row: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"variant": variant.name}
    return row | ({"failed": failed} if failed else {})


def main() -> None:
    """Measure all variants, or in a process of its own one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small model, few steps, two variants")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--batch", type=int, default=0, help="tiles per step (default: 400 on a GPU, 4 on a CPU)")
    parser.add_argument("--seconds", type=float, default=250.0, help="for everything (default: %(default)s)")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.device == "auto":
        given.device = "cuda" if torch.cuda.is_available() else "cpu"
    given.batch = given.batch or (400 if given.device == "cuda" and not given.quick else 4)
    plan = [*(PLAN[2:3] if given.quick else PLAN), LAST]
    if given.work is not None:
        variant, counts, _ = plan[given.work]
        if given.quick:
            torch.set_num_threads(1)
            counts = counts[:2]
        work(variant, counts, given)
        return
    end, rows = time.monotonic() + given.seconds, []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, (variant, _, limit) in enumerate(plan):
            left = end - time.monotonic() - (0 if number + 1 == len(plan) else 28)
            if left < 15:
                rows.append({"variant": variant.name, "failed": "no time left"})
                continue
            rows.append(attempt(number, variant, min(limit, left), folder, given))
            row = rows[-1]
            if "digests" in row and "digests" in rows[0]:
                compare(row, rows[0], folder, number)
            print(row["variant"], {n: round(r["tiles_per_s"]) for n, r in row.get("rates", {}).items()},
                  row.get("failed", ""), flush=True)  # fmt: skip
            if given.json:
                given.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")
    show(rows)
    if not any(row.get("rates") for row in rows):
        sys.exit("no variant could be measured")


if __name__ == "__main__":
    main()
