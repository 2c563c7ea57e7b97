"""The paper's run at its true size with stand-ins: what planning, opening, sampling, reading and probing cost.

    python tools/true_size.py --metadata ../shared/data/metadata [--folder FOLDER] [--plates 262] [--stages open read]

From the real split it makes, for each plate, a sparse tile array of true size (no blocks on disk), its real-size
index, and its tables of nuclei, sites and pictures; then embeddings of the sampled cells (1,024 dimensions). Each stage
runs in processes of its own, whose wall time, processor time, peak memory (of all together), and bytes read and written
are printed as a row of docs/scale.md. With --plates 4 it is a rehearsal of seconds.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.core.columns import CELL_KEYS, PLATE, PLATE_TYPE
from campfire.core.files import read_table, write_table
from campfire.core.random import keyed_generator
from campfire.encoders import embedding_table
from campfire.evaluation.options import SampleOptions
from campfire.evaluation.sampling import draw_sample
from campfire.images.tiles import open_plate
from campfire.report.page.data import PlateFiles, read_roles
from campfire.report.page.write import write_page
from campfire.report.tables.options import TableOptions
from campfire.screen.metadata import CONTROLS
from campfire.screen.split import evaluation_plates
from stand_ins import CHANNELS, make

if TYPE_CHECKING:
    from campfire.training.opened import Opened

STAGES = (
    "make",
    "sample",
    "one process",
    "node",
    "checksums",
    "checkpoint",
    "embeddings",
    "probe input",
    "layouts",
    "page",
)
PASSES, GLOBAL_BATCH, WORLD = 40, 6400, 16
CHECKED = 20_000
DIMENSIONS = 1024


def sample(folder: Path) -> dict[str, Any]:
    """The sample of cells for all protocols."""
    wells = read_table(folder / "wells.parquet")
    nuclei = [path for plate in evaluation_plates(wells) if (path := folder / f"nuclei/{plate}.parquet").is_file()]
    cells, _ = draw_sample(sorted(nuclei), wells, SampleOptions(), CONTROLS)
    write_table(cells, folder / "cells.parquet")
    return {"plates": len(nuclei), "cells": len(cells[CELL_KEYS].drop_duplicates())}


def training_tiles(folder: Path) -> "Opened":
    """The tiles of the paper's run, opened as its trainer does."""
    from campfire.training.opened import open_tiles
    from campfire.training.options import PretrainOptions

    wells = read_table(folder / "wells.parquet")
    ood = set(wells.loc[wells["split"].str.startswith("test_ood_plate"), PLATE])
    paths = [path for path in sorted((folder / "tiles").glob("*.npy")) if path.stem not in ood]
    kinds = sorted(wells[PLATE_TYPE].unique())
    return open_tiles(PretrainOptions(channels=CHANNELS[:3], plate_types=kinds), paths, wells)


