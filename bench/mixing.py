"""What mixing wells within batches is worth: loss and probe accuracy for shards of several sizes, on many wells.

    python bench/mixing.py [--seeds 1 2 3] [--shards 24 3 1] [--epochs 3] [--quick] [--append FILE.json]

Tiles lie well by well, so a window of large shards holds few wells. In this simulated screen a window of shards of one
well each (24 tiles) holds 32 of 432 training wells and lasts for 12 batches; in the paper's run 16 windows of 16 shards
held 474 of 58,023 wells for 40 batches. Cells differ by compound (size, elongation, texture) and by well (gain and
offset of each channel), as batch effects do. A shard of one tile is the limit of full mixing. Prints wells per batch
and in 12 consecutive batches, validation loss, and accuracy of a logistic regression on wells that it did not see.
"""

import argparse
import json
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from campfire.core.columns import NUCLEUS, PLATE, PLATE_TYPE, SITE, WELL
from campfire.core.files import write_table
from campfire.core.random import keyed_generator
from campfire.encoders import load
from campfire.encoders.embed import embed_plate
from campfire.images.tiles import open_plate
from campfire.images.tiles.store import FORMAT, digest, well_digests
from campfire.training import PretrainOptions, train
from campfire.training.epoch_plan import plan_epoch
from campfire.training.loader import Loader
from campfire.training.source import open_sources

CHANNELS = ["DNA", "AGP", "Mito"]
SIZE, COMPOUNDS, BATCH, WINDOW = 28, 12, 64, 768
MODEL = {
    "image_size": SIZE, "patch_size": 7, "width": 48, "depth": 2, "heads": 4,
    "decoder_width": 24, "decoder_depth": 1, "decoder_heads": 2, "mask_ratio": 0.75,
}  # fmt: skip


def draw_well(compound: int, cells: int, seed: int, well: int) -> NDArray[np.uint16]:
    """(cells, 3, SIZE, SIZE) counts of one well: the compound decides shape and texture, the well gain and offset."""
    kind, rng = keyed_generator(99, compound), keyed_generator(seed, well)
    radius, stretch, waves = kind.uniform(6, 9), kind.uniform(1, 1.5), kind.uniform(0.6, 2.0, 3)
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32) - (SIZE - 1) / 2
    turn = rng.uniform(0, 2 * np.pi, (cells, 1, 1)).astype(np.float32)
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    r = np.hypot(u / stretch, v * stretch) / (radius * rng.normal(1, 0.12, (cells, 1, 1)))
    gain, offset = rng.uniform(0.4, 1.6, 3), rng.uniform(50, 400, 3)
    images = []
    for channel in range(3):
        texture = 1 + 0.4 * np.sin(waves[channel] * (u + rng.uniform(0, 6, (cells, 1, 1)))) * np.cos(waves[channel] * v)
        signal = 2000 * gain[channel] * texture * np.exp(-(r ** (2 + channel)))
        images.append(offset[channel] + signal + rng.normal(0, 60, signal.shape))
    return np.stack(images, axis=1).clip(0, 65535).astype(np.uint16)


def write_screen(folder: Path, plates: int, wells: int, cells: int, seed: int) -> tuple[list[Path], pd.DataFrame]:
    """Tile stores and the split: of each plate's wells 3/4 train, 1/8 val, 1/8 test; compounds go round."""
    paths, rows = [], []
    for plate in range(plates):
        compound = [(well + plate) % COMPOUNDS for well in range(wells)]
        images = np.concatenate([draw_well(c, cells, seed, plate * wells + w) for w, c in enumerate(compound)])
        names = [f"{chr(65 + w // 24)}{w % 24 + 1:02d}" for w in range(wells)]
        keys = {PLATE: f"P{plate}", WELL: np.repeat(names, cells), SITE: "1"}
        numbers = {NUCLEUS: np.tile(np.arange(1, cells + 1, dtype=np.int32), wells), "row": np.arange(len(images))}
        index = pd.DataFrame({**keys, **numbers, "crc32": np.array([zlib.crc32(t) for t in images], np.uint32)})
        path = folder / f"P{plate}.npy"
        np.save(path, images)
        facts = {
            "format": FORMAT, "channels": CHANNELS, "shape": list(images.shape), "dtype": "uint16", "ranges": None,
            "bytes": path.stat().st_size, "wells": well_digests(index), "digest": digest(index),
        }  # fmt: skip
        write_table(index, path.with_suffix(".parquet"), facts)
        paths.append(path)
        roles = ["val" if w % 8 == 6 else "test" if w % 8 == 7 else "train" for w in range(wells)]
        facts_of_wells = zip(names, roles, compound, strict=True)
        rows += [
            {PLATE: f"P{plate}", WELL: n, PLATE_TYPE: "x", "split": s, "compound": c} for n, s, c in facts_of_wells
        ]
    return paths, pd.DataFrame(rows)


