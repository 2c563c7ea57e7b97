"""The demo's tiles without its images: simulated and cut in memory, for a machine that has neither server nor network.

    python bench/channels_screen.py SCREEN.yaml NUCLEI OUT [--tiles RESULTS/tiles] [--processes 16] [--wells 0]

NUCLEI is the folder `nuclei` of a finished demo; each site is drawn again from the screen's seed and cut at its kept
nuclei. OUT/{plate}.npy holds the tiles (N, C, size, size) uint16, OUT/{plate}.parquet their keys, as the workflow's do.
Where `--tiles` holds the workflow's own index, the CRC-32 of every tile is compared (the demo is
limited to AVX2; with other instructions a pixel in 60,000 differs by one count).
"""

import argparse
import os
import time
import zlib
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core.columns import CELL_KEYS, CHANNELS, SITE, WELL
from campfire.core.files import read_table
from campfire.images.tiles import TILE_SIZE
from campfire.images.tiles.cut import cut
from campfire.simulate.__main__ import read_options
from campfire.simulate.layout import Plate, plan_screen
from campfire.simulate.screen import ScreenOptions, render_site

TRAINED = ("DNA", "AGP", "Mito")


def cut_well(
    options: ScreenOptions, plate: Plate, well: str, nuclei: pd.DataFrame
) -> tuple[pd.DataFrame, NDArray[np.uint16]]:
    """Keys and tiles (n, C, size, size) of the kept nuclei of a well, in the order of the nuclei table."""
    place = next(w for w in plate.wells if w.name == well)
    parts = []
    for site, cells in nuclei.groupby(SITE, sort=False):
        pixels, _ = render_site(options, plate, place, int(str(site)))
        images = {channel: pixels[CHANNELS.index(channel)] for channel in plate.channels}
        # Of plates that are only trained on, the workflow keeps the training channels.
        channels = [c for c in plate.channels if plate.role != "train" or c in TRAINED]
        parts.append(cut(images, cells["y"], cells["x"], channels, TILE_SIZE))
    return nuclei[CELL_KEYS], np.concatenate(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("screen", type=Path)
    parser.add_argument("nuclei", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tiles", type=Path)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--wells", type=int, default=0, help="at most this many wells of a plate; 0: all")
    arguments = parser.parse_args()
    began = time.monotonic()
    options = read_options(arguments.screen)
    plates = {plate.name: plate for plate in plan_screen(options).plates}
    arguments.out.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(arguments.processes) as pool:
        jobs = {}
        for name, plate in plates.items():
            nuclei = read_table(arguments.nuclei / f"{name}.parquet")
            kept = nuclei[nuclei["kept"]].astype({SITE: int}).sort_values([WELL, SITE, "Metadata_Nucleus"])
            kept = kept.astype({SITE: str})
            wells = list(kept.groupby(WELL))[: arguments.wells or None]
            jobs[name] = [pool.submit(cut_well, options, plate, str(well), cells) for well, cells in wells]
        same = total = 0
        for name, waiting in jobs.items():
            done = [job.result() for job in waiting]
            keys = pd.concat([keys for keys, _ in done], ignore_index=True)
            tiles = np.concatenate([tiles for _, tiles in done])
            keys["row"] = np.arange(len(keys))
            np.save(arguments.out / f"{name}.npy", tiles)
            keys.to_parquet(arguments.out / f"{name}.parquet", index=False)
            if arguments.tiles:
                known = read_table(arguments.tiles / f"{name}.parquet").set_index(CELL_KEYS)["crc32"]
                own = pd.Series([zlib.crc32(tile) for tile in tiles], pd.MultiIndex.from_frame(keys[CELL_KEYS]))
                same += int((known.reindex(own.index) == own).sum())
                total += len(own)
    print(
        f"{len(plates)} plates in {time.monotonic() - began:.1f} s; {same} of {total} tiles agree with the workflow's"
    )


if __name__ == "__main__":
    main()
