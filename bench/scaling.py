"""Whether the rate of a plate of many sites is constant from the first site to the last: S3 server to tiles.

    python bench/scaling.py [--quick] [--sites 500] [--field FOLDER] [--json FILE]

The five images of one field (FOLDER: names sorted as DNA, AGP, Mito, ER, RNA; by default the real JUMP field where the
reference data lies beside the checkout, else a simulated one) are served under the names of many sites, with another
count in their first pixel for each site, because a download refuses two of the same picture. Download,
nuclei and tiles run as in the workflow; each reports its sites/s in every fifth of the plate, by the clock and by the
processor time of this process (which other work disturbs less; nuclei run in other processes), its peak memory so far,
and whether cells were lost, duplicated or changed, and files left behind.
"""

import argparse
import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import tifffile
from tiles import CHANNELS, machine, simulated_field

from campfire.core.columns import CELL_KEYS, SITE, WELL
from campfire.images.gallery import S3Options, fetch_plate, plan_download
from campfire.images.gallery.connect import connect
from campfire.images.nuclei import segment_plate
from campfire.images.reader import read_image
from campfire.images.tiles import open_plate, write_plate

BUCKET, SOURCE, BATCH, PLATE = "scaling", "source_99", "BATCH", "PLATE"
REAL = Path(__file__).parents[2] / "shared/data/images/s3_mirror"
REAL_NUMBERS = {"DNA": 5, "AGP": 2, "Mito": 1, "ER": 4, "RNA": 3}
PIXEL_SIZE_UM = 0.598
T = TypeVar("T")


def field_files(folder: Path | None, root: Path) -> list[Path]:
    """The five TIFFs, in the order of CHANNELS."""
    if folder:
        return sorted(folder.glob("*.tif*"))[:5]
    if REAL.is_dir():
        return [next(REAL.rglob(f"*ch{REAL_NUMBERS[channel]}sk1fk1fl1.tiff")) for channel in CHANNELS]
    root.mkdir(parents=True)
    return simulated_field(root)


def field_parser(description: str | None, quick: str) -> argparse.ArgumentParser:
    """Arguments of a bench on one field; `quick` says what is less with `--quick`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{quick}, only to check that the script runs")
    parser.add_argument("--field", type=Path, help="folder with the five TIFFs of one real field")
    parser.add_argument("--json", type=Path, help="also write the results here")
    return parser


def write_json(path: Path | None, **facts: Any) -> None:
    """Write the facts of a bench and the machine to `path`, if there is one."""
    if path:
        path.write_text(json.dumps({"machine": machine(), **facts}, indent=2) + "\n")


def make_bucket(root: Path, files: list[Path], n_sites: int) -> list[str]:
    """Make a bucket whose sites differ from `files` in one pixel, with its load_data; return its wells."""
    pictures = [read_image(file) for file in files]
    home = f"cpg0016-jump/{SOURCE}"
    folder = root / BUCKET / f"{home}/images/{BATCH}/images/{PLATE}__2022-Measurement 1/Images"
    folder.mkdir(parents=True)
    rows = []
    for n in range(n_sites):
        well, site = f"{chr(65 + n // 9 // 24)}{n // 9 % 24 + 1:02d}", n % 9 + 1
        row = {"Metadata_Plate": PLATE, WELL: well, SITE: str(site)}
        for number, (channel, picture) in enumerate(zip(CHANNELS, pictures, strict=True), 1):
            name = f"{well}f{site:02d}p01-ch{number}sk1fk1fl1.tiff"
            picture[0, 0] = n
            tifffile.imwrite(folder / name, picture, compression="lzw", rowsperstrip=len(picture))
            row[f"URL_Orig{channel}"] = f"s3://{BUCKET}/{(folder / name).relative_to(root / BUCKET)}"
        rows.append(row)
    table = root / BUCKET / f"{home}/workspace/load_data_csv/{BATCH}/{PLATE}/load_data.csv"
    table.parent.mkdir(parents=True)
    pd.DataFrame(rows).to_csv(table, index=False)
    return sorted({row[WELL] for row in rows})


class Progress(logging.Handler):
    """The number of sites in the library's log lines on progress."""

    done = 0

    def emit(self, record: logging.LogRecord) -> None:
        words = record.getMessage().split()
        if "sites," in words and words[2] == "of":
            self.done = int(words[1])


