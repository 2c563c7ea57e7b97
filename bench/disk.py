"""Does this disk feed so many GPUs? Reading rates of pretraining's loader and of sampled tiles, cold, on a folder.

    python bench/disk.py FOLDER [--gpus 8] [--gb 4] [--threads 8] [--shards 1024 64] [--latency-ms 0 2 10] [--json FILE]

Writes tiles of three channels (75 kB each) to FOLDER, drops them from the page cache (a file server's own cache stays:
choose --gb larger than that) and reads them as pretraining does, through a memory map and at their positions.
--latency-ms adds a pause to each positioned read, as a network file system would; page faults of a map
cannot be delayed like that.
Then single tiles are read at random, as embedding of a sample does, with the bytes that really came from the disk
(/proc/self/io). A GPU needs 2,926 tiles/s (an H200, measured by bench/pretrain.py) or 565 (the paper's A100).
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from campfire.core.random import keyed_generator
from campfire.images.tiles.positioned import TileFile
from campfire.training.epoch_plan import plan_epoch
from campfire.training.loader import Loader
from campfire.training.source import Group, PlateRows, Source

CHANNELS, SIZE = ("DNA", "AGP", "Mito"), 112
TILE = len(CHANNELS) * SIZE * SIZE * 2
NEEDS = {"H200": 2926, "A100": 565}
"""Tiles that a GPU trains on per second."""


def write_plates(folder: Path, gigabytes: float, plates: int = 4) -> list[Path]:
    """Tile arrays of random counts, so that no file system compresses them."""
    tiles, rng, paths = int(gigabytes * 1e9 / TILE / plates), np.random.default_rng(0), []
    for plate in range(plates):
        path = folder / f"{plate}.npy"
        array = np.lib.format.open_memmap(path, "w+", np.uint16, (tiles, len(CHANNELS), SIZE, SIZE))
        for start in range(0, tiles, 512):
            part = array[start : start + 512]
            part[:] = rng.integers(0, 65536, part.shape, dtype=np.uint16)
        array.flush()
        del array
        paths.append(path)
    return paths


def forget(paths: list[Path]) -> None:
    """Drop files from the page cache."""
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def opened(paths: list[Path], reading: str) -> Source:
    """The files as a source of training tiles."""
    plates = []
    for path in paths:
        images = np.load(path, mmap_mode="r")
        file = TileFile(images) if reading == "positioned" else None
        plates.append(PlateRows(path, path.stem, images, np.arange(len(CHANNELS)), np.arange(len(images)), None, file))
    return Source((Group(CHANNELS, tuple(plates)),))


def from_disk() -> int:
    """Bytes that this process has read from disks so far."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes"))


def page_tables() -> float:
    """Megabytes of this process's page tables."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("VmPTE"))


@contextmanager
def delayed(milliseconds: float) -> Iterator[None]:
    """Pause before each positioned read."""
    read = os.preadv

    def slow(*arguments: Any) -> int:
        time.sleep(milliseconds / 1000)
        return read(*arguments)

    os.preadv = slow if milliseconds else read
    try:
        yield
    finally:
        os.preadv = read


def epoch(paths: list[Path], reading: str, shard: int, threads: int, latency: float) -> dict[str, Any]:
    """One cold epoch of the loader."""
    forget(paths)
    source = opened(paths, reading)
    loader = Loader(source, 400, seed=1, shard_tiles=shard, threads=threads)
    plan = plan_epoch([source.tiles], 400, 1, keyed_generator(1, 0))
    before, tables, began, busy = from_disk(), page_tables(), time.monotonic(), time.process_time()
    with delayed(latency):
        tiles = sum(len(batch.images) for batch in loader.epoch(plan, 0))
    seconds = time.monotonic() - began
    return {
        "what": "epoch", "reading": reading, "shard_tiles": shard, "latency_ms": latency,
        "tiles_per_s": tiles / seconds, "mb_per_s": tiles * TILE / seconds / 1e6,
        "cpu_s_per_gb": (time.process_time() - busy) / (tiles * TILE / 1e9),
        "read_over_used": (from_disk() - before) / (tiles * TILE), "page_tables_mb": page_tables() - tables,
    }  # fmt: skip


def sampled(paths: list[Path], reading: str, latency: float, share: float = 0.02) -> dict[str, Any]:
    """A random part of the tiles, cold, in the order of the file."""
    forget(paths)
    source, rng = opened(paths, reading), np.random.default_rng(1)
    before, began, tiles = from_disk(), time.monotonic(), 0
    with delayed(latency):
        for plate in source.groups[0].plates:
            rows = np.sort(rng.permutation(len(plate.rows))[: max(1, int(share * len(plate.rows)))])
            for start in range(0, len(rows), 256):
                part = rows[start : start + 256]
                if plate.file is None:
                    np.array(plate.images[part])
                else:
                    plate.file.read(part, np.empty((len(part), *plate.images.shape[1:]), plate.images.dtype))
                tiles += len(part)
    seconds = time.monotonic() - began
    return {
        "what": "sampled", "reading": reading, "latency_ms": latency, "tiles_per_s": tiles / seconds,
        "mb_per_s": tiles * TILE / seconds / 1e6, "read_over_used": (from_disk() - before) / (tiles * TILE),
    }  # fmt: skip


def show(row: dict[str, Any]) -> str:
    """A row in words."""
    shard = f", shards of {row['shard_tiles']}" if "shard_tiles" in row else ""
    text = (
        f"{row['what']}, {row['reading']}{shard}, +{row['latency_ms']:g} ms: {row['tiles_per_s']:,.0f} tiles/s, "
        f"{row['mb_per_s']:,.0f} MB/s, read {row['read_over_used']:.2f} times what was used"
    )
    return text + (f", page tables +{row['page_tables_mb']:.1f} MB" if "page_tables_mb" in row else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a folder on the disk in question; a temporary one is made in it")
    parser.add_argument("--gpus", type=int, default=8, help="GPUs that train at once and read this disk")
    parser.add_argument("--gb", type=float, default=4.0)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--shards", type=int, nargs="+", default=[1024, 64])
    parser.add_argument("--latency-ms", type=float, nargs="+", default=[0.0])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results: list[dict[str, Any]] = []

    def add(row: dict[str, Any]) -> None:
        results.append(row)
        print(show(row), flush=True)

    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        paths = write_plates(Path(folder), arguments.gb)
        for shard in arguments.shards:
            add(epoch(paths, "map", shard, arguments.threads, 0))
            for pause in arguments.latency_ms:
                add(epoch(paths, "positioned", shard, arguments.threads, pause))
        add(sampled(paths, "map", 0))
        for pause in arguments.latency_ms:
            add(sampled(paths, "positioned", pause))
    best = max(row["tiles_per_s"] for row in results if row["what"] == "epoch" and not row["latency_ms"])
    for gpu, rate in NEEDS.items():
        verdict = "feeds" if best >= arguments.gpus * rate else "does not feed"
        print(
            f"{verdict} {arguments.gpus} {gpu} ({arguments.gpus * rate:,} tiles/s, "
            f"{arguments.gpus * rate * TILE / 1e6:,.0f} MB/s): {best / rate:.1f} of them at {best:,.0f} tiles/s"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
