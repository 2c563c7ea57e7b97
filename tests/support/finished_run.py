"""The results folder of a small finished run: two plates, three wells each, one encoder, made in a second."""

from pathlib import Path

import numpy as np
import pandas as pd

from campfire.core import columns as names
from campfire.core.digests import file_sha256
from campfire.core.files import write_json, write_table
from campfire.encoders import embedding_table

PLATES = {"P1": "B1", "P2": "B2"}
COMPOUNDS = {"A01": "DMSO", "A02": "C1", "B03": "C2"}
SPLITS = {
    ("P1", "A01"): "train", ("P1", "A02"): "test", ("P1", "B03"): "test_ood_compound",
    ("P2", "A01"): "test_ood_plate", ("P2", "A02"): "test_ood_plate", ("P2", "B03"): "test_ood_both",
}  # fmt: skip
DIM = 6
CONFIG = {
    "evaluate": [{"encoder": "campfire", "channel_sets": ["DNA_AGP"]}],
    "encoders": {"campfire": {"kind": "pretrained", "run": "base", "pooling": "mean"}},
    "channel_sets": {"DNA_AGP": ["DNA", "AGP"]},
    "split": {"controls": ["DMSO", "C1"], "negative_controls": [], "protocol": "release", "seed": 10},
    "profiles": {"negative_controls": [], "shrinkage": 0.01},
    "pixel_size_um": 0.598,
    "tiles": {"size": 28},
    "s3": {"bucket": "cellpainting-gallery"},
}


def make_finished_run(root: Path) -> Path:
    """Write the folder; embeddings of plate P2 are in another order than their keys."""
    rows = [
        ("source_3", batch, plate, well, compound, "TARGET2", SPLITS[plate, well])
        for plate, batch in PLATES.items()
        for well, compound in COMPOUNDS.items()
    ]
    columns = [names.SOURCE, names.BATCH, *names.WELL_KEYS, names.COMPOUND, names.PLATE_TYPE, "split"]
    write_table(pd.DataFrame(rows, columns=columns), _made(root / "split/wells.parquet"))
    draw = np.random.default_rng(5)
    for plate in PLATES:
        keys = pd.DataFrame(
            [(plate, well, site, nucleus) for well in COMPOUNDS for site in ("1", "2") for nucleus in (3, 7)],
            columns=names.CELL_KEYS,
        ).astype({names.NUCLEUS: np.int32})
        nuclei = keys.assign(x=draw.uniform(0, 1000, len(keys)), y=draw.uniform(0, 1000, len(keys)))
        write_table(nuclei, _made(root / f"nuclei/{plate}.parquet"))
        if plate == "P2":
            keys = keys.sample(frac=1, random_state=1).reset_index(drop=True)
        vectors = draw.normal(size=(len(keys), DIM)).astype(np.float32)
        path = _made(root / f"embeddings/campfire/DNA_AGP/{plate}.parquet")
        facts = {"encoder": "campfire", "channels": ["DNA", "AGP"], "weights": "ab" * 32, "pooling": "mean"}
        embedding_table.write(path, keys, vectors, facts)
    _write_model(_made(root / "pretrain/base/model.safetensors"))
    write_table(pd.DataFrame({"sha256": ["00" * 32]}), _made(root / "download/P1.parquet"))
    _write_tables(root)
    write_record(root)
    return root


def _write_model(path: Path) -> None:
    from campfire.model import ModelConfig, build_model, save_weights

    config = ModelConfig(
        width=16, depth=1, heads=2, decoder_width=16, decoder_depth=1, decoder_heads=2, image_size=28, patch_size=14
    )
    header = {
        "channels": ["DNA", "AGP"], "normalisation": "tile", "seed": 10, "run": "base", "plates": ["P1"], "steps": 40,
        "train_tiles": 1200, "imagenet": "", "software": "campfire 0.1.0", "options": {"epochs": 2},
    }  # fmt: skip
    save_weights(build_model(config, seed=10), path, header)


def _write_tables(root: Path) -> None:
    rows = [
        {
            "encoder": "campfire", "label": "Campfire", "channels": "DNA_AGP", "channel_label": "DNA + AGP",
            "protocol": "release", "split": split, "quadrant": quadrant, "accuracy": 0.5 + 0.05 * number,
            "low": 0.4 + 0.05 * number, "high": 0.6 + 0.05 * number, "level": 0.95, "chance": 0.125,
            "n_wells": 20 + number, "n_cells": 200,
        }
        for number, (split, quadrant) in enumerate(names.QUADRANTS.items())
    ]  # fmt: skip
    rows[3] |= {"low": np.nan, "high": np.nan}
    pd.DataFrame(rows).to_csv(_made(root / "tables/accuracies.csv"), index=False)


def write_record(root: Path) -> None:
    """provenance.json with the checksums of the folder's tables."""
    files = sorted(path for path in root.rglob("*") if path.suffix in (".csv", ".parquet", ".safetensors"))
    files = [path for path in files if path.parent.name != "download"]
    record = {
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "config": {"digest": "00ff", "values": CONFIG},
        "versions": {"python": "3.11.7", "torch": "2.6.0", "snakemake": "9.10.0"},
        "seeds": {"split": 10},
        "files": {str(path): file_sha256(path) for path in files},
        "modified": {},
    }
    write_json(root / "provenance.json", record)


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
