"""Do the demo's claims hold over pretraining seeds? The demo's model trained from five seeds, beside its baselines.

    make claims
    python bench/claims.py [--demo results/demo] [--out results/claims] [--seeds 10 11 12 13 14] [--threads 1] [--quick]
    python bench/claims.py --intensity untrained --seeds 10 11 12

Takes tiles, split and cells of the demo (`make demo` first, or its targets `tiles` and `sample`) and the options of
config/demo.yaml; only the pretraining seed differs. For every seed it trains the model, makes its untrained twin (the
same initial weights) and two random CNNs with that seed (channels concatenated, and averaged as in Campfire), embeds
the demo's cells on trained, single and unseen channels, and probes them under protocols release and strict. Features
and mean intensities have no seed and are probed once.

Every result is kept in --out as soon as it is made (an interrupted training resumes); a second call makes what is
missing and prints the tables of all that is there. The seed of the probes is the demo's. A second twin, from ImageNet
weights, would need a model as wide as the published ones, which the demo's is not. `--quick` takes few tiles, two seeds
and one epoch: it proves that the script runs, nothing else.

`--intensity` answers another question: what normalisation by tile costs, which takes the brightness of cells from every
encoder. It compares encoders that see tiles normalised by their plate (`plate`) with the same that see them normalised
one by one: `untrained` the twin and both random CNNs, `all` Campfire as well, which is trained on such tiles.
"""

import argparse
import json
import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pandas as pd
import torch
import yaml

from campfire.core.columns import CELL_KEYS, PLATE
from campfire.core.files import read_table, write_table
from campfire.encoders import load
from campfire.encoders.embed import embed_plate
from campfire.evaluation.probes import ProbeOptions
from campfire.evaluation.probes.evaluate import evaluate
from campfire.evaluation.seed_intervals import seed_differences
from campfire.evaluation.statistics import MEAN
from campfire.images.tiles import open_plate
from campfire.training import PretrainOptions, train

CONFIG = Path(__file__).resolve().parents[1] / "config/demo.yaml"
TRAINED, UNSEEN, SINGLE = "DNA_AGP_Mito", "DNA_ER_RNA", ("DNA", "AGP", "Mito")
PROTOCOLS = ("release", "strict")
SEEDED = {
    "campfire": (TRAINED, UNSEEN, *SINGLE),
    "untrained": (TRAINED, UNSEEN),
    "random_cnn": (TRAINED, UNSEEN),
    "random_cnn_average": (TRAINED, UNSEEN),
}
"""Channel sets of the encoders that are made once for each seed."""
FIXED = ("features", "intensities")
BOTH = (TRAINED, UNSEEN)
BY_PLATE = {
    "campfire_plate": "campfire",
    "untrained_plate": "untrained",
    "random_cnn_plate": "random_cnn",
    "random_cnn_average_plate": "random_cnn_average",
}
"""Encoders whose tiles are normalised by plate, and the same with tiles normalised one by one."""
AUGMENTATION = {"normalisation": "plate", "channel_scale": "plate_sd"}
"""Of the first of them: the channel means are taken before the plate's are removed, as the default does by tile."""
LABELS = {
    "campfire": "Campfire",
    "untrained": "its untrained twin",
    "random_cnn": "random CNN, channels concatenated",
    "random_cnn_average": "random CNN, channels averaged",
    "features": "classical features",
    "intensities": "mean intensities",
    "campfire_plate": "Campfire, tiles by plate",
    "untrained_plate": "its untrained twin, tiles by plate",
    "random_cnn_plate": "random CNN, channels concatenated, tiles by plate",
    "random_cnn_average_plate": "random CNN, channels averaged, tiles by plate",
}


