"""Speed of the batched probes against one fit at a time, on the reference embeddings.

    python bench/probe.py [--data ../shared/data/official/probe] [--epochs 100] [--quick] [--json out.json]

Both sides train the same fits with the same batch size, optimiser, schedule and stopping, each on one thread, and are
compared by CPU seconds, which other jobs disturb least (wall seconds are also given): `loop` is a plain torch loop that
slices a shuffled tensor, `loader` the same loop fed by torch's DataLoader, which is how the authors' code gets its
batches, `batched` all fits of a run as one batched torch step with autograd and fused AdamW: what is left of the
difference then is the algebra of `campfire.evaluation.probes.trainer`. As shuffles differ, so do the epochs at which
fits stop; the ratio of the times per training step of one fit is given beside the ratio of the times as run. `batched`
does not drop fits that have stopped; its time per step counts theirs. `--quick` trains for two epochs.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from campfire.evaluation.probes import Fit, ProbeOptions, fit_linear, predict

BASELINES = ("loop", "loader", "batched")
RUNS = ("control", "heldout10", "heldout30")
TARGETS = {"control": 30, "heldout30": 20}
Problem = tuple[NDArray[np.float32], NDArray[np.int64], list[Fit], list[NDArray[np.intp]], NDArray[np.intp], int]


def load(folder: Path, run: str) -> Problem:
    """Embeddings, labels, fits, ID rows scored per fit, OOD rows, classes."""
    if run == "control":
        table = pd.read_parquet(folder / "control_embeddings.parquet")
        subsets = pd.read_parquet(folder / "control_train_subsets.parquet")
        place = pd.Series(np.arange(len(table)), index=table["row_id"])
        val = np.flatnonzero(table["split"] == "val")
        fits = [Fit(place[part["row_id"]].to_numpy(), val) for _, part in subsets.groupby("subset")]
        scored = [np.flatnonzero(table["split"] == "test")] * len(fits)
        outside = np.flatnonzero(table["split"] == "test_out_plate_")
    else:
        table = pd.read_parquet(folder / "heldout_embeddings.parquet")
        table = table[table["cell"] < int(run.removeprefix("heldout"))].reset_index(drop=True)
        inside, outside = (np.flatnonzero(table["split"] == s) for s in ("test_out_compound", "test_out_all_"))
        plates = table["plate"].to_numpy()[inside]
        fits, scored = [], []
        for group in np.array_split(np.unique(plates), 5):
            left_out = np.isin(plates, group)
            fits.append(Fit(inside[~left_out], inside[left_out]))
            scored.append(inside[left_out])
    labels = table["TARGET"].to_numpy(np.int64)
    return table.filter(like="encoder.head_").to_numpy(np.float32), labels, fits, scored, outside, int(labels.max()) + 1


def batches(x: torch.Tensor, y: torch.Tensor, size: int, shuffle: bool, kind: str) -> Iterator[list[torch.Tensor]]:
    if kind == "loader":
        data = torch.utils.data.TensorDataset(x, y)
        yield from torch.utils.data.DataLoader(data, batch_size=size, shuffle=shuffle)
        return
    order = torch.randperm(len(x)) if shuffle else torch.arange(len(x))
    for rows in order.split(size):
        yield [x[rows], y[rows]]


def one_at_a_time(
    x: torch.Tensor, y: torch.Tensor, fit: Fit, classes: int, options: ProbeOptions, kind: str
) -> tuple[nn.Linear, int]:
    """One classifier in a per-batch loop; the layer after its last epoch, and the epochs."""
    torch.manual_seed(options.seed)
    layer = nn.Linear(x.shape[1], classes)
    optimiser = torch.optim.AdamW(layer.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, options.step_size, options.gamma)
    train, watch = torch.from_numpy(fit.train), torch.from_numpy(fit.monitor)
    best, waited, epoch = -1, 0, 0
    while epoch < options.epochs and waited < options.patience:
        epoch += 1
        for features, target in batches(x[train], y[train], options.batch_size, True, kind):
            loss = nn.functional.cross_entropy(layer(features), target)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
        with torch.no_grad():
            held = batches(x[watch], y[watch], options.batch_size, False, kind)
            hits = sum(int((layer(features).argmax(1) == target).sum()) for features, target in held)
        best, waited = (hits, 0) if hits > best else (best, waited + 1)
    return layer, epoch


def all_at_once(
    x: torch.Tensor, y: torch.Tensor, fits: list[Fit], classes: int, options: ProbeOptions
) -> tuple[list[nn.Linear], list[int], int]:
    """All classifiers in one batched loop: each layer after its last epoch, its epochs, and the epochs of the loop.

    Fits with one step less than the longest repeat a step, which the time per step counts.
    """
    torch.manual_seed(options.seed)
    start = [nn.Linear(x.shape[1], classes) for _ in fits]
    weight = nn.Parameter(torch.stack([layer.weight.detach().T for layer in start]).contiguous())  # (P, D, K)
    bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in start])[:, None])  # (P, 1, K)
    optimiser = torch.optim.AdamW(
        [weight, bias], lr=options.learning_rate or 1e-3, weight_decay=options.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, options.step_size, options.gamma)
    watched = [(x[fit.monitor], y[fit.monitor]) for fit in fits]
    longest = max(len(fit.train) for fit in fits)
    best, waited, done, last = [-1] * len(fits), [0] * len(fits), [0] * len(fits), start
    for epoch in range(1, options.epochs + 1):
        orders = [torch.from_numpy(fit.train)[torch.randperm(len(fit.train))] for fit in fits]
        rows = torch.stack([torch.cat([order, order[: longest - len(order)]]) for order in orders])  # (P, N)
        for part in rows.split(options.batch_size, dim=1):
            logits = torch.baddbmm(bias, x[part], weight)
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), y[part].flatten(), reduction="sum") / part.shape[1]
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
        with torch.no_grad():
            for lane, (features, targets) in enumerate(watched):
                if done[lane]:
                    continue
                hits = int(((features @ weight[lane] + bias[lane]).argmax(1) == targets).sum())
                best[lane], waited[lane] = (hits, 0) if hits > best[lane] else (best[lane], waited[lane] + 1)
                if waited[lane] == options.patience or epoch == options.epochs:
                    done[lane] = epoch
                    last[lane].weight.copy_(weight[lane].T)
                    last[lane].bias.copy_(bias[lane, 0])
        if all(done):
            break
    return last, done, epoch


def clock() -> tuple[float, float]:
    return time.process_time(), time.perf_counter()


def summary(started: tuple[float, float], epochs: NDArray[np.int64], fits: list[Fit], size: int) -> dict[str, float]:
    steps = int(sum(e * -(-len(f.train) // size) for e, f in zip(epochs, fits, strict=True)))
    cpu, wall = (now - then for now, then in zip(clock(), started, strict=True))
    return {
        "cpu_seconds": cpu,
        "wall_seconds": wall,
        "epochs": int(epochs.sum()),
        "steps": steps,
        "us_per_step": 1e6 * cpu / steps,
    }


def compare(folder: Path, run: str, options: ProbeOptions, kinds: list[str]) -> dict[str, Any]:
    embeddings, labels, fits, scored, outside, classes = load(folder, run)
    x, y = torch.from_numpy(embeddings), torch.from_numpy(labels)
    few = Fit(fits[0].train[:64], fits[0].monitor[:64])  # loads libraries, warms up
    fit_linear(embeddings, labels, [few], classes, ProbeOptions(epochs=1, learning_rate=1e-3))
    for kind in kinds:
        one = ProbeOptions(epochs=1, learning_rate=1e-3)
        all_at_once(x, y, [few], classes, one) if kind == "batched" else one_at_a_time(x, y, few, classes, one, kind)
    started = clock()
    result = fit_linear(embeddings, labels, fits, classes, options)
    ours = summary(started, result.epochs, fits, options.batch_size)
    guess = predict(embeddings, result.last_weight, result.last_bias)
    right = guess == labels
    row: dict[str, Any] = {"run": run}
    row["ours"] = ours | {
        "id": float(np.mean([right[i, rows].mean() for i, rows in enumerate(scored)])),
        "ood": float(np.mean(right[:, outside])),
    }
    for kind in kinds:
        started = clock()
        if kind == "batched":
            layers, _, trained = all_at_once(x, y, fits, classes, options)
            theirs = summary(started, np.full(len(fits), trained), fits, options.batch_size)
        else:
            made = [one_at_a_time(x, y, fit, classes, options, kind) for fit in fits]
            layers = [layer for layer, _ in made]
            theirs = summary(started, np.array([e for _, e in made]), fits, options.batch_size)
        with torch.no_grad():
            hits = np.stack([(layer(x).argmax(1) == y).numpy() for layer in layers])
        row[kind] = theirs | {
            "times_as_run": theirs["cpu_seconds"] / ours["cpu_seconds"],
            "times_per_step": theirs["us_per_step"] / ours["us_per_step"],
            "id": float(np.mean([hits[i, rows].mean() for i, rows in enumerate(scored)])),
            "ood": float(np.mean(hits[:, outside])),
        }
    recorded = json.loads((folder / "results.json").read_text())[run]
    row["authors"] = {
        "cpu_seconds": recorded["total_cpu_seconds"],
        "us_per_step": 1e6 * recorded["total_cpu_seconds"] / recorded["train_steps"],
        "id": recorded["mean"]["test"],
        "ood": recorded["mean"]["ood"],
    }
    return row


def report(row: dict[str, Any], kinds: list[str]) -> None:
    ours, authors = row["ours"], row["authors"]
    print(f"{row['run']}: target {TARGETS.get(row['run'], '-')}x")
    for name in ("ours", *kinds):
        side = row[name]
        line = f"  {name:8s}{side['cpu_seconds']:8.2f} s CPU "
        line += f"{side['wall_seconds']:8.2f} s wall {side['us_per_step']:7.1f} us/step"
        line += f", accuracy ID {side['id']:.4f} OOD {side['ood']:.4f}"
        if name != "ours":
            line += f", {side['times_as_run']:.1f}x as run, {side['times_per_step']:.1f}x per step"
        print(line)
    print(
        f"  authors'{authors['cpu_seconds']:8.2f} s CPU as recorded on another machine, "
        f"{authors['us_per_step']:.1f} us/step, accuracy ID {authors['id']:.4f} OOD {authors['ood']:.4f}, "
        f"{authors['us_per_step'] / ours['us_per_step']:.0f}x per step",
        flush=True,
    )


def main() -> None:
    default = Path(__file__).resolve().parents[2] / "shared/data/official/probe"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=default, help="folder of the reference embeddings")
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=["control", "heldout30"])
    parser.add_argument("--baseline", nargs="+", choices=BASELINES, default=list(BASELINES))
    parser.add_argument("--epochs", type=int, default=ProbeOptions().epochs, help="most fits")
    parser.add_argument("--quick", action="store_true", help="two epochs")
    parser.add_argument("--json", type=Path, help="also write the results here")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        parser.error(f"{arguments.data}: no reference embeddings; give their folder with --data")
    torch.set_num_threads(1)
    options = ProbeOptions(epochs=2 if arguments.quick else arguments.epochs, learning_rate=1e-3)
    rows = []
    for run in arguments.runs:
        row = compare(arguments.data, run, options, arguments.baseline)
        rows.append(row)
        report(row, arguments.baseline)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
