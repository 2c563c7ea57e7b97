"""Speed and memory of the tile stage: cutting against bare decoding, reading against HDF5 and zarr, peak memory.

    python bench/tiles.py [--quick] [--field FOLDER] [--json FILE]

FOLDER holds the five TIFFs of one real field (names sorted: as many channels as files); its bytes are repeated under
many site names. Without it a field of the same size is simulated. All reads are warm: the page cache is not dropped.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import campfire
from campfire.core.columns import NUCLEUS, PLATE, SITE, WELL
from campfire.images.sites import read_image, read_sites
from campfire.images.tiles import open_plate, write_plate
from campfire.runs.provenance import git_commit, hardware

Array = np.ndarray[Any, Any]

CHANNELS = ["DNA", "AGP", "Mito", "ER", "RNA"]
SHAPE = (1080, 1080)


def machine() -> str:
    """Processor, cores, Python and commit, to state with every figure."""
    facts, commit = hardware(), git_commit(Path(__file__).parent)
    words = f"{facts['processor']}, {facts['cores']} cores, Python {platform.python_version()}"
    return f"{words}, commit {commit[:10]}{'+changes' if commit.endswith('+changes') else ''}"


def simulated_field(folder: Path) -> list[Path]:
    """Five LZW TIFFs with bright blobs over shot noise; about as many bytes as a real field."""
    import tifffile
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(0)
    paths = []
    for channel in CHANNELS:
        spots = np.zeros(SHAPE, np.float32)
        spots[tuple(rng.integers(0, 1080, (2, 150)))] = 1
        signal = gaussian_filter(spots, 12) / 1e-3 * 6000 + gaussian_filter(rng.standard_normal(SHAPE), 60) * 2000
        paths.append(folder / f"{channel}.tiff")
        tifffile.imwrite(paths[-1], rng.poisson(np.clip(signal + 600, 1, 6e4)).astype(np.uint16), compression="lzw")
    return paths


def make_plate(folder: Path, files: list[Path], n_sites: int, per_site: int) -> pd.DataFrame:
    """An image folder whose sites all link to `files`, and a nuclei table with `per_site` complete tiles."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    rows, nuclei = [], []
    height, width = read_image(files[0]).shape
    for n in range(n_sites):
        well, site = f"{chr(65 + n // 9 // 24 % 16)}{n // 9 % 24 + 1:02d}", str(n % 9 + 1)
        row = {PLATE: "bench", WELL: well, SITE: site}
        for channel, file in zip(CHANNELS, files, strict=False):
            name = f"{well}_{site}_{channel}.tiff"
            (folder / name).symlink_to(file.resolve())
            row[f"path_{channel}"] = name
        rows.append(row)
        table = pd.DataFrame({PLATE: "bench", WELL: well, SITE: site, NUCLEUS: np.arange(1, per_site + 1)})
        table["y"] = rng.uniform(57, height - 57, per_site).astype(np.float32)
        table["x"] = rng.uniform(57, width - 57, per_site).astype(np.float32)
        nuclei.append(table.assign(kept=True))
    pd.DataFrame(rows).to_parquet(folder / "sites.parquet")
    return pd.concat(nuclei, ignore_index=True)


def timed(action: Callable[[], Any]) -> tuple[float, float]:
    """Wall and processor seconds of `action`."""
    wall, processor = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - wall, time.process_time() - processor