@dataclass(frozen=True)
class Bench:
    """Where results lie, and what the demo's config says."""

    demo: Path
    out: Path
    quick: bool
    intensity: str
    """Empty, or which encoders see tiles normalised in two ways: `untrained` or `all`."""
    config: dict[str, Any]

    @property
    def encoders(self) -> dict[str, tuple[str, ...]]:
        """Encoders made once for each seed, and their channel sets."""
        return dict.fromkeys((*self.by_plate.values(), *self.by_plate), BOTH) if self.intensity else SEEDED

    @property
    def by_plate(self) -> dict[str, str]:
        """Encoders that see tiles by plate, and the same that see them one by one."""
        return {name: other for name, other in BY_PLATE.items() if self.intensity == "all" or other != "campfire"}

    @property
    def fixed(self) -> tuple[str, ...]:
        """Encoders without a seed."""
        return () if self.intensity else FIXED

    def spec(self, encoder: str, seed: int) -> dict[str, Any]:
        """What `campfire.encoders.load` needs."""
        weights, by_plate = (str(self.folder(seed, plate) / "model.safetensors") for plate in (False, True))
        run = self.config["pretrain"]["runs"]["campfire"]
        twin = {"kind": "untrained", "model": run["model"], "seed": seed, "channels": TRAINED.split("_")}
        specs: dict[str, dict[str, Any]] = {
            "campfire": {"kind": "pretrained", "weights": weights},
            "untrained": {**twin, "normalisation": "tile"},
            "random_cnn": {"kind": "random_cnn", "seed": seed},
            "random_cnn_average": {"kind": "random_cnn", "seed": seed, "combine": "average"},
            "features": self.config["encoders"]["features"],
            "intensities": self.config["encoders"]["intensities"],
            "campfire_plate": {"kind": "pretrained", "weights": by_plate},
            "untrained_plate": {**twin, "normalisation": "plate"},
            "random_cnn_plate": {"kind": "random_cnn", "seed": seed, "normalisation": "plate"},
            "random_cnn_average_plate": {
                "kind": "random_cnn",
                "seed": seed,
                "combine": "average",
                "normalisation": "plate",
            },
        }
        return {"name": encoder, **specs[encoder]}

    def folder(self, seed: int, by_plate: bool = False) -> Path:
        """Where the model of a seed lies."""
        return self.out / f"seed-{seed}" / ("plate" if by_plate else "")

    def predictions(self, encoder: str, channels: str, seed: int | None) -> Path:
        """The file of a probe's predictions."""
        name = f"{encoder}-{channels}.parquet"
        return (self.out / "fixed" if encoder in FIXED else self.folder(int(seed or 0))) / name


def pretrain(bench: Bench, seed: int, by_plate: bool = False) -> None:
    """Train the demo's model from a seed; nothing where that is done."""
    out = bench.folder(seed, by_plate)
    if (out / "model.safetensors").is_file():
        return
    values = dict(bench.config["pretrain"]["runs"]["campfire"])
    if by_plate:
        values["augmentation"] = AUGMENTATION
    if bench.quick:
        values |= {"epochs": 1, "warmup_epochs": 0, "max_tiles": 128, "validation_tiles": 32}
    options = PretrainOptions(**values, seed=seed, compile=False, snapshot_tiles=0, log_steps=50)
    wells = read_table(bench.demo / "split/wells.parquet")
    tiles = [bench.demo / "tiles" / f"{plate}.npy" for plate in sorted(wells[PLATE].unique())]
    state = bench.out / "state" / f"{seed}{'-plate' if by_plate else ''}"
    table = train(options, [path for path in tiles if path.is_file()], wells, out, state)
    last = table.iloc[-1].dropna().to_dict()
    print(json.dumps({"seed": seed, **{k: v for k, v in last.items() if k.startswith("masked_error")}}), flush=True)


def probe(bench: Bench, encoder: str, channels: str, seed: int | None) -> None:
    """Embed and probe one encoder and channel set; nothing where that is done."""
    path = bench.predictions(encoder, channels, seed)
    if path.is_file():
        return
    model = load(bench.spec(encoder, seed or 0), "cpu")
    cells = read_table(bench.demo / "sample/cells.parquet")
    cells = cells[cells["protocol"].isin(PROTOCOLS)]
    keys, vectors = [], []
    for plate, drawn in cells.groupby(PLATE):
        store = open_plate(bench.demo / "tiles" / f"{plate}.npy")
        made = embed_plate(model, store, drawn[CELL_KEYS].drop_duplicates(), channels.split("_"), 128)
        keys.append(made[0])
        vectors.append(made[1])
    options = ProbeOptions(**bench.config["probe"], variants=())
    scores, found = evaluate(pd.concat(keys, ignore_index=True), np.concatenate(vectors), cells, options)
    write_table(found, path)
    means = scores.groupby(["protocol", "split"])["accuracy"].mean().groupby("protocol").mean().round(3).to_dict()
    print(json.dumps({"encoder": encoder, "channels": channels, "seed": seed, **means}), flush=True)


