"""Does a model know its channels? Candidates for the channel embedding, compared on the demo's screen and a real field.

    python bench/channels.py [--demo results/demo] [--pilot results/pilot/tiles] [--candidates tile tile_sd ...]
        [--seeds 1 2 3] [--epochs 4] [--whole] [--probe] [--append channels.jsonl] [--quick]

Each candidate trains a model half as wide as config/demo.yaml's (`--whole`: the demo's own) on the demo's train wells
(`make demo` first) and is measured on its val wells, by columns of metrics.parquet (docs/contracts.md): the error of
masked pixels per channel against two floors, and how alike the predictions of two channels are against how alike their
targets are. `unseen` is the same for ER and RNA, never trained on. `separation`: distance between the embeddings of the
two closest channels over their noise between batches of 16 tiles; `--separation` prints it for all pairs of five
channels without training. `--probe` adds the accuracies of the four quadrants for trained and for unseen channels
(protocol strict, cells of the demo). The pilot field's 59 tiles (`make pilot` first) are overfitted, all five channels.
`--append` keeps a JSON line per run and skips the runs it holds; the tables are of all that it holds. `--quick` takes
few tiles and one epoch: it proves that the script runs, nothing else.
"""

import argparse
import json
import os
import tempfile
from itertools import combinations
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import torch
import yaml

from campfire.core.columns import CELL_KEYS, PLATE, WELL, channel_order
from campfire.core.files import read_table
from campfire.encoders import load
from campfire.encoders.embed import embed_plate
from campfire.evaluation.probes import ProbeOptions
from campfire.evaluation.probes.evaluate import evaluate
from campfire.images.tiles import open_plate
from campfire.model import MaskedAutoencoder, ModelConfig, load_weights
from campfire.model.channels import label_means
from campfire.model.normalise import normalise, plate_statistics, rescale
from campfire.training import PretrainOptions, train
from campfire.training.channel_scores import ChannelScores, blindness

CANDIDATES: dict[str, dict[str, dict[str, Any]]] = {
    "tile": {"augmentation": {"normalisation": "tile", "channel_scale": "input"}},
    "plate": {"augmentation": {"normalisation": "plate", "channel_scale": "input"}},
    "none": {"augmentation": {"normalisation": "none", "channel_scale": "input"}},
    "tile_range": {"augmentation": {"normalisation": "tile_range", "channel_scale": "input"}},
    "plate_range": {"augmentation": {"normalisation": "plate_range", "channel_scale": "input"}},
    "tile_sd": {"augmentation": {"normalisation": "tile_sd", "channel_scale": "input"}},
    "plate_sd": {"augmentation": {"normalisation": "plate_sd", "channel_scale": "input"}},
    "tile, mean before centring": {"augmentation": {"normalisation": "tile", "channel_scale": "tile_sd"}},
    "tile, mean in tile range": {"augmentation": {"normalisation": "tile", "channel_scale": "tile_range"}},
    "tile, mean in plate sd": {"augmentation": {"normalisation": "tile", "channel_scale": "plate_sd"}},
    "tile, mean in plate range": {"augmentation": {"normalisation": "tile", "channel_scale": "plate_range"}},
    "tile, mean and spread before centring": {
        "augmentation": {"normalisation": "tile", "channel_scale": "tile_sd"},
        "model": {"channel_context": "mean_spread"},
    },
    "tile, mean and spread": {
        "augmentation": {"normalisation": "tile", "channel_scale": "input"},
        "model": {"channel_context": "mean_spread"},
    },
    "tile_sd, mean and spread": {
        "augmentation": {"normalisation": "tile_sd", "channel_scale": "input"},
        "model": {"channel_context": "mean_spread"},
    },
    "tile_range, mean and spread": {
        "augmentation": {"normalisation": "tile_range", "channel_scale": "input"},
        "model": {"channel_context": "mean_spread"},
    },
    "plate, mean and spread": {
        "augmentation": {"normalisation": "plate", "channel_scale": "input"},
        "model": {"channel_context": "mean_spread"},
    },
    "learned embeddings": {
        "augmentation": {"normalisation": "tile", "channel_scale": "input"},
        "model": {"channel_embedding": "learned"},
    },
    "per-channel decoders": {
        "augmentation": {"normalisation": "tile", "channel_scale": "input"},
        "model": {"decoder": "per_channel"},
    },
}
SMALL = {"width": 64, "depth": 2, "decoder_width": 48}
"""Half the demo's model: what tells channels apart shows in a few hundred steps."""
TRAINED, UNSEEN = ["DNA", "AGP", "Mito"], ["DNA", "ER", "RNA"]