def watched(name: str, n_sites: int, done: Callable[[], float], work: Callable[[], T]) -> tuple[T, dict[str, Any]]:
    """The result of `work` and its speed in each fifth; `done` returns the number of sites finished so far."""
    times, cpus, counts = [0.0], [0.0], [0.0]
    started, started_cpu, over = time.monotonic(), time.process_time(), threading.Event()

    def look() -> None:
        while not over.wait(0.25):
            count = done()
            if count > counts[-1]:
                times.append(time.monotonic() - started)
                cpus.append(time.process_time() - started_cpu)
                counts.append(count)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        result = work()
    finally:
        over.set()
        watcher.join()
    seconds, cpu = time.monotonic() - started, time.process_time() - started_cpu

    def fifths(marks: list[float]) -> list[float]:
        ends = np.interp(np.linspace(0, n_sites, 6), [*counts, n_sites], marks)
        return [float(n_sites / 5 / max(span, 1e-9)) for span in np.diff(ends)]

    row = {
        "step": name,
        "seconds": seconds,
        "sites_per_s": n_sites / seconds,
        "sites_per_cpu_s": n_sites / cpu,
        "fifths": fifths([*times, seconds]),
        "fifths_per_cpu_s": fifths([*cpus, cpu]),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 2**20),
    }
    clock, processor = (", ".join(f"{rate:.2f}" for rate in row[key]) for key in ("fifths", "fifths_per_cpu_s"))
    print(f"{name}: {row['sites_per_s']:.2f} sites/s; by fifths {clock}; per processor second {processor}")
    print(f"  peak memory so far {row['peak_mib']:.0f} MiB", flush=True)
    return result, row


def run(root: Path, wells: list[str], n_sites: int) -> list[dict[str, Any]]:
    """Download, nuclei and tiles of the plate; raises AssertionError for a wrong cell or file."""
    options = S3Options(bucket=BUCKET, endpoint_url=os.environ["AWS_ENDPOINT_URL_S3"], workers=8)
    client, images, store = connect(options), root / "images", root / "tiles" / f"{PLATE}.npy"
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("campfire.images.nuclei").setLevel(logging.INFO)
    progress = Progress()
    logging.getLogger("campfire.images.nuclei").addHandler(progress)
    logging.getLogger("campfire.images.nuclei").propagate = False
    images.mkdir()
    plan, _ = plan_download(client, options, SOURCE, BATCH, PLATE, wells, CHANNELS)
    record, first = watched(
        *("download", n_sites, lambda: sum(name.endswith(".tiff") for name in os.listdir(images)) / len(CHANNELS)),
        lambda: fetch_plate(client, plan, images, options),
    )
    assert set(record["status"]) == {"ok"} and len(record) == n_sites * len(CHANNELS)
    (nuclei, _), second = watched(
        *("nuclei", n_sites, lambda: progress.done),
        lambda: segment_plate(images, PIXEL_SIZE_UM, workers=os.cpu_count() or 1),
    )
    kept = int(nuclei["kept"].sum())

    def written() -> float:
        sizes = [path.stat().st_size for path in store.parent.glob(".*.npy") if path.exists()]
        return n_sites * max(sizes, default=0) / (kept * len(CHANNELS) * 112 * 112 * 2)

    index, third = watched(
        *("tiles", n_sites, written),
        lambda: write_plate(store, images, nuclei, CHANNELS, pixel_size_um=PIXEL_SIZE_UM),
    )
    # Sites differ in a corner's pixel only, so they hold the same cells.
    cells = [tuple(crcs) for _, crcs in index.groupby([WELL, SITE])["crc32"]]
    assert len(cells) == n_sites and len(set(cells)) == 1 and not index.duplicated(CELL_KEYS).any()
    assert len(open_plate(store)) == kept == n_sites * len(cells[0])
    assert sorted(path.name for path in store.parent.iterdir()) == [f"{PLATE}.npy", f"{PLATE}.parquet"]
    left = {path.name for path in images.iterdir() if path.suffix != ".tiff"}
    assert left == {"sites.parquet", ".verified.jsonl"} and not list(images.glob(".*.tiff")), left
    print(f"{kept} cells, {len(cells[0])} of each site, the same in every one; no file left behind")
    return [first, second, third]


def main() -> None:
    parser = field_parser(__doc__, "few sites")
    parser.add_argument("--sites", type=int, default=500)
    parser.add_argument("--served", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    n_sites = 18 if arguments.quick else arguments.sites
    if not arguments.served:
        with tempfile.TemporaryDirectory(prefix="bench_scaling_") as folder:
            root = Path(folder)
            files = field_files(arguments.field, root / "field")
            wells = make_bucket(root / "s3", files, n_sites)
            (root / "wells.json").write_text(json.dumps(wells))
            size = sum(file.stat().st_size for file in files) * n_sites / 1e9
            print(f"{machine()}; {n_sites} sites x {len(files)} channels, {size:.2f} GB; field {files[0].name}")
            serve = [sys.executable, "-m", "campfire.simulate.server", str(root / "s3"), "--"]
            again = [sys.executable, __file__, *sys.argv[1:], "--served", str(root)]
            sys.exit(subprocess.run([*serve, *again], check=False).returncode)
    root = arguments.served
    results = run(root, json.loads((root / "wells.json").read_text()), n_sites)
    for row in results:
        for key in ("fifths", "fifths_per_cpu_s"):
            row[f"last_to_first_{key}"] = row[key][-1] / row[key][0]
    ratios = (f"{row['step']} {row['last_to_first_fifths']:.2f}" for row in results)
    print("last fifth to first, by the clock: " + ", ".join(ratios))
    write_json(arguments.json, sites=n_sites, quick=arguments.quick, steps=results)


if __name__ == "__main__":
    main()