def bench_cutting(root: Path, files: list[Path], n_sites: int, per_site: int) -> dict[str, float]:
    """Cutting and storing a plate against decoding its TIFFs, and against also writing as many zero bytes."""
    folder = root / f"images_{per_site}"
    nuclei = make_plate(folder, files, n_sites, per_site)
    channels = CHANNELS[: len(files)]
    table = read_sites(folder)

    def decode() -> None:
        for row in table.to_dict("records"):
            for channel in channels:
                read_image(folder / row[f"path_{channel}"])

    def write() -> None:
        tiles = np.zeros((per_site, len(channels), 112, 112), np.uint16)
        with open(root / "bare.bin", "wb", buffering=0) as handle:
            for _ in range(n_sites):
                handle.write(tiles.data)
        (root / "bare.bin").unlink()

    write()  # warm-up: fresh memory for the page cache must not count in the first measurement
    decode_wall, decode_cpu = timed(decode)
    _, write_cpu = timed(write)
    wall, cpu = timed(lambda: write_plate(root / f"tiles_{per_site}.npy", folder, nuclei, channels))
    return {
        "tiles_per_site": per_site,
        "decode_sites_per_s": n_sites / decode_wall,
        "cut_sites_per_s": n_sites / wall,
        "cut_tiles_per_s": n_sites * per_site / wall,
        "wall_ratio": decode_wall / wall,
        "per_core_ratio": decode_cpu / cpu,
        "per_core_ratio_with_writing": (decode_cpu + write_cpu) / cpu,
    }