def read_batches(opened: "Opened", rank: int, window: int) -> dict[str, Any]:
    """Read batches of 400 as one process of 16 does. window: tiles of a window; a process holds two."""
    from campfire.training.epoch_plan import plan_epoch
    from campfire.training.loader import Loader

    source = opened.train
    plan = plan_epoch([group.tiles for group in source.groups], GLOBAL_BATCH, WORLD, keyed_generator(10, 0))
    seen, began = [], time.monotonic()
    for batch in Loader(source, GLOBAL_BATCH // WORLD, rank=rank, seed=10, window_tiles=window).epoch(plan, 0):
        seen.append(source.mixing(batch.plates, batch.rows))
        if len(seen) == PASSES:
            break
    rate = round(PASSES * GLOBAL_BATCH / WORLD / (time.monotonic() - began))
    return {"tiles/s a process": rate, "wells a pass": float(np.median([wells for _, wells in seen]))}


def one_process(folder: Path, window: int) -> dict[str, Any]:
    """A process of pretraining on its own: its tiles opened, 40 passes read."""
    opened = training_tiles(folder)
    return {"plates": len(set(opened.train.plates)), "tiles": opened.train.tiles, **read_batches(opened, 0, window)}


def one_rank(folder: Path, window: int) -> dict[str, Any]:
    """A process of pretraining among others of its node."""
    from campfire.training.opened import once_per_node
    from campfire.training.processes import join

    with join("cpu") as processes:
        began = time.monotonic()
        opened = once_per_node(processes, lambda: training_tiles(folder))
        took = time.monotonic() - began
        found = {"s to open": round(took, 1), **read_batches(opened, processes.rank, window)}
        processes.wait()
        return found


def node(folder: Path, ranks: int, window: int) -> dict[str, Any]:
    """The processes of a node: what the first says, and the memory of all at once (shared pages counted once)."""
    from campfire.training.launcher import start

    said: list[str] = []
    peak, ended = [0.0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.5):
            peak[0] = max(peak[0], sum(proportional_bytes(child) for child in children()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    command = [sys.executable, __file__, "--one", "rank", "--folder", str(folder), "--metadata", "unused"]
    command += ["--window", str(window)]
    try:
        code = start(command, ranks, tell=said.append)
    finally:
        ended.set()
        watcher.join()
    rows = [json.loads(line) for line in said if line.startswith("{")]
    if code or len(rows) != ranks:
        raise SystemExit("\n".join(said))
    fetched = {"_peak_gb": peak[0] / 1e9, "_read_gb": sum(row["read_gb"] for row in rows)}
    largest = round(max(row["peak_gb"] for row in rows), 1)
    return {"processes": ranks, **rows[0]["facts"], "GB in the largest of them": largest, **fetched}


def children() -> list[int]:
    """Process ids of this process's children."""
    return [int(word) for word in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def proportional_bytes(process: int) -> float:
    """Memory of a process, with pages that several share divided among them; 0 when it has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0.0)


def checksums(folder: Path) -> dict[str, Any]:
    """The comparison of tiles with their checksums, as a run makes it once for each tile."""
    path = min((folder / "tiles").glob("*.npy"))
    plate = open_plate(path, verify="none")
    rows = range(min(CHECKED, len(plate)))
    began = time.process_time()
    plate.check(rows)
    took = time.process_time() - began
    tile_bytes = plate.images.nbytes / len(plate)
    total = sum(path.stat().st_size for path in (folder / "tiles").glob("*.npy"))
    return {"tiles": len(rows), "core hours for all tiles": round(took / (len(rows) * tile_bytes) * total / 3600, 1)}


def checkpoint(folder: Path) -> dict[str, Any]:
    """A checkpoint of the paper's model, weights and two moments, saved as the trainer does."""
    import torch

    from campfire.model import ModelConfig, build_model
    from campfire.model.checkpoints import StateFolder

    weights = build_model(ModelConfig(size="large", patch_size=14, mask_ratio=0.8), seed=10).state_dict()
    parts = ("first", "second")
    tensors = {f"{part}.{name}": torch.zeros_like(value) for part in parts for name, value in weights.items()}
    state, began = StateFolder(folder / "state", "true_size"), time.monotonic()
    path = state.save(1, {f"model.{name}": value for name, value in weights.items()} | tensors, {})
    return {"GB": round(path.stat().st_size / 1e9, 2), "s to save": round(time.monotonic() - began, 1)}


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


def layouts(folder: Path) -> dict[str, Any]:
    """The layouts of all plates, drawn one after the other as the rule's one job does."""
    from campfire.report.figures import plate_layout
    from campfire.report.figures.style import save
    from campfire.report.tables.inputs import Settings

    tables, settings = sorted((folder / "quality").glob("*.parquet")), Settings(TableOptions())
    for table in tables:
        drawn = plate_layout.make({"quality": [str(table)]}, settings)
        save(drawn.figure, drawn.data, folder / f"layouts/{table.stem}")
    return {"plates": len(tables)}


def page(folder: Path) -> dict[str, Any]:
    """The page of all plates, by its real writer."""
    wells = read_table(folder / "wells.parquet")
    kinds = wells.drop_duplicates(PLATE).set_index(PLATE)[PLATE_TYPE]
    names = sorted(path.stem for path in (folder / "nuclei").glob("*.parquet"))
    plates = []
    for name in names:
        facts = {"plate": name, "batch": "CP_26_all_Phenix1", "type": kinds[name], "role": "train"}
        plates.append(
            PlateFiles(facts, *(str(folder / f"{k}/{name}.parquet") for k in ("quality", "nuclei", "pictures")))
        )
    index = folder / "page/index.html"
    roles = read_roles(folder / "wells.parquet", None)
    roles = roles[roles[PLATE].isin(names)]
    write_page(index, plates, roles, [], TableOptions(), "Run", lambda plate: folder / f"page/plates/{plate}.js")
    details = [path.stat().st_size for path in (folder / "page/plates").iterdir()]
    return {"plates": len(plates), "MB index": round(index.stat().st_size / 1e6, 1)} | {
        "MB largest plate": round(max(details) / 1e6, 2), "MB all plates": round(sum(details) / 1e6)
    }  # fmt: skip


def counters() -> dict[str, float]:
    """Bytes that this process read and wrote so far, and its processor time."""
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return {"read": float(lines["rchar"]), "written": float(lines["wchar"]), "cpu": time.process_time()}


def run_stage(stage: str, folder: Path, metadata: Path, plates: int, ranks: int, window: int) -> dict[str, Any]:
    """One stage in this process: its facts and what it took."""
    work: dict[str, Callable[[], dict[str, Any]]] = {
        "make": lambda: make(folder, metadata, plates),
        "sample": lambda: sample(folder),
        "one process": lambda: one_process(folder, window),
        "rank": lambda: one_rank(folder, window),
        "node": lambda: node(folder, ranks, window),
        "checksums": lambda: checksums(folder),
        "checkpoint": lambda: checkpoint(folder),
        "embeddings": lambda: embeddings(folder),
        "probe input": lambda: probe_input(folder),
        "layouts": lambda: layouts(folder),
        "page": lambda: page(folder),
    }
    before, began = counters(), time.monotonic()
    facts = work[stage]()
    after = counters()
    others = resource.getrusage(resource.RUSAGE_CHILDREN)
    own_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return {
        "stage": stage,
        "wall_s": time.monotonic() - began,
        "cpu_s": after["cpu"] - before["cpu"] + others.ru_utime + others.ru_stime,
        "peak_gb": facts.pop("_peak_gb", own_peak),
        "read_gb": facts.pop("_read_gb", (after["read"] - before["read"]) / 1e9),
        "written_gb": (after["written"] - before["written"]) / 1e9,
        "facts": facts,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--metadata", type=Path, required=True, help="folder with JUMP's well.csv.gz")
    parser.add_argument("--folder", type=Path, help="where stand-ins are made (some GB); default: a temporary one")
    parser.add_argument("--plates", type=int, default=262)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    parser.add_argument("--ranks", type=int, default=2, help="processes of the node; each holds some 3.5 GB of tiles")
    parser.add_argument("--window", type=int, default=16_384, help="tiles of a window; a process holds two (16,384)")
    parser.add_argument("--one", choices=(*STAGES, "rank"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        place = (arguments.folder, arguments.metadata, arguments.plates, arguments.ranks, arguments.window)
        print(json.dumps(run_stage(arguments.one, *place)))
        return
    if arguments.folder:
        arguments.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        print("| stage | wall, s | processor, s | peak memory, GB | read, GB | written, GB | files | |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |", flush=True)
        files = 0
        for stage in arguments.stages:
            command = [sys.executable, __file__, "--one", stage, "--folder", folder, "--plates", str(arguments.plates)]
            command += ["--metadata", str(arguments.metadata), "--ranks", str(arguments.ranks)]
            command += ["--window", str(arguments.window)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ})
            row = json.loads(done.stdout.splitlines()[-1])
            facts = ", ".join(f"{value:,} {name}" for name, value in row["facts"].items())
            numbers = [f"{row[name]:.1f}" for name in ("wall_s", "cpu_s", "peak_gb", "read_gb", "written_gb")]
            before, files = files, sum(path.is_file() for path in Path(folder).rglob("*"))
            print(f"| {stage} | {' | '.join(numbers)} | {files - before:,} | {facts} |", flush=True)


if __name__ == "__main__":
    main()