def wells_seen(paths: list[Path], wells: pd.DataFrame, shard: int, seed: int, batches: int = 12) -> tuple[float, int]:
    """Median number of wells in a batch of the first epoch, and of different wells in `batches` consecutive ones."""
    source = open_sources(paths, wells, CHANNELS)[0]
    names = {path.stem: open_plate(path, verify="none").index[WELL].to_numpy() for path in paths}
    loader = Loader(source, BATCH, seed=seed, shard_tiles=shard, window_tiles=WINDOW)
    plan = plan_epoch([g.tiles for g in source.groups], BATCH, 1, keyed_generator(seed, 0))
    each = []
    for batch in loader.epoch(plan, 0):
        plates = [source.plates[p] for p in batch.plates]
        each.append({(p, names[p][row]) for p, row in zip(plates, batch.rows, strict=True)})
    together = [len(set().union(*each[i : i + batches])) for i in range(0, len(each) - batches + 1, batches)]
    return float(np.median([len(one) for one in each])), int(np.median(together))


def probe(weights: Path, paths: list[Path], wells: pd.DataFrame) -> float:
    """Share of cells of test wells whose compound a logistic regression on train wells' embeddings finds."""
    encoder = load({"name": "x", "kind": "pretrained", "weights": str(weights)})
    found: dict[str, list[Any]] = {"train": [], "test": []}
    for path in paths:
        store = open_plate(path, verify="none")
        cells = store.index.merge(wells[wells["split"] != "val"], on=[PLATE, WELL])
        cells = cells[cells[NUCLEUS] <= 16]
        keys, vectors = embed_plate(encoder, store, cells[[PLATE, WELL, SITE, NUCLEUS]], CHANNELS, 512)
        labels = keys.merge(wells, on=[PLATE, WELL], how="left")
        for split, parts in found.items():
            rows = (labels["split"] == split).to_numpy()
            parts.append((vectors[rows], labels["compound"].to_numpy()[rows]))
    (x, y), (x_test, y_test) = ([np.concatenate(part) for part in zip(*found[s], strict=True)] for s in found)
    scale = StandardScaler().fit(x)
    fit = LogisticRegression(max_iter=300).fit(scale.transform(x), y)
    return float((fit.predict(scale.transform(x_test)) == y_test).mean())


def measure(paths: list[Path], wells: pd.DataFrame, shard: int, seed: int, epochs: int, work: Path) -> dict[str, Any]:
    """One training with shards of a size: wells per batch, losses and accuracy."""
    options = PretrainOptions(
        model=MODEL, epochs=epochs, global_batch=BATCH, batch_size=BATCH, learning_rate=2e-3, warmup_epochs=0.5,
        shard_tiles=shard, window_tiles=WINDOW, seed=seed, snapshot_tiles=0, loader_threads=1, log_steps=50,
        device="cpu", checkpoint_minutes=1000, validation_tiles=0,
    )  # fmt: skip
    began = time.monotonic()
    metrics = train(options, paths, wells, work / "run", work / "state")
    each, together = wells_seen(paths, wells, shard, seed)
    last = metrics[metrics["epoch"] == epochs].set_index("split")["loss"]
    return {
        "seed": seed, "shard": shard, "wells_per_batch": each, "wells_in_12_batches": together,
        "train_loss": float(last["train"]), "val_loss": float(last["val"]),
        "accuracy": probe(work / "run/model.safetensors", paths, wells), "seconds": round(time.monotonic() - began),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--shards", type=int, nargs="+", default=[24, 3, 1])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one short training of each, to see that it runs")
    parser.add_argument("--append", type=Path, help="JSON lines, one per training")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    plates, per_plate, cells = (1, 48, 24) if arguments.quick else (4, 144, 24)
    results = []
    for seed in arguments.seeds[:1] if arguments.quick else arguments.seeds:
        with tempfile.TemporaryDirectory() as folder:
            paths, wells = write_screen(Path(folder), plates, per_plate, cells, seed)
            for shard in arguments.shards:
                row = measure(
                    paths, wells, shard, seed, 1 if arguments.quick else arguments.epochs, Path(folder, str(shard))
                )
                results.append(row)
                print(json.dumps(row), flush=True)
                if arguments.append:
                    with arguments.append.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(row) + "\n")
    table = pd.DataFrame(results)
    print(table.groupby("shard", sort=False)[["wells_per_batch", "val_loss", "accuracy"]].agg(["mean", "std"]))


if __name__ == "__main__":
    main()