def options(candidate: str, seed: int, epochs: int, whole: bool = False, **changes: Any) -> PretrainOptions:
    """The demo's run with a candidate's changes, half as wide unless `whole`."""
    values = yaml.safe_load(Path("config/demo.yaml").read_text(encoding="utf-8"))["pretrain"]["runs"]["campfire"]
    parts = CANDIDATES[candidate]
    values = {**values, **changes, "seed": seed, "epochs": epochs, "snapshot_tiles": 0, "validation_every": epochs}
    values["model"] = {**values["model"], **({} if whole else SMALL), **parts.get("model", {})}
    values["augmentation"] = {**values.get("augmentation", {}), **parts["augmentation"]}
    return PretrainOptions(warmup_learning_rate=1e-5, compile=False, log_steps=100, **values)


def tiles_of(folder: Path, wells: pd.DataFrame, split: str, channels: list[str], limit: int) -> list[dict[str, Any]]:
    """Raw tiles of a split's wells by plate, with the plate's statistics; at most `limit` in all, evenly."""
    found = []
    chosen = wells[wells["split"] == split]
    paths = [folder / f"{plate}.npy" for plate in sorted(chosen[PLATE].unique())]
    paths = [path for path in paths if path.is_file() and set(channels) <= set(open_plate(path).channels)]
    for path in paths:
        store = open_plate(path)
        names = set(chosen.loc[chosen[PLATE] == path.stem, WELL])
        rows = store.index.loc[store.index[WELL].isin(names), "row"].to_numpy()
        rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), limit // len(paths))).astype(int)]
        where = [store.channels.index(c) for c in channels]
        raw = torch.from_numpy(np.array(store.images[np.sort(rows)][:, where]))
        found.append({"raw": raw, "statistics": plate_statistics(store.images).of(where)})
    return found


def prepared(weights: Path, sets: list[dict[str, Any]]) -> tuple[Any, torch.Tensor, torch.Tensor | None]:
    """The model of a weight file, and tiles as it takes them with the scale of their channel embeddings."""
    model, header = load_weights(weights)
    how = header["options"]["augmentation"]
    mode, other = how.get("normalisation", "tile"), how.get("channel_scale", "input")
    images = torch.cat([normalise(s["raw"], mode, s["statistics"]) for s in sets])
    if other in ("input", mode):
        return model, images, None
    return model, images, torch.cat([rescale(s["raw"], mode, other, s["statistics"]) for s in sets], dim=1)