def comparisons(bench: Bench, seeds: Sequence[int]) -> Iterator[tuple[str, tuple[str, str], tuple[str, str]]]:
    """Statement, first and second (encoder, channels) of every comparison."""
    if bench.intensity:
        for encoder, by_tile in bench.by_plate.items():
            yield f"{LABELS[by_tile]}: tiles by plate minus tile by tile", (encoder, TRAINED), (by_tile, TRAINED)
            yield "the same, unseen channels", (encoder, UNSEEN), (by_tile, UNSEEN)
        return
    yield "Campfire minus its untrained twin", ("campfire", TRAINED), ("untrained", TRAINED)
    yield "the same, unseen channels", ("campfire", UNSEEN), ("untrained", UNSEEN)
    best = max(SINGLE, key=lambda channel: accuracy(bench, "campfire", channel, seeds))
    yield f"three channels minus the best single one ({best})", ("campfire", TRAINED), ("campfire", best)
    for other in (*list(SEEDED)[2:], *FIXED):
        yield f"Campfire minus {LABELS[other]}", ("campfire", TRAINED), (other, TRAINED)
        yield "the same, unseen channels", ("campfire", UNSEEN), (other, UNSEEN)
    yield "untrained twin minus random CNN, channels averaged", ("untrained", TRAINED), ("random_cnn_average", TRAINED)


def quadrant_means(bench: Bench, encoder: str, channels: str, seed: int, protocol: str = "release") -> float:
    """Accuracy of one seed: mean over fits and quadrants."""
    found = read_table(bench.predictions(encoder, channels, seed))
    found = found[found["protocol"] == protocol]
    hits = (found["truth"] == found["predicted"]).groupby([found["split"], found["fit"]], observed=True).mean()
    return float(hits.groupby(level=0, observed=True).mean().mean())


def accuracy(bench: Bench, encoder: str, channels: str, seeds: Sequence[int], protocol: str = "release") -> float:
    """Mean over seeds of `quadrant_means`."""
    return float(np.mean([quadrant_means(bench, encoder, channels, seed, protocol) for seed in seeds]))


def report(bench: Bench, seeds: Sequence[int]) -> pd.DataFrame:
    """Print accuracies by seed and every comparison in markdown; return the comparisons."""
    rows = []
    for protocol in PROTOCOLS:
        print(f"\nAccuracy, protocol {protocol}, mean of the quadrants, by seed {list(seeds)}:\n")
        for encoder, sets in [*bench.encoders.items(), *((name, BOTH) for name in bench.fixed)]:
            for channels in sets:
                by_seed = [quadrant_means(bench, encoder, channels, seed, protocol) for seed in seeds]
                shown = by_seed[:1] if encoder in FIXED else by_seed
                print(f"| {LABELS[encoder]} | {channels} | {' | '.join(f'{value:.3f}' for value in shown)} |")
    for statement, first, second in comparisons(bench, seeds):
        pairs = [tuple(read_table(bench.predictions(*pair, seed)) for pair in (first, second)) for seed in seeds]
        table = seed_differences(pairs)  # type: ignore[arg-type]
        rows.append(table.assign(statement=statement, one="/".join(first), other="/".join(second)))
    found = pd.concat(rows, ignore_index=True)
    for protocol, table in found[found["split"] == MEAN].groupby("protocol", sort=False):
        print(f"\nDifferences, protocol {protocol}, mean of the quadrants, {len(seeds)} seeds:\n")
        print("| comparison | difference | SD over seeds | over seeds | over plates | over seeds and plates |")
        print("|---|---|---|---|---|---|")
        for row in table.to_dict("records"):
            bounds = [f"[{row[f'low{part}']:+.3f}, {row[f'high{part}']:+.3f}]" for part in ("_seeds", "_plates", "")]
            spread = f"{row['difference']:+.3f} | {row['sd_seeds']:.3f}"
            print(f"| {row['statement']} | {spread} | {' | '.join(bounds)} |")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, default=Path("results/demo"))
    parser.add_argument("--out", type=Path, default=Path("results/claims"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[10, 11, 12, 13, 14], help="10 is the demo's")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--intensity", choices=["untrained", "all"], default="", help="what brightness is worth")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if not (arguments.demo / "sample/cells.parquet").is_file():
        print(f"{arguments.demo}: no cells of the demo; run `make demo` first")
        return
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    out, seeds = arguments.out, arguments.seeds
    if arguments.quick:
        out, seeds = out / "quick", seeds[:2]
    bench = Bench(arguments.demo, out, arguments.quick, arguments.intensity, config)
    for encoder in bench.fixed:
        for channels in BOTH:
            probe(bench, encoder, channels, None)
    for number, seed in enumerate(seeds, start=1):
        for by_plate in {"": [False], "untrained": [], "all": [False, True]}[bench.intensity]:
            pretrain(bench, seed, by_plate)
        for encoder, sets in bench.encoders.items():
            for channels in sets:
                probe(bench, encoder, channels, seed)
        if number in (3, len(seeds)):
            write_table(report(bench, seeds[:number]), out / f"{'intensity' if bench.intensity else 'claims'}.parquet")
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    print(f"\n{platform.machine()}, {versions}, {arguments.threads} thread(s)")


if __name__ == "__main__":
    main()
