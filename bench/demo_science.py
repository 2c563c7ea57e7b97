"""Whether the demo's claims also hold on other screens: one line per seed of the simulated screen.

    python bench/demo_science.py [--seeds 7 8 9] [--set effect=1.5 ...] [--quick] [--append seeds.jsonl]

For each seed the screen of config/demo-screen.yaml is simulated with that seed, and the demo's own steps with the
values of config/demo.yaml are run on it in this process, without S3, Snakemake and figures: nuclei, tiles, cells,
pretraining, embeddings, probes (protocol release) and the paired bootstrap over wells. `trained` is the trained
encoder minus its untrained twin on DNA, AGP and Mito; `channels` these three minus the best single one; both as the
mean over the four quadrants with a 95 % interval. `--append` adds each finished seed to a file of JSON lines and
ends with a summary of the whole file, so that seeds can be run one at a time. `--quick` uses a small screen and one
epoch, only to check that the script runs.
"""

import argparse
import json
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "2")

import numpy as np
import pandas as pd
import yaml

from campfire.core.columns import CHANNELS, PLATE, QUADRANTS, SITE, WELL
from campfire.core.files import write_table
from campfire.encoders import load
from campfire.encoders.embed import embed_plate
from campfire.evaluation.probes import ProbeOptions
from campfire.evaluation.probes.evaluate import evaluate
from campfire.evaluation.sampling import SampleOptions, draw_sample
from campfire.evaluation.statistics import bootstrap_accuracy, paired_bootstrap
from campfire.images.nuclei import NucleiOptions, segment_plate
from campfire.images.tiles import open_plate, write_plate
from campfire.screen.metadata import read_sheet, read_wells
from campfire.screen.split import SplitOptions, assign_wells, evaluation_plates
from campfire.simulate import ScreenOptions, write_screen
from campfire.simulate.__main__ import read_options
from campfire.simulate.layout import CHANNEL_NUMBERS, Plate
from campfire.simulate.screen import PIXEL_SIZE_UM
from campfire.training import PretrainOptions, train

CONFIG = Path(__file__).resolve().parents[1] / "config"
THREE = ["DNA", "AGP", "Mito"]
SMALL = {"id_plates": 4, "ood_plates": 1, "compound_plates": 0, "transfer_plates": 0, "positive_controls": 2,
         "compounds": 3, "field": 300, "cells": 18, "sites": 1, "illumination": False, "corrupt": 0}  # fmt: skip


def index_images(screen: Path, options: ScreenOptions, plate: Plate, roles: dict[tuple[str, str], str]) -> Path:
    """Write sites.parquet beside a plate's images, as for a downloaded plate."""
    home = screen / "s3" / options.bucket / options.prefix / options.source / "images" / plate.batch / "images"
    numbers = CHANNEL_NUMBERS[plate.channel_numbers]
    rows = []
    for well in plate.wells:
        if roles[plate.name, well.name] == "unused":
            continue
        if plate.corrupt and well is plate.wells[-1]:
            continue
        place = f"r{ord(well.name[0]) - ord('A') + 1:02d}c{well.name[1:]}"
        for site in range(1, options.sites + 1):
            paths = {f"path_{c}": f"{place}f{site:02d}p01-ch{numbers[c]}sk1fk1fl1.tiff" for c in CHANNELS}
            rows.append({PLATE: plate.name, WELL: well.name, SITE: str(site), **paths})
    folder = home / plate.folder / "Images"
    write_table(pd.DataFrame(rows), folder / "sites.parquet")
    return folder


