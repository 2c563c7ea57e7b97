"""Time and memory of probes, leakage, profiles and statistics at the paper's size, and at a share of it.

    python bench/evaluation_size.py [--quick] [--share 0.1 0.3] [--parts strict profiles] [--json FILE]
    python bench/evaluation_size.py --share 1 --parts probes      (the table of the probes in docs/performance.md)

The stand-in has the paper's layout: 25 plates (20 of them ID), 22 control wells of 9 compounds and 63 wells of 60
held-out compounds on each, 1,024 dimensions whose variance falls with their rank as that of real embeddings does, and
effects of compound, plate and well. A share draws that share of the cells of each well. `retrieval` and `variance` take
the well means of whole plates, 384 wells each, and a share of these. Each part runs in a process of its own on one
thread; processor seconds, wall seconds and peak memory are of that process without making its input. From one share to
the next the exponent is given: 1 is time or memory in proportion to the rows. A table of all parts ends the run, with
the three protocols and both halves of the leakage table together. `--profile` prints where the time goes.
"""

import argparse
import cProfile
import functools
import hashlib
import itertools
import json
import math
import os
import pstats
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

from campfire.core.columns import BATCH, CELL_KEYS, COMPOUND, NUCLEUS, PLATE, SITE, WELL
from campfire.core.files import write_text
from campfire.core.random import keyed_generator
from campfire.evaluation.options import BootstrapOptions, SampleOptions
from campfire.evaluation.sampling import draw_cells

PARTS = ("release", "paper", "strict", "leakage control", "leakage heldout", "profiles")
PROBES = {"three protocols": PARTS[:3], "leakage table": PARTS[3:5]}
"""Parts whose times are added up."""
STATISTICS = ("intervals", "differences", "retrieval", "variance")
WELLS, NEGATIVE_WELLS, BATCHES, TREATED = 384, 64, 5, 160
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


def whole_plates(share: float) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Well means (W, DIMENSIONS) of a share of the wells of every plate; each batch has a layout of its own."""
    count, rows = round(share * WELLS), []
    negative = round(share * NEGATIVE_WELLS)
    for plate in range(PLATES):
        batch = plate % BATCHES
        for n in range(count):
            compound = "N" if n < negative else f"C{(n + 40 * batch) % TREATED:03d}"
            rows.append((f"P{plate:02d}", f"{chr(65 + n // 24)}{n % 24 + 1:02d}", compound, f"B{batch}"))
    wells = pd.DataFrame(rows, columns=[PLATE, WELL, COMPOUND, BATCH]).assign(split="test_ood_compound")
    rng = keyed_generator(0, 2)
    vectors = rng.standard_normal((len(wells), DIMENSIONS), dtype=np.float32)
    for column in (COMPOUND, PLATE):
        group = wells.groupby(column).ngroup().to_numpy()
        vectors += 0.3 * rng.standard_normal((group.max() + 1, DIMENSIONS), dtype=np.float32)[group]
    return wells, vectors


def of_wells(part: str, wells: pd.DataFrame, vectors: NDArray[np.float32]) -> list[pd.DataFrame]:
    """Retrieval of replicates and the layout leak, or shares of variance, of the wells of whole plates."""
    from campfire.evaluation.profiles import graded_retrieval, layout_leak, replicate_retrieval, variance_shares

    if part == "variance":
        return [variance_shares(wells, vectors)]
    negative = (wells[COMPOUND] == "N").to_numpy()
    treated, own = wells[~negative].reset_index(drop=True), vectors[~negative]
    leak = layout_leak(wells[negative], vectors[negative], BootstrapOptions())
    return [replicate_retrieval(treated, own), graded_retrieval(treated, own, BootstrapOptions()), leak]


def work(part: str, sample: pd.DataFrame, keys: pd.DataFrame, vectors: NDArray[np.float32]) -> list[pd.DataFrame]:
    """The tables of one part: the probes of a protocol, leakage of a task, profiles, or intervals of random guesses."""
    from campfire.evaluation.probes.evaluate import evaluate
    from campfire.evaluation.probes.leakage import leakage_table
    from campfire.evaluation.profiles.options import ProfileOptions
    from campfire.evaluation.profiles.summary import profile_summary
    from campfire.evaluation.statistics import bootstrap_accuracy, paired_bootstrap

    if part in SampleOptions().protocols:
        return list(evaluate(keys, vectors, sample[sample["protocol"] == part]))
    strict = sample[sample["protocol"] == "strict"]
    if part.startswith("leakage"):
        return [leakage_table(keys, vectors, strict[strict["task"] == part.split()[1]])]
    if part == "profiles":
        return [profile_summary(keys, vectors, strict, ProfileOptions(negative_controls=[f"C{CONTROLS - 1}"]))]
    compounds = strict[COMPOUND].to_numpy()
    guesses = []
    for seed in (1, 3):
        guessed = np.where(keyed_generator(0, seed).random(len(strict)) < 0.4, compounds, np.roll(compounds, 7777))
        guesses.append(strict.assign(fit=0, truth=compounds, predicted=guessed))
    if part == "differences":
        return [paired_bootstrap(guesses[0], guesses[1], BootstrapOptions())]
    return [bootstrap_accuracy(guesses[0], BootstrapOptions())]


def peak_mib() -> float:
    """Largest resident memory of this process since it was last reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def exponents(one: dict[str, Any], two: dict[str, Any]) -> str:
    """Growth of time, and of memory beyond the input's, with the number of rows between two runs of a part."""
    times = math.log(two["rows"] / one["rows"])
    values = [(row["cpu_s"], max(row["peak_mib"] - row["input_mib"], 1)) for row in (one, two)]
    time_, memory = (math.log(second / first) / times for first, second in zip(*values, strict=True))
    return f"{two['part']}: time grows with rows to the power of {time_:.2f}, memory beyond the input's {memory:.2f}"


