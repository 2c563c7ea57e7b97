"""Speed of pretraining's loader with a warm and a cold page cache, against the consumption of a training step.

    python bench/loader.py [--quick] [--folder FOLDER] [--consumes TILES_PER_SECOND] [--out FILE.json]

Writes synthetic plates to FOLDER (by default a temporary one; choose the disk to measure). `--consumes` is
the rate of one process's training step; without it, a ViT-L/14 step on this machine's GPU or, without one, the demo's
model on the CPU is timed. Cold means that the kernel was advised to drop the files (POSIX_FADV_DONTNEED), which
empties the page cache but not the caches of disks and file servers.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from pretrain import machine, step_rate, synthetic_source, write_plate

from campfire.core.random import keyed_generator
from campfire.training.epoch_plan import plan_epoch
from campfire.training.loader import Loader
from campfire.training.source import Source


def forget(source: Source) -> None:
    """Drop the files from the page cache; pages in use stay, so call it on newly opened maps."""
    for plate in source.groups[0].plates:
        handle = os.open(plate.path, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def epoch_rate(source: Source, batch: int, threads: int, epoch: int, window: int) -> tuple[float, float]:
    """Tiles per second of one epoch of batches, and the seconds until the first."""
    loader = Loader(source, batch, seed=1, window_tiles=window, threads=threads)
    plan = plan_epoch([g.tiles for g in source.groups], batch, 1, keyed_generator(1, epoch))
    began, tiles, first = time.monotonic(), 0, 0.0
    for made in loader.epoch(plan, epoch):
        first = first or time.monotonic() - began
        tiles += len(made.images)
    return tiles / (time.monotonic() - began), first


def random_rate(source: Source, batch: int, tiles: int) -> float:
    """Tiles per second of single-tile random reads, as in a plain data set."""
    rng = np.random.default_rng(0)
    plates = source.groups[0].plates
    began = time.monotonic()
    for _ in range(max(1, tiles // batch)):
        picks = [(plates[rng.integers(len(plates))], 0) for _ in range(batch)]
        np.stack([p.images[rng.integers(len(p.rows))][p.positions] for p, _ in picks])
    return max(1, tiles // batch) * batch / (time.monotonic() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small files, one repeat")
    parser.add_argument("--folder", type=Path, help="where the synthetic plates are written")
    parser.add_argument("--consumes", type=float, help="tiles per second that one training process uses")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    plates, tiles, repeats = (2, 1200, 1) if arguments.quick else (4, 12_000, 3)
    consumes = arguments.consumes or step_rate(quick=arguments.quick)
    results = []
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for stored in (3, 5):
            paths = [write_plate(Path(folder) / f"{stored}-{i}.npy", tiles, stored, i) for i in range(plates)]
            epoch_rate(synthetic_source(paths, 3), 400, arguments.threads, 0, 16_384)  # threads and allocator settle
            for state in ("warm", "cold"):
                rates, firsts = [], []
                for repeat in range(repeats):
                    source = synthetic_source(paths, 3)
                    if state == "cold":
                        forget(source)
                    else:
                        for path in paths:
                            path.read_bytes()
                    rate, first = epoch_rate(source, 400, arguments.threads, repeat, 16_384)
                    rates.append(rate)
                    firsts.append(first)
                del source
                source = synthetic_source(paths, 3)
                if state == "cold":
                    forget(source)
                single = random_rate(source, 400, min(2000, plates * tiles))
                results.append(
                    {
                        "cache": state, "stored_channels": stored, "tiles_per_s": float(np.median(rates)),
                        "first_batch_s": float(np.median(firsts)), "single_reads_per_s": single,
                        "over_step": float(np.median(rates)) / consumes,
                    }
                )  # fmt: skip
                print(
                    f"{state}, {stored} channels stored, 3 used: {results[-1]['tiles_per_s']:,.0f} tiles/s "
                    f"({results[-1]['over_step']:.1f} x the step's {consumes:,.0f}), first batch after "
                    f"{results[-1]['first_batch_s']:.2f} s; single random reads {single:,.0f} tiles/s"
                )
            for path in paths:
                path.unlink()
    if arguments.out:
        report = {"machine": machine(), "consumes": consumes, "results": results}
        arguments.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