def separation(weights: Path, sets: list[dict[str, Any]], channels: list[str], batch: int = 16) -> float:
    """Distance between the embeddings of the closest two channels over their root-mean-square noise between batches."""
    model, images, scale = prepared(weights, sets)
    index = torch.tensor([channel_order(channels).index(c) for c in channels])
    generator = torch.Generator().manual_seed(0)
    drawn = []
    with torch.no_grad():
        for part in torch.randperm(len(images), generator=generator).split(batch)[: len(images) // batch]:
            sums = model.channel_sums(images[part], index, None if scale is None else scale[:, part])
            drawn.append(model.channel_embeddings(label_means(sums, index)))
    values = torch.stack(drawn)  # (batches, channels, D)
    centre = values.mean(0)
    noise = (values - centre).square().sum(2).mean().sqrt()
    return min(float((centre[a] - centre[b]).norm() / noise) for a, b in combinations(range(len(channels)), 2))


def untrained_separation(sets: list[dict[str, Any]], channels: list[str], label: str) -> None:
    """Print, for each candidate, `separation` of all pairs of channels with initial weights, without training."""
    index = torch.arange(len(channels))
    for name, parts in CANDIDATES.items():
        if {"learned", "per_channel"} & set(parts.get("model", {}).values()):
            continue
        mode = parts["augmentation"]["normalisation"]
        other = parts["augmentation"].get("channel_scale", mode)
        values = torch.cat([normalise(s["raw"], other, s["statistics"]) for s in sets])
        model = MaskedAutoencoder(
            ModelConfig(**{**SMALL, "heads": 4, "decoder_heads": 4, **parts.get("model", {})}), seed=1
        )
        order = torch.randperm(len(values), generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            sums = [model.channel_sums(values[p], index) for p in order.split(16)[: len(values) // 16]]
            drawn = torch.stack([model.channel_embeddings(label_means(part, index)) for part in sums])
        centre = drawn.mean(0)
        noise = (drawn - centre).square().sum(2).mean().sqrt()
        pairs = combinations(range(len(channels)), 2)
        apart = {f"{channels[a]}-{channels[b]}": float((centre[a] - centre[b]).norm() / noise) for a, b in pairs}
        print(label, name, {pair: round(value, 1) for pair, value in apart.items()}, flush=True)


def unseen(weights: Path, sets: list[dict[str, Any]], channels: list[str]) -> dict[str, float]:
    """The scores of channels, trained or not, with embeddings from all these tiles."""
    model, images, scale = prepared(weights, sets)
    index = torch.tensor([["DNA", "AGP", "Mito", "ER", "RNA"].index(c) for c in channels])
    scores = ChannelScores(channels, images.shape[2])
    sums = model.channel_sums(images, index, scale)
    generator = torch.Generator().manual_seed(0)
    for part in torch.arange(len(images)).split(64):
        own = None if scale is None else scale[:, part]
        output = model.reconstruct(images[part], index, generator=generator, sums=sums, scale=own)
        scores.add(output.prediction, output.target, output.pixel_mask(), channels)
    return scores.values(scores.sums)


def probes(weights: Path, demo: Path) -> dict[str, float]:
    """Accuracies of protocol strict by task, quadrant and channel set."""
    settings = yaml.safe_load(Path("config/demo.yaml").read_text(encoding="utf-8"))["probe"]
    cells = read_table(demo / "sample" / "cells.parquet")
    cells = cells[cells["protocol"] == "strict"]
    encoder = load({"kind": "pretrained", "name": "candidate", "weights": str(weights)}, "cpu")
    found = {}
    for name, channels in (("trained", TRAINED), ("unseen", UNSEEN)):
        keys, vectors = [], []
        for plate, drawn in cells.groupby(PLATE):
            store = open_plate(demo / "tiles" / f"{plate}.npy")
            made = embed_plate(encoder, store, drawn[CELL_KEYS].drop_duplicates(), channels, 128)
            keys.append(made[0])
            vectors.append(made[1])
        scores, _ = evaluate(
            pd.concat(keys, ignore_index=True), np.concatenate(vectors), cells, ProbeOptions(**settings)
        )
        for (task, split), value in scores.groupby(["task", "split"])["accuracy"].mean().items():
            found[f"probe_{name}_{task}_{split}"] = float(value)
    return found


def on_demo(candidate: str, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train on the demo's screen and measure."""
    demo, quick = Path(arguments.demo), arguments.quick
    wells = read_table(demo / "split" / "wells.parquet")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        limits = {"max_tiles": 128, "validation_tiles": 64} if quick else {}
        run = options(candidate, seed, arguments.epochs, arguments.whole, **limits)
        plates = [demo / "tiles" / f"{plate}.npy" for plate in sorted(wells[PLATE].unique())]
        table = train(run, plates, wells, out / "run", out / "state")
        row = {k: v for k, v in table.iloc[-1].dropna().items() if "_" in str(k) and k != "grad_norm"}
        row["seconds"] = float(table["seconds"].sum())
        weights = out / "run" / "model.safetensors"
        if not {"learned", "per_channel"} & set(CANDIDATES[candidate].get("model", {}).values()):
            sets = tiles_of(demo / "tiles", wells, "val", TRAINED, 64 if quick else 400)
            row["separation"] = separation(weights, sets, TRAINED)
            other = tiles_of(demo / "tiles", wells, "val", UNSEEN, 64 if quick else 400)
            row |= {f"unseen_{k}": v for k, v in unseen(weights, other, UNSEEN).items()}
        if arguments.probe:
            row |= probes(weights, demo)
    return row


def on_pilot(candidate: str, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Overfit the tiles of one real field, all channels, and measure on the same tiles."""
    (path,) = Path(arguments.pilot).glob("*.npy")
    store = open_plate(path)
    wells = store.index[[PLATE, WELL]].drop_duplicates().assign(split="train", Metadata_PlateType="COMPOUND")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        channels = list(store.channels)
        run = options(
            candidate,
            seed,
            2 if arguments.quick else arguments.pilot_epochs,
            arguments.whole,
            channels=channels,
            global_batch=16,
        )
        train(run, [path], wells, out / "run", out / "state")
        weights = out / "run" / "model.safetensors"
        sets = tiles_of(path.parent, wells, "train", channels, 10_000)
        row: dict[str, Any] = unseen(weights, sets, channels)
        if not {"learned", "per_channel"} & set(CANDIDATES[candidate].get("model", {}).values()):
            row["separation"] = separation(weights, sets, channels)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", default="results/demo")
    parser.add_argument("--pilot", default="results/pilot/tiles")
    parser.add_argument("--candidates", nargs="+", default=list(CANDIDATES), choices=list(CANDIDATES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--pilot-epochs", type=int, default=150)
    parser.add_argument("--data", nargs="+", default=["demo", "pilot"], choices=["demo", "pilot"])
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--probe", action="store_true")
    parser.add_argument("--separation", action="store_true")
    parser.add_argument("--append", type=Path)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.epochs, arguments.seeds, arguments.candidates = 1, [1], ["tile", "tile_sd"]
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    if arguments.separation:
        wells, five = read_table(Path(arguments.demo) / "split" / "wells.parquet"), ["DNA", "AGP", "Mito", "ER", "RNA"]
        untrained_separation(tiles_of(Path(arguments.demo) / "tiles", wells, "val", five, 150), five, "demo")
        return
    rows = []
    if arguments.append and arguments.append.is_file():
        rows = [json.loads(line) for line in arguments.append.read_text(encoding="utf-8").splitlines()]
    for seed in arguments.seeds:
        for candidate in arguments.candidates:
            for data, measure in (("demo", on_demo), ("pilot", on_pilot)):
                folder = Path(arguments.demo) / "tiles" if data == "demo" else Path(arguments.pilot)
                if data not in arguments.data or not any(folder.glob("*.npy")):
                    continue
                epochs = arguments.epochs if data == "demo" else arguments.pilot_epochs
                key = {"data": data, "candidate": candidate, "seed": seed, "epochs": epochs}
                key |= {"probe": arguments.probe, "whole": arguments.whole}
                if any(key.items() <= row.items() for row in rows):
                    continue
                row = {**key, **measure(candidate, seed, arguments)}
                row["blindness"] = blindness(row)
                rows.append(row)
                print(json.dumps(row), flush=True)
                if arguments.append:
                    with arguments.append.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(row) + "\n")
    summarise(pd.DataFrame(rows))


def summarise(table: pd.DataFrame) -> None:
    """Print means over seeds a table for each screen and length of training."""
    if table.empty:
        print("nothing to measure: run `make demo` or `make pilot` first")
        return
    for (data, epochs), group in table.groupby(["data", "epochs"]):
        errors = [c for c in group if c.startswith("masked_error_")]
        lines = ["separation", "blindness", *errors, *(c for c in group if "floor_" in c or "likeness_" in c)]
        lines += [c for c in group if c.startswith(("unseen_masked", "probe_"))]
        means = group.groupby("candidate", sort=False)[list(dict.fromkeys(c for c in lines if c in group))]
        print(f"\n{data}, {epochs} epochs, seeds {sorted(group['seed'].unique().tolist())}\n")
        print(means.mean().round(3).T.to_string())
        print("\nstandard deviation over seeds\n")
        print(means.std().round(3).T.to_string())


if __name__ == "__main__":
    main()
