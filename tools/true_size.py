"""The paper's run at its true size with stand-ins: what planning, opening, sampling, reading and probing cost.

    python tools/true_size.py --metadata ../shared/data/metadata [--folder FOLDER] [--plates 262] [--stages open read]

From the real split it makes, for each plate, a sparse tile array of true size (no blocks on disk), its real-size
index, and the nuclei tables of evaluation plates; then embeddings of the sampled cells (1,024 dimensions). Each stage
runs in a process of its own, whose wall time, processor time, peak memory, and bytes read and written are printed as
a row of docs/scale.md. With --plates 4 it is a rehearsal of seconds.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from campfire.core.columns import CELL_KEYS, NUCLEUS, PLATE, PLATE_TYPE, SITE, WELL
from campfire.core.files import read_table, write_table
from campfire.core.random import keyed_generator
from campfire.encoders import embedding_table
from campfire.evaluation.options import SampleOptions
from campfire.evaluation.sampling import draw_sample
from campfire.images.tiles.store import FORMAT, digest, well_digests
from campfire.runs.scale import SourceFacts
from campfire.screen.metadata import CONTROLS, find_well_table, read_sheet, read_wells
from campfire.screen.split import SplitOptions, evaluation_plates, make_split, write_split

STAGES = ("make", "sample", "open", "batches", "embeddings", "probe input")
CHANNELS = ["DNA", "AGP", "Mito", "ER", "RNA"]
SIZE, DIMENSIONS = 112, 1024


def write_plate(folder: Path, plate: str, wells: pd.DataFrame, channels: int) -> None:
    """A sparse tile array with its index, and the table of the plate's nuclei."""
    facts = SourceFacts()
    per_site = round(facts.cells_per_site)
    sites = round(facts.sites_per_well)
    names = np.repeat(np.sort(wells[WELL].unique()), sites * per_site)
    tiles = len(names)
    zero = zlib.crc32(bytes(channels * SIZE * SIZE * 2))
    index = pd.DataFrame(
        {
            PLATE: plate,
            WELL: names,
            SITE: np.tile(
                np.repeat([str(site + 1) for site in range(sites)], per_site), len(names) // (sites * per_site)
            ),
            NUCLEUS: np.tile(np.arange(1, per_site + 1, dtype=np.int32), len(names) // per_site),
            "row": np.arange(tiles),
            "crc32": np.full(tiles, zero, dtype=np.uint32),
        }
    )
    path = folder / f"tiles/{plate}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (tiles, channels, SIZE, SIZE)
    with path.open("wb") as file:
        np.lib.format.write_array_header_2_0(file, {"descr": "<u2", "fortran_order": False, "shape": shape})
        file.truncate(file.tell() + tiles * channels * SIZE * SIZE * 2)
    description = {
        "format": FORMAT, "channels": CHANNELS[:channels], "shape": list(shape), "dtype": "uint16", "ranges": None,
        "bytes": path.stat().st_size, "wells": well_digests(index), "digest": digest(index),
    }  # fmt: skip
    write_table(index, path.with_suffix(".parquet"), description)
    if channels == len(CHANNELS):
        write_table(index[CELL_KEYS].assign(kept=True), folder / f"nuclei/{plate}.parquet")


def make(folder: Path, metadata: Path, plates: int) -> dict[str, Any]:
    """The split and every plate's stand-ins; the first evaluation plates and then training plates of the sheet."""
    sheet = read_sheet(Path(__file__).parents[1] / "config/plates.tsv")
    split = make_split(sheet, read_wells(find_well_table(metadata), sheet), SplitOptions())
    write_split(folder / "wells.parquet", split)
    used = split.wells[split.wells["split"] != "unused"]
    evaluated = set(evaluation_plates(split.wells))
    names = sorted(used[PLATE].unique(), key=lambda name: (name not in evaluated, name))
    half = min(len(evaluated), max(1, plates // 2))
    chosen = [*names[:half], *names[len(evaluated) : len(evaluated) + plates - half]]
    for name in chosen:
        write_plate(folder, name, used[used[PLATE] == name], len(CHANNELS) if name in evaluated else 3)
    return {"plates": len(chosen), "wells": int(used[PLATE].isin(chosen).sum())}


def sample(folder: Path) -> dict[str, Any]:
    """The sample of cells for all protocols."""
    nuclei = sorted((folder / "nuclei").glob("*.parquet"))
    cells, _ = draw_sample(nuclei, read_table(folder / "wells.parquet"), SampleOptions(), CONTROLS)
    write_table(cells, folder / "cells.parquet")
    return {"plates": len(nuclei), "cells": len(cells)}


def open_plates(folder: Path, batches: int = 0) -> dict[str, Any]:
    """Open the training tiles as one process of pretraining does, and read batches of 400 of rank 0 of 16."""
    from campfire.training.epoch_plan import plan_epoch
    from campfire.training.loader import Loader
    from campfire.training.source import open_sources

    wells = read_table(folder / "wells.parquet")
    ood = set(wells.loc[wells["split"].str.startswith("test_ood_plate"), PLATE])
    paths = [path for path in sorted((folder / "tiles").glob("*.npy")) if path.stem not in ood]
    kinds = sorted(wells[PLATE_TYPE].unique())
    source = open_sources(paths, wells, CHANNELS[:3], kinds, reading="positioned")[0]
    found: dict[str, Any] = {"plates": len(paths), "tiles": source.tiles}
    if batches:
        plan = plan_epoch([group.tiles for group in source.groups], 6400, 16, keyed_generator(10, 0))
        loader, seen, began = Loader(source, 400, seed=10, shard_tiles=64, threads=2), [], time.monotonic()
        for batch in loader.epoch(plan, 0):
            seen.append(source.mixing(batch.plates, batch.rows))
            if len(seen) == batches:
                break
        found |= {
            "tiles/s": round(batches * 400 / (time.monotonic() - began)),
            "wells a pass": float(np.median([wells for _, wells in seen])),
        }
    return found


def embeddings(folder: Path) -> dict[str, Any]:
    """Embeddings of every sampled cell, random numbers."""
    cells = read_table(folder / "cells.parquet")[CELL_KEYS].drop_duplicates()
    rng = np.random.default_rng(0)
    for plate, rows in cells.groupby(PLATE):
        vectors = rng.standard_normal((len(rows), DIMENSIONS), dtype=np.float32)
        embedding_table.write(folder / f"embeddings/{plate}.parquet", rows, vectors)
    return {"cells": len(cells)}


def probe_input(folder: Path) -> dict[str, Any]:
    """What a probe job reads before its first fit."""
    cells = read_table(folder / "cells.parquet")
    paths = sorted((folder / "embeddings").glob("*.parquet"))
    _, vectors = embedding_table.read_plates(paths, cells)
    return {"cells": len(vectors)}


def counters() -> dict[str, float]:
    """Bytes that this process read and wrote so far, and its processor time."""
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return {"read": float(lines["rchar"]), "written": float(lines["wchar"]), "cpu": time.process_time()}


def run_stage(stage: str, folder: Path, metadata: Path, plates: int) -> dict[str, Any]:
    """One stage in this process: its facts and what it took."""
    work: dict[str, Callable[[], dict[str, Any]]] = {
        "make": lambda: make(folder, metadata, plates),
        "sample": lambda: sample(folder),
        "open": lambda: open_plates(folder),
        "batches": lambda: open_plates(folder, batches=40),
        "embeddings": lambda: embeddings(folder),
        "probe input": lambda: probe_input(folder),
    }
    before, began = counters(), time.monotonic()
    facts = work[stage]()
    after = counters()
    return {
        "stage": stage,
        "wall_s": time.monotonic() - began,
        "cpu_s": after["cpu"] - before["cpu"],
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
        "read_gb": (after["read"] - before["read"]) / 1e9,
        "written_gb": (after["written"] - before["written"]) / 1e9,
        "facts": facts,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--metadata", type=Path, required=True, help="folder with JUMP's well.csv.gz")
    parser.add_argument("--folder", type=Path, help="where stand-ins are made (some GB); default: a temporary one")
    parser.add_argument("--plates", type=int, default=262)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    parser.add_argument("--one", choices=STAGES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(run_stage(arguments.one, arguments.folder, arguments.metadata, arguments.plates)))
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        print("| stage | wall, s | processor, s | peak memory, GB | read, GB | written, GB | |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | --- |", flush=True)
        for stage in arguments.stages:
            command = [sys.executable, __file__, "--one", stage, "--folder", folder, "--plates", str(arguments.plates)]
            command += ["--metadata", str(arguments.metadata)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ})
            row = json.loads(done.stdout.splitlines()[-1])
            facts = ", ".join(f"{value:,} {name}" for name, value in row["facts"].items())
            numbers = [f"{row[name]:.1f}" for name in ("wall_s", "cpu_s", "peak_gb", "read_gb", "written_gb")]
            print(f"| {stage} | {' | '.join(numbers)} | {facts} |", flush=True)


if __name__ == "__main__":
    main()
