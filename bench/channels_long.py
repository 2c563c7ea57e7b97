"""Every candidate of bench/channels.py at once, several seeds each, on one GPU: the demo's whole model, trained long.

    python bench/channels_screen.py config/demo-screen.yaml NUCLEI TILES
    python bench/channels_long.py TILES WELLS CELLS PILOT OUT [--epochs 14 42] [--pilot-steps 600 3000] [--limit 240]
        [--channels DNA AGP Mito]

TILES: folder of bench/channels_screen.py; WELLS, CELLS: the demo's split/wells.parquet and sample/cells.parquet; PILOT:
the tile file of the real field (`make pilot`). Models of one architecture are trained side by side by
`torch.func.vmap`: each with its own initial weights, order of tiles, masks, flips and turns; the channels of a step are
drawn once for all. Model, objective, augmentation, schedule and optimiser are the product's. What differs from
`campfire pretrain`: float32 with TF32 products, and the last incomplete batch of an epoch is left out. The first length
trains all candidates, longer ones those worth it. Each architecture, length and data set is a process of its own
(bench/channels_group.py). OUT gets a JSON line for every model: runs.jsonl (scores), curves.jsonl (scores on the way),
probes.jsonl (accuracy, protocol strict, as bench/channels.py --probe). `--limit` is in seconds: training is shortened
to fit, and lines say how many steps were made. The demo is trained on `--channels`; `unseen` in the lines is the set
DNA, ER, RNA, of which ER and RNA are unseen only where they are not among them.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import yaml

from campfire.core.columns import CELL_KEYS
from campfire.core.files import read_table
from campfire.evaluation.probes import ProbeOptions
from campfire.evaluation.probes.evaluate import evaluate

GROUPS = ("mean", "spread", "learned", "per_channel")


def probe(path: Path, cells_path: Path) -> dict[str, Any]:
    """Accuracy of protocol strict by task and quadrant of the embeddings in `path`."""
    cells = read_table(cells_path)
    cells = cells[cells["protocol"] == "strict"]
    settings = yaml.safe_load(Path("config/demo.yaml").read_text(encoding="utf-8"))["probe"]
    with np.load(path) as stored:
        keys = pd.DataFrame({name: stored[name] for name in CELL_KEYS})
        label = json.loads(str(stored["label"]))
        found = dict(label)
        for name in ("trained", "unseen"):
            known = cells.merge(keys, on=CELL_KEYS)  # all, but in a rehearsal on few wells
            scores, _ = evaluate(keys, stored[name].astype(np.float32), known, ProbeOptions(**settings))
            means = scores.groupby(["task", "split"], as_index=False)["accuracy"].mean()
            for row in means.itertuples():
                found[f"probe_{name}_{row.task}_{row.split}"] = round(float(row.accuracy), 4)
    path.unlink()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("tiles", "wells", "cells", "pilot", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--epochs", nargs="+", type=int, default=[14, 42])
    parser.add_argument("--pilot-steps", nargs="+", type=int, default=[600, 3000])
    parser.add_argument("--groups", nargs="+", default=list(GROUPS), choices=GROUPS)
    parser.add_argument("--channels", nargs="+", default=["DNA", "AGP", "Mito"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--more-seeds", type=int, default=8, help="seeds of the default, the old one and learned ones")
    parser.add_argument("--limit", type=float, default=240, help="seconds in all")
    parser.add_argument("--last", type=float, default=60, help="of these, kept for evaluation after training")
    parser.add_argument("--probes", type=int, default=max(1, (os.cpu_count() or 2) - 4), help="processes that probe")
    arguments = parser.parse_args()
    began = time.monotonic()
    embeddings = arguments.out / "embeddings"
    embeddings.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(Path(__file__).with_name("channels_group.py"))]
    jobs = [("demo", group, n) for n in sorted(arguments.epochs) for group in arguments.groups]
    jobs += [("pilot", group, n) for n in sorted(arguments.pilot_steps) for group in arguments.groups]
    shortest = {"demo": min(arguments.epochs), "pilot": min(arguments.pilot_steps)}
    left = arguments.limit - arguments.last
    paths = [arguments.tiles, arguments.wells, arguments.cells, arguments.pilot, arguments.out]
    seeds = ["--seeds", arguments.seeds, "--more-seeds", arguments.more_seeds, "--limit", left]
    seeds += ["--channels", *arguments.channels]
    running = []
    for data, group, length in jobs:
        only = ["--finalists"] if length > shortest[data] else []
        running.append(subprocess.Popen([str(part) for part in (*command, data, group, length, *paths, *seeds, *only)]))
    waiting: dict[Path, Future[dict[str, Any]]] = {}
    written: set[Path] = set()
    with (
        ProcessPoolExecutor(arguments.probes, get_context("spawn"), os.nice, (10,)) as pool,
        (arguments.out / "probes.jsonl").open("a", encoding="utf-8") as file,
    ):
        while time.monotonic() - began < arguments.limit:
            alive = any(process.poll() is None for process in running)
            for path in sorted(embeddings.glob("*.npz"), key=lambda p: p.stat().st_mtime):
                if path not in waiting and not path.name.startswith("."):
                    waiting[path] = pool.submit(probe, path, arguments.cells)
            for path, job in waiting.items():
                if path not in written and job.done():
                    written.add(path)
                    text = (
                        json.dumps(job.result()) if job.exception() is None else f'{{"error": "{job.exception()!r}"}}'
                    )
                    file.write(text + "\n")
                    file.flush()
            if not alive and len(written) == len(waiting):
                break
            time.sleep(0.2)
        for process in running:
            process.terminate()
        for worker in list((pool._processes or {}).values()):
            if len(written) < len(waiting):
                worker.terminate()
    print(f"{len(written)} of {len(waiting)} models probed, {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