def bench_reading(root: Path, n_tiles: int, n_random: int, window: int) -> list[dict[str, Any]]:
    """Tiles/s of random single reads and of shuffled windows, for this store and two others with the same tiles."""
    import h5py
    import zarr

    tiles = open_plate(root / "read.npy").images[:n_tiles]
    with h5py.File(root / "tiles.h5", "w") as file:
        file.create_dataset("tiles", data=tiles, chunks=(1, *tiles.shape[1:]))
    shape = tiles.shape
    store = zarr.create_array(
        str(root / "tiles.zarr"), shape=shape, dtype="uint16", chunks=(1, *shape[1:]), shards=(256, *shape[1:])
    )
    for start in range(0, n_tiles, 256):
        store[start : start + 256] = tiles[start : start + 256]
    mapped, hdf5 = open_plate(root / "read.npy", verify="none").images, h5py.File(root / "tiles.h5", "r")["tiles"]
    sharded = zarr.open_array(str(root / "tiles.zarr"), mode="r")
    # Each store's fastest way to read tiles into allocated memory, such as a loader's batch: allocating memory
    # for every tile would take longer than reading it.
    readers: dict[str, Callable[[Array, Any], None]] = {
        "campfire (.npy, memory-mapped)": lambda out, rows: np.copyto(out, mapped[rows]),
        "HDF5, one-tile chunks": lambda out, rows: hdf5.read_direct(out, rows),
        "zarr, one-tile chunks in shards of 256": lambda out, rows: np.copyto(out, sharded[rows]),
    }
    results = []
    batch = np.ones((256, *shape[1:]), tiles.dtype)
    block = np.ones((window, *shape[1:]), tiles.dtype)
    for name, read in readers.items():
        rng = np.random.default_rng(2)
        rows = rng.integers(0, n_tiles, n_random if "zarr" not in name else max(50, n_random // 10))
        starts = rng.permutation(np.arange(0, n_tiles - window + 1, window))

        def single(read: Any = read, rows: Any = rows) -> None:
            for n, row in enumerate(rows.tolist()):
                read(batch[n % 256], row)

        def windows(name: str = name, read: Any = read, starts: Any = starts, rng: Any = rng) -> None:
            for start in starts.tolist():
                if name.startswith("campfire"):  # a map is memory: its tiles need no copy of the window first
                    tiles = mapped[start : start + window]
                else:
                    read(block, slice(start, start + window))
                    tiles = block
                for n, row in enumerate(rng.permutation(window).tolist()):
                    batch[n % 256] = tiles[row]

        single_wall, single_cpu = timed(single)
        window_wall, window_cpu = timed(windows)
        results.append(
            {
                "store": name,
                "random_tiles_per_s": len(rows) / single_wall,
                "random_tiles_per_cpu_s": len(rows) / single_cpu,
                "window_tiles_per_s": len(starts) * window / window_wall,
                "window_tiles_per_cpu_s": len(starts) * window / window_cpu,
            }
        )
    return results


def peak_memory(root: Path, files: list[Path], n_sites: int) -> float:
    """Peak resident memory, in MiB, of a fresh process that cuts a plate of `n_sites`."""
    folder = root / f"memory_{n_sites}"
    make_plate(folder, files, n_sites, 60).to_parquet(folder / "nuclei.parquet")
    command = [sys.executable, __file__, "--measure", str(folder), "--channels", str(len(files))]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def measure(folder: Path, n_channels: int) -> None:
    write_plate(folder / "t.npy", folder, pd.read_parquet(folder / "nuclei.parquet"), CHANNELS[:n_channels])
    # Linux counts in KiB, macOS in bytes.
    unit = 1024 if sys.platform == "linux" else 1024**2
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, only to check that the script runs")
    parser.add_argument("--field", type=Path, help="folder with the TIFFs of one real field")
    parser.add_argument("--json", type=Path, help="also write the results here")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--channels", type=int, default=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(arguments.measure, arguments.channels)
        return
    n_sites, n_tiles, n_random, window, memory = (
        (8, 256, 200, 64, (4, 16)) if arguments.quick else (120, 6000, 6000, 512, (50, 500))
    )
    with tempfile.TemporaryDirectory(prefix="bench_tiles_") as folder:
        root = Path(folder)
        files = sorted(arguments.field.glob("*.tif*"))[:5] if arguments.field else simulated_field(root)
        results: dict[str, Any] = {
            "machine": machine(),
            "software": f"campfire {campfire.__version__}",
            "field": str(arguments.field or "simulated"),
            "quick": arguments.quick,
        }
        print(f"{results['machine']}; field: {results['field']}; {n_sites} sites x {len(files)} channels")
        results["cutting"] = [bench_cutting(root, files, n_sites, per_site) for per_site in (60, 150)]
        for row in results["cutting"]:
            print(
                f"cutting, {row['tiles_per_site']:3d} tiles/site: {row['cut_sites_per_s']:6.1f} sites/s, "
                f"{row['cut_tiles_per_s']:7.0f} tiles/s; bare decoding {row['decode_sites_per_s']:6.1f} sites/s; "
                f"ratio {row['per_core_ratio']:.2f} per core (goal 0.8), {row['wall_ratio']:.2f} by the clock; against "
                f"decoding and writing the same bytes {row['per_core_ratio_with_writing']:.2f} per core"
            )
        for path in root.glob("tiles_*"):
            path.unlink()
        n_read_sites = -(-n_tiles // 60)
        nuclei = make_plate(root / "images_read", files, n_read_sites, 60)
        write_plate(root / "read.npy", root / "images_read", nuclei, CHANNELS[: len(files)])
        results["reading"] = bench_reading(root, n_tiles, n_random, window)
        ours = results["reading"][0]
        for row in results["reading"]:
            for kind in ("random", "window"):
                for unit in ("s", "cpu_s"):
                    name = f"{kind}_tiles_per_{unit}"
                    row[f"{kind}_ratio_per_{unit}"] = ours[name] / row[name]
            print(
                f"reading, {row['store']:40s}: random {row['random_tiles_per_s']:8.0f} tiles/s (ours is "
                f"{row['random_ratio_per_s']:.1f}x by the clock, {row['random_ratio_per_cpu_s']:.1f}x by processor "
                f"time), shuffled windows {row['window_tiles_per_s']:8.0f} ({row['window_ratio_per_s']:.1f}x, "
                f"{row['window_ratio_per_cpu_s']:.1f}x)"
            )
        for path in (root / "read.npy", root / "tiles.h5"):
            path.unlink()
        results["peak_mib"] = {str(n): peak_memory(root, files, n) for n in memory}
        low, high = (results["peak_mib"][str(n)] for n in memory)
        print(f"peak memory: {low:.0f} MiB at {memory[0]} sites, {high:.0f} MiB at {memory[1]}: {high / low:.2f}x")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