def run(options: ScreenOptions, demo: dict[str, Any], work: Path, quick: bool) -> dict[str, Any]:
    """Results of the demo's steps on one screen, and the seconds of each step."""
    seconds: dict[str, float] = {}
    clock = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal clock
        seconds[name], clock = round(time.perf_counter() - clock, 1), time.perf_counter()

    layout = write_screen(work / "screen", options)
    lap("simulate")
    sheet = read_sheet(work / "screen/plates.tsv")
    wells = read_wells(work / "screen/metadata/well.csv.gz", sheet)
    chosen = dict(demo["split"])
    if quick:
        chosen |= {"held_out": 2, "wells_train": 2, "controls": chosen["controls"][:3]}
    split = assign_wells(sheet, wells, SplitOptions(**chosen))
    roles = split.set_index([PLATE, WELL])["split"].to_dict()
    nuclei, stores = {}, {}
    for plate in layout.plates:
        images = index_images(work / "screen", options, plate, roles)
        nuclei[plate.name], _ = segment_plate(images, PIXEL_SIZE_UM, NucleiOptions(method="classical"), workers=2)
        stores[plate.name] = work / f"tiles/{plate.name}.npy"
        write_plate(stores[plate.name], images, nuclei[plate.name], CHANNELS)
    lap("tiles")

    evaluated = evaluation_plates(split)
    protocol = SampleOptions(protocols=["release"], **demo["sample"])
    sample, _ = draw_sample([nuclei[p] for p in evaluated], split, protocol, chosen["controls"])
    given = dict(demo["pretrain"]["runs"]["campfire"])
    if quick:
        given |= {"epochs": 1, "warmup_epochs": 0}
    pretraining = PretrainOptions(**given, channels=THREE, snapshot_tiles=0)
    metrics = train(pretraining, list(stores.values()), split, work / "run", work / "state")
    lap("pretrain")

    def score(kind: str, channels: list[str]) -> pd.DataFrame:
        encoder = load({"name": kind, "kind": kind, "weights": str(work / "run/model.safetensors")})
        parts = []
        for plate in evaluated:
            cells = sample.loc[sample[PLATE] == plate].drop_duplicates(["Metadata_Well", "Metadata_Site",
                                                                        "Metadata_Nucleus"])  # fmt: skip
            parts.append(embed_plate(encoder, open_plate(stores[plate]), cells, channels, 128))
        keys = pd.concat([part[0] for part in parts], ignore_index=True)
        vectors = np.concatenate([part[1] for part in parts])
        return evaluate(keys, vectors, sample, ProbeOptions(**demo["probe"]))[1]

    three = score("pretrained", THREE)
    untrained = score("untrained", THREE)
    single = {channel: score("pretrained", [channel]) for channel in THREE}
    lap("embed and probe")

    def mean(table: pd.DataFrame) -> float:
        return float(table.loc[table["split"] == "mean", "value"].iloc[0])

    accuracies = bootstrap_accuracy(three)
    chance = {str(split): 1 / rows["truth"].nunique() for split, rows in three.groupby("split")}
    best = max(THREE, key=lambda channel: mean(bootstrap_accuracy(single[channel])))
    result: dict[str, Any] = {
        "seed": options.seed,
        "train_tiles_per_s": float(metrics.loc[metrics["split"] == "train", "tiles_per_s"].median()),
        "accuracy": accuracies.set_index("split")["value"].round(3).to_dict(),
        "accuracy_low": accuracies.set_index("split")["low"].round(3).to_dict(),
        "chance": chance,
        "untrained": round(mean(bootstrap_accuracy(untrained)), 3),
        "single": {channel: round(mean(bootstrap_accuracy(table)), 3) for channel, table in single.items()},
        "best_single": best,
        "seconds": seconds,
    }
    for name, other in (("trained", untrained), ("channels", single[best])):
        row = paired_bootstrap(three, other).set_index("split").loc["mean"]
        result[name] = [round(float(row[part]), 3) for part in ("difference", "low", "high")]
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[7, 8, 9])
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="options of the screen to change")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--append", type=Path, help="JSON lines, one for each seed")
    arguments = parser.parse_args()
    demo = yaml.safe_load((CONFIG / "demo.yaml").read_text())
    screen = read_options(CONFIG / "demo-screen.yaml")
    changes = {name: yaml.safe_load(value) for name, _, value in (item.partition("=") for item in arguments.set)}
    screen = replace(screen, **(SMALL if arguments.quick else {"transfer_plates": 0}), **changes)
    for seed in arguments.seeds[:1] if arguments.quick else arguments.seeds:
        with tempfile.TemporaryDirectory() as work:
            result = run(replace(screen, seed=seed), demo, Path(work), arguments.quick)
        four = " ".join(f"{result['accuracy'][name]:.3f}" for name in QUADRANTS)
        single = " ".join(f"{channel} {value:.3f}" for channel, value in result["single"].items())
        print(f"seed {seed}: quadrants {four}; untrained {result['untrained']:.3f}; {single}", flush=True)
        for name in ("trained", "channels"):
            value, low, high = result[name]
            print(f"  {name}: {value:+.3f} [{low:+.3f}, {high:+.3f}]", flush=True)
        print(f"  seconds: {result['seconds']}; {result['train_tiles_per_s']:.0f} tiles/s in training", flush=True)
        if arguments.append:
            with arguments.append.open("a", encoding="utf-8") as file:
                file.write(json.dumps({**result, "screen": changes, "quick": arguments.quick}) + "\n")
    if arguments.append:
        summarise([json.loads(line) for line in arguments.append.read_text().splitlines()])


def summarise(results: list[dict[str, Any]]) -> None:
    """Summary of how often the demo's claims held over all seeds of a file."""
    above = sum(min(r["accuracy_low"][q] - r["chance"][q] for q in QUADRANTS) > 0 for r in results)
    trained, proven = (sum(r["trained"][i] > 0 for r in results) for i in (0, 1))
    channels, sure = (sum(r["channels"][i] > 0 for r in results) for i in (0, 1))
    print(
        f"{len(results)} seeds: all four intervals above chance in {above}; trained above untrained in {trained} "
        f"(interval in {proven}); three channels above the best single one in {channels} (interval in {sure})"
    )


if __name__ == "__main__":
    main()
