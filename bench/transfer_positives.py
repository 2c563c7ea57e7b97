"""What the transfer head's positives do to Z' on the demo's screen, with three seeds of the head.

    python bench/transfer_positives.py [--demo results/demo] [--weights model.safetensors] [--seeds 0 1 2] [--quick]

Takes tiles and nuclei of the demo's transfer plates and a pretrained model (`make demo` or `make claims`). Each head is
trained by the options of config/demo.yaml and differs in `transfer.head.positives` and its seed alone. Prints, for
held-out plates, plain Z' between treatments (the positive and the negative control of one group) and between groups
(one control in two groups), for each seed, and without a head. `--quick` trains one seed for two epochs: it proves that
the script runs, nothing else.
"""

import argparse
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import torch
import yaml

from campfire.core.columns import CELL_KEYS, PLATE
from campfire.core.files import read_table
from campfire.encoders import load
from campfire.encoders.embed import embed_plate
from campfire.evaluation.sampling import draw_wells
from campfire.evaluation.transfer.options import TransferOptions
from campfire.evaluation.transfer.sheet import read_sheet
from campfire.evaluation.transfer.training import train_head
from campfire.evaluation.transfer.wells import control_zprime, embed_wells
from campfire.images.tiles import open_plate

CHANNELS = ["DNA", "AGP", "Mito"]
CONFIG = Path(__file__).resolve().parents[1] / "config/demo.yaml"


def zprimes(wells: pd.DataFrame, options: TransferOptions) -> dict[str, float]:
    """Mean plain Z' on held-out plates: between treatments within a group, between groups within a control."""
    table = control_zprime(wells, options)
    table = table[(table["role"] == "heldout") & (table["method"] == "plain")]
    sides = [table[name].str.split("-", n=1, expand=True) for name in ("reference", "target")]
    same_control, same_group = (sides[0][part] == sides[1][part] for part in (0, 1))
    return {
        "treatments": float(table.loc[same_group & ~same_control, "zprime"].median()),
        "groups": float(table.loc[same_control & ~same_group, "zprime"].median()),
    }


def embedded(demo: Path, weights: Path, kind: str, settings: dict[str, Any]) -> tuple[Any, ...]:
    """Sheet, keys and embeddings of the cells of the transfer plates."""
    sheet = read_sheet(demo.with_name(f"{demo.name}-screen") / "transfer.tsv")
    plates = sorted(sheet[PLATE].unique())
    nuclei = pd.concat([read_table(demo / "nuclei" / f"{plate}.parquet") for plate in plates], ignore_index=True)
    cells = draw_wells(nuclei, sheet, settings["cells_per_well"], 100)
    encoder = load({"kind": kind, "name": kind, "weights": str(weights)}, "cpu")
    parts = []
    for plate, drawn in cells.groupby(PLATE):
        store = open_plate(demo / "tiles" / f"{plate}.npy")
        parts.append(embed_plate(encoder, store, drawn[CELL_KEYS], CHANNELS, 128))
    return sheet, pd.concat([keys for keys, _ in parts], ignore_index=True), np.concatenate([x for _, x in parts])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, default=Path("results/demo"))
    parser.add_argument("--weights", type=Path, default=Path("results/demo/pretrain/campfire/model.safetensors"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if not arguments.weights.is_file():
        print(f"{arguments.weights}: no such weights; run `make demo` first, or give --weights")
        return
    settings = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["transfer"]
    head = {**settings["head"], **({"epochs": 2} if arguments.quick else {})}
    print("| encoder | positives | seed | Z' between treatments | Z' between groups |\n|---|---|---|---|---|")
    for kind in ("pretrained", "untrained"):
        sheet, keys, vectors = embedded(arguments.demo, arguments.weights, kind, settings)
        plain = zprimes(embed_wells(None, keys, vectors, sheet), TransferOptions(replicates=2))
        print(f"| {kind} | no head | | {plain['treatments']:.2f} | {plain['groups']:.2f} |", flush=True)
        for positives in ("treatment", "treatment_and_group"):
            for seed in arguments.seeds[: 1 if arguments.quick else None]:
                options = TransferOptions(**head, positives=positives, seed=seed, replicates=2)
                found = zprimes(
                    embed_wells(train_head(keys, vectors, sheet, options, device="cpu"), keys, vectors, sheet), options
                )
                values = f"{found['treatments']:.2f} | {found['groups']:.2f}"
                print(f"| {kind} | {positives} | {seed} | {values} |", flush=True)


if __name__ == "__main__":
    main()
