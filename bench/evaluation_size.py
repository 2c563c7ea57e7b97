"""Time and memory of probes, leakage and profiles at the paper's size, and at a share of it, on simulated embeddings.

    python bench/evaluation_size.py [--quick] [--share 0.1 0.3] [--parts strict profiles] [--json FILE]

The stand-in has the paper's layout: 25 plates (20 of them ID), 22 control wells of 9 compounds and 63 wells of 60
held-out compounds on each, 1,024 dimensions whose variance falls with their rank as that of real embeddings does, and
effects of compound, plate and well. A share draws that share of the cells of each well. Each part runs in a process of
its own on one thread; processor seconds, wall seconds and peak memory are of that process. `--profile` prints where the
time goes.
"""

import argparse
import cProfile
import hashlib
import json
import os
import pstats
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core.columns import CELL_KEYS, COMPOUND, NUCLEUS, PLATE, SITE, WELL
from campfire.core.files import write_text
from campfire.core.random import keyed_generator
from campfire.evaluation.options import BootstrapOptions, SampleOptions
from campfire.evaluation.sampling import draw_cells

PARTS = ("release", "paper", "strict", "leakage control", "leakage heldout", "profiles", "intervals")
PLATES, OOD_PLATES, CONTROLS, HELDOUT, HELDOUT_WELLS, CELLS, DIMENSIONS = 25, 5, 9, 60, 63, 1000, 1024
CONTROL_WELLS = [min(n // 2, CONTROLS - 1) for n in range(22)]
"""Compound of each control well of a plate: two of each positive control, six of the negative one, the last."""


def layout() -> pd.DataFrame:
    """Wells of all plates with compound and split."""
    rows = []
    for plate in range(PLATES):
        outside = plate >= PLATES - OOD_PLATES
        role = "train" if plate < 14 else "val" if plate < 16 else "test"
        for n in range(len(CONTROL_WELLS) + HELDOUT_WELLS):
            control = n < len(CONTROL_WELLS)
            compound = f"C{CONTROL_WELLS[n]}" if control else f"H{(n - len(CONTROL_WELLS)) % HELDOUT:02d}"
            inside = role if control else "test_ood_compound"
            split = ("test_ood_plate" if control else "test_ood_both") if outside else inside
            rows.append((f"P{plate:02d}", f"{chr(65 + n // 24)}{n % 24 + 1:02d}", compound, split))
    return pd.DataFrame(rows, columns=[PLATE, WELL, COMPOUND, "split"])


def draw(share: float) -> pd.DataFrame:
    """The sample of all protocols and tasks, with `share` of the paper's cells."""
    options, wells, parts = SampleOptions(), layout(), []
    nuclei = np.arange(1, CELLS + 1, dtype=np.int32)
    for _, plate in wells.groupby(PLATE, sort=True):
        cells = plate.loc[plate.index.repeat(CELLS)].reset_index(drop=True)
        cells[SITE], cells[NUCLEUS] = "1", np.tile(nuclei, len(plate))
        for protocol in options.protocols:
            for task in ("control", "heldout"):
                n = max(2, round(share * options.cells(task)))
                controls = [f"C{i}" for i in range(CONTROLS)]
                parts.append(draw_cells(cells, protocol, task, n, options.seed, controls))
    sample = pd.concat(parts, ignore_index=True)
    sample["order"] = sample.groupby(["protocol", "task"], sort=False).cumcount()
    return sample.sort_values(["protocol", "task", "order"], kind="stable", ignore_index=True)


def embed(sample: pd.DataFrame) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Keys of the sampled cells, each once, and their embeddings (N, DIMENSIONS)."""
    cells = sample.drop_duplicates(CELL_KEYS).reset_index(drop=True)
    rng = keyed_generator(0, 0)
    spread = (1 / np.sqrt(1 + np.arange(DIMENSIONS))).astype(np.float32)
    vectors = rng.standard_normal((len(cells), DIMENSIONS), dtype=np.float32)
    for columns, size in (([COMPOUND], 0.13), ([PLATE], 0.5), ([PLATE, WELL], 0.3)):
        group = cells.groupby(columns, sort=True).ngroup().to_numpy()
        vectors += size * rng.standard_normal((group.max() + 1, DIMENSIONS), dtype=np.float32)[group]
    vectors *= spread
    mixing, _ = np.linalg.qr(rng.standard_normal((DIMENSIONS, DIMENSIONS)))
    return cells[CELL_KEYS], (vectors @ mixing.astype(np.float32)) * np.float32(0.3)


def work(part: str, sample: pd.DataFrame, keys: pd.DataFrame, vectors: NDArray[np.float32]) -> list[pd.DataFrame]:
    """The tables of one part: the probes of a protocol, leakage of a task, profiles, or intervals of random guesses."""
    from campfire.evaluation.probes.evaluate import evaluate
    from campfire.evaluation.probes.leakage import leakage_table
    from campfire.evaluation.profiles.options import ProfileOptions
    from campfire.evaluation.profiles.summary import profile_summary
    from campfire.evaluation.statistics import bootstrap_accuracy

    if part in SampleOptions().protocols:
        return list(evaluate(keys, vectors, sample[sample["protocol"] == part]))
    strict = sample[sample["protocol"] == "strict"]
    if part.startswith("leakage"):
        return [leakage_table(keys, vectors, strict[strict["task"] == part.split()[1]])]
    if part == "profiles":
        return [profile_summary(keys, vectors, strict, ProfileOptions(negative_controls=[f"C{CONTROLS - 1}"]))]
    compounds = strict[COMPOUND].to_numpy()
    guessed = np.where(keyed_generator(0, 1).random(len(strict)) < 0.4, compounds, np.roll(compounds, 7777))
    return [bootstrap_accuracy(strict.assign(fit=0, truth=compounds, predicted=guessed), BootstrapOptions())]


def measure(part: str, share: float, profile: bool) -> dict[str, Any]:
    """Time and memory of one part in this process, without making its input, and a digest of its tables."""
    sample = draw(share)
    keys, vectors = embed(sample)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    watch = cProfile.Profile()
    cpu, wall = time.process_time(), time.perf_counter()
    tables = watch.runcall(work, part, sample, keys, vectors) if profile else work(part, sample, keys, vectors)
    row = {"part": part, "share": share, "cells": len(vectors), "cpu_s": time.process_time() - cpu}
    row |= {"wall_s": time.perf_counter() - wall, "input_mib": before / 1024}
    row["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    text = "".join(table.to_csv(index=False) for table in tables)
    row["digest"] = hashlib.sha256(text.encode()).hexdigest()[:12]
    if profile:
        pstats.Stats(watch, stream=sys.stderr).sort_stats("tottime").print_stats(25)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, nargs="+", default=[0.1, 0.3], help="share of the paper's cells")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--quick", action="store_true", help="smallest shares, only to check that the script runs")
    parser.add_argument("--profile", action="store_true", help="print where the time goes")
    parser.add_argument("--json", type=Path, help="also write the results here")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.parts[0], arguments.share[0], arguments.profile)))
        return
    rows = []
    if arguments.quick:
        arguments.share, arguments.parts = [0.02], ["intervals", "release"]
    for part in arguments.parts:
        for share in arguments.share:
            command = [sys.executable, __file__, "--one", "--parts", part, "--share", str(share)]
            done = subprocess.run(
                [*command, *["--profile"] * arguments.profile], check=True, stdout=subprocess.PIPE, text=True
            )
            rows.append(json.loads(done.stdout.splitlines()[-1]))
            row = rows[-1]
            print(
                f"{part}, {row['cells']:,} cells: {row['cpu_s']:.1f} s of processor time, peak {row['peak_mib']:,.0f} "
                f"MiB ({row['input_mib']:,.0f} before), tables {row['digest']}",
                flush=True,
            )
    if arguments.json:
        write_text(arguments.json, json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