def table(rows: list[dict[str, Any]]) -> str:
    """Every part and share with its time and memory, and the parts that belong together added up."""
    lines = ["| what | rows | processor seconds | peak MiB | of these input |", "|---|---:|---:|---:|---:|"]
    for share in dict.fromkeys(row["share"] for row in rows):
        found = {row["part"]: row for row in rows if row["share"] == share}
        for part, row in found.items():
            memory = f"{row['peak_mib']:,.0f} | {row['input_mib']:,.0f}"
            lines.append(f"| {part} | {row['rows']:,} | {row['cpu_s']:.1f} | {memory} |")
        for name, parts in PROBES.items():
            if all(part in found for part in parts):
                lines.append(f"| {name} together | | {sum(found[part]['cpu_s'] for part in parts):.1f} | | |")
    return "\n".join(lines)


def measure(part: str, share: float, profile: bool) -> dict[str, Any]:
    """Time and memory of one part in this process, without making its input, and a digest of its tables."""
    if part in ("retrieval", "variance"):
        wells, vectors = whole_plates(share)
        call = functools.partial(of_wells, part, wells, vectors)
    else:
        sample = draw(share)
        keys, vectors = embed(sample)
        call = functools.partial(work, part, sample, keys, vectors)
    Path("/proc/self/clear_refs").write_text("5")  # the peak of making the input does not count
    before = peak_mib()
    watch = cProfile.Profile()
    cpu, wall = time.process_time(), time.perf_counter()
    tables = watch.runcall(call) if profile else call()
    row = {"part": part, "share": share, "rows": len(vectors), "cpu_s": time.process_time() - cpu}
    row |= {"wall_s": time.perf_counter() - wall, "input_mib": before, "peak_mib": peak_mib()}
    text = "".join(table.to_csv(index=False) for table in tables)
    row["digest"] = hashlib.sha256(text.encode()).hexdigest()[:12]
    if profile:
        pstats.Stats(watch, stream=sys.stderr).sort_stats("tottime").print_stats(25)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, nargs="+", default=[0.1, 0.3], help="share of the paper's cells")
    choices = [*PARTS, *STATISTICS]
    parser.add_argument("--parts", nargs="+", choices=[*choices, "probes"], default=choices, help="probes: all of them")
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
        arguments.share, arguments.parts = [0.02], ["intervals", "retrieval", "release"]
    probes = list(itertools.chain(*PROBES.values()))
    chosen = [one for name in arguments.parts for one in (probes if name == "probes" else [name])]
    for part in dict.fromkeys(chosen):
        for number, share in enumerate(arguments.share):
            command = [sys.executable, __file__, "--one", "--parts", part, "--share", str(share)]
            done = subprocess.run(
                [*command, *["--profile"] * arguments.profile], check=True, stdout=subprocess.PIPE, text=True
            )
            rows.append(json.loads(done.stdout.splitlines()[-1]))
            row = rows[-1]
            print(
                f"{part}, {row['rows']:,} rows: {row['cpu_s']:.1f} s of processor time, peak {row['peak_mib']:,.0f} "
                f"MiB ({row['input_mib']:,.0f} before), tables {row['digest']}",
                flush=True,
            )
            if number:
                print(exponents(rows[-2], row), flush=True)
    print(table(rows))
    if arguments.json:
        write_text(arguments.json, json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
