"""Every stage of the run against its bound and its best alternative, in one run: a table in Markdown, and JSON.

    python bench/stages.py [--quick] [--out FOLDER] [--only download,nuclei] [--field FOLDER] [--probe FOLDER]

or `make bench-stages`. Calls the other benches' functions; some 10 minutes on one otherwise idle core. Each figure is a
rate or time by processor seconds unless it says otherwise, so that other work disturbs it least. FOLDER/stages.json and
FOLDER/stages.md are written after each part.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import codecs_of_tiles as codecs
import download
import numpy as np
import plate_costs
import pretrain
import probe
import ragged
import tiles
import torch
from loader import epoch_rate, random_rate
from scaling import field_files

from campfire.core.files import write_text
from campfire.core.memory import keep_freed_memory
from campfire.evaluation.probes import ProbeOptions
from campfire.images.nuclei import segment
from campfire.images.reader import read_image
from campfire.model.config import ModelConfig
from campfire.simulate.artefacts import paste
from campfire.training.flops import training_flops

HERE = Path(__file__).resolve().parent
PROBE = HERE.parents[1] / "shared/data/official/probe"


@dataclass(frozen=True)
class Stage:
    """One row of the table; the ratios say what share of the bound, and how many times the alternative, ours is."""

    stage: str
    unit: str
    bound: str
    bound_value: float | None
    ours: float
    alternative: str = ""
    alternative_value: float | None = None
    less_is_better: bool = False

    def over(self, other: float | None) -> float | None:
        """Ours relative to another value, above 1 where ours is better."""
        if other is None:
            return None
        return other / self.ours if self.less_is_better else self.ours / other


@dataclass
class Result:
    """Rows of the table, and the other facts of a part."""

    stages: list[Stage] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Input:
    """What the parts are given."""

    quick: bool
    files: list[Path]
    """TIFFs of one field, in the order of the channels."""
    field: Path | None
    probe: Path


def of_download(given: Input) -> Result:
    rows = download.run(2 if given.quick else 40, given.field)
    found = {row["client"]: row for row in rows if "left_out" not in row}
    ours, bound = found["campfire"], found["boto3 + checks"]
    return Result(
        [
            Stage(
                "download", "ms per object", "bare boto3 loop with the same checks", bound["ms_per_object"],
                ours["ms_per_object"], less_is_better=True,
            ),
            Stage(
                "download, by the clock", "objects/s", "the same", bound["objects_per_s"], ours["objects_per_s"]
            ),
        ],
        {"clients": rows},
    )  # fmt: skip


def of_nuclei(given: Input) -> Result:
    image = read_image(given.files[0])
    repeats = 1 if given.quick else 9
    plain = plate_costs.median_seconds(lambda: plate_costs.otsu_watershed(image), repeats)
    empty = np.zeros(image.shape, bool)
    size = 20 / plate_costs.PIXEL_UM
    dirty = paste(image, "debris", size, offset=600, brightness=4000, occupied=empty, exposure=0.5).image
    rows = []
    for name, picture in (("nuclei, classical", image), ("nuclei beside debris", dirty)):
        seconds = plate_costs.median_seconds(lambda own=picture: segment(own, plate_costs.PIXEL_UM), repeats)  # type: ignore[misc]
        rows.append(Stage(name, "s per field", "Otsu and watershed of the field", plain, seconds, less_is_better=True))
    return Result(rows)


def of_tiles(given: Input) -> Result:
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench_stages_") as folder:
        for per_site in (60, 150):
            turns = [
                tiles.bench_cutting(Path(folder) / str(turn), given.files, 4 if given.quick else 40, per_site)
                for turn in range(1 if given.quick else 3)
                if (Path(folder) / str(turn)).mkdir(exist_ok=True) is None
            ]
            share = float(np.median([turn["per_core_ratio_with_writing"] for turn in turns]))
            rate = float(np.median([turn["cut_sites_per_s"] for turn in turns]))
            name = f"tiles, {per_site} per site (sites/s by the clock)"
            rows.append(Stage(name, "sites/s", "decoding and writing the same bytes", rate / share, rate))
    return Result(rows)


def of_codecs(given: Input) -> Result:
    return Result(facts={"stores": codecs.measure_codecs(given.files, 0.1 if given.quick else 1.5)})


def of_loader(given: Input) -> Result:
    count = 600 if given.quick else 6000
    with tempfile.TemporaryDirectory(prefix="bench_stages_") as folder:
        paths = [pretrain.write_plate(Path(folder) / f"{i}.npy", count, 3, i) for i in range(2)]
        for path in paths:
            path.read_bytes()
        rates = [epoch_rate(pretrain.synthetic_source(paths, 3), 400, 2, turn, 16_384)[0] for turn in range(4)]
        single = random_rate(pretrain.synthetic_source(paths, 3), 400, 2000)
    step = pretrain.step_rate(quick=True)
    stage = Stage(
        "loader, warm, by the clock", "tiles/s", "training step that it feeds", step, float(np.median(rates[1:])),
        "single random reads", single,
    )  # fmt: skip
    return Result([stage])


def of_pretraining(given: Input) -> Result:
    device, config, batch = torch.device("cpu"), ModelConfig(**pretrain.DEMO_MODEL), 16 if given.quick else 64
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench_stages_") as folder:
        path = pretrain.write_plate(Path(folder) / "a.npy", 8 * batch, 3, 0)
        for channels in (1, 3):
            source = pretrain.synthetic_source([path] * 4, channels)
            options = pretrain.options_for(pretrain.DEMO_MODEL, channels, batch, device)
            turns = []
            for _ in range(1 if given.quick else 3):
                rate = pretrain.matmul_rate(device, torch.float32)
                ours, _ = pretrain.our_rate(options, source, device, 1, 1 if given.quick else 4)
                plain = pretrain.plain_rate(config, source, batch, device, 1, 1 if given.quick else 2)
                turns.append((ours, plain, rate / training_flops(config, channels)))
            ours, plain, bound = np.median(turns, axis=0).tolist()
            visible = config.kept * channels
            name, bounded = f"pretraining on the CPU, {channels} channel(s)", "FLOP at the rate of a matrix product"
            first, second, third = (value * visible for value in (bound, ours, plain))
            rows.append(Stage(name, "encoder tokens/s", bounded, first, second, "plain eager loop", third))
    return Result(rows)


def of_channels(given: Input) -> Result:
    rates = ragged.measure(96 if given.quick else 256, 4, 6 if given.quick else 24, 1 if given.quick else 3)
    rows = [
        Stage("batches of equal channels", "tokens/s", "", None, rates["equal"], name, rate)
        for name, rate in rates.items()
        if name != "equal"
    ]
    return Result(rows, {"rates": rates})


def products_seconds(folder: Path, run: str, batch: int) -> float:
    """Processor time of the forward and the backward product of one step of one fit, all fits at once."""
    embeddings, _, fits, _, _, classes = probe.load(folder, run)
    lanes, width = len(fits), embeddings.shape[1] + 1
    rng = np.random.default_rng(0)
    x, weights = (rng.random((lanes, *shape), np.float32) for shape in ((batch, width), (width, classes)))
    logits, gradient = np.empty((lanes, batch, classes), np.float32), np.empty_like(weights)

    def step() -> None:
        for _ in range(200):
            np.matmul(x, weights, out=logits)
            np.matmul(x.transpose(0, 2, 1), logits, out=gradient)

    return plate_costs.median_seconds(step, 5) / 200 / lanes


def of_probe(given: Input) -> Result:
    if not given.probe.is_dir():
        return Result(facts={"left_out": f"{given.probe}: no reference embeddings"})
    rows, facts = [], []
    for run, epochs in (("control", 100), ("heldout30", 6)):
        options = ProbeOptions(epochs=2 if given.quick else epochs, learning_rate=1e-3)
        row = probe.compare(given.probe, run, options, ["loop", "batched"])
        facts.append(row)
        loop, batched = row["loop"]["us_per_step"], row["batched"]["us_per_step"]
        ours = row["ours"]["us_per_step"]
        name, least = f"probe, {run}", 1e6 * products_seconds(given.probe, run, options.batch_size)
        bound = "its two matrix products alone"
        rows.append(Stage(name, "us per step and fit", bound, least, ours, "batched torch step", batched, True))
        rows.append(Stage(name, "us per step and fit", bound, least, ours, "plain torch loop", loop, True))
    return Result(rows, {"runs": facts})


def of_evaluation(given: Input) -> Result:
    """Growth of time and memory with the number of cells; the ratio is time per cell at the smaller size over that
    at the larger one, so below 1 where a stage is superlinear."""
    small, large = ("0.02", "0.04") if given.quick else ("0.05", "0.15")
    parts = ["intervals"] if given.quick else ["intervals", "release"]
    rows, facts = [], []
    for part in parts:
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            command = [sys.executable, str(HERE / "evaluation_size.py"), "--parts", part, "--share", small, large]
            subprocess.run([*command, "--json", file.name], check=True)
            one, two = json.loads(Path(file.name).read_text())
        facts += [one, two]
        per_cell = [1e6 * row["cpu_s"] / row["rows"] for row in (one, two)]
        name = f"{part}, {one['rows']:,} and {two['rows']:,} cells"
        rows.append(
            Stage(name, "us per cell", "the same at the smaller size", per_cell[0], per_cell[1], "", None, True)
        )
    return Result(rows, {"sizes": facts})


PARTS: dict[str, Callable[[Input], Result]] = {
    "download": of_download,
    "nuclei": of_nuclei,
    "tiles": of_tiles,
    "codecs": of_codecs,
    "loader": of_loader,
    "pretraining": of_pretraining,
    "channels": of_channels,
    "probe": of_probe,
    "evaluation": of_evaluation,
}


def number(value: float | None) -> str:
    """Three significant digits."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def markdown(results: dict[str, Result], machine: str) -> str:
    """The table of stages and that of stores."""
    head = "| stage | unit | bound | | ours | share of the bound | best alternative | | ours is |"
    lines = [machine, "", head, "|---|---|---|---:|---:|---:|---|---:|---:|"]
    for result in results.values():
        for row in result.stages:
            share, times = row.over(row.bound_value), row.over(row.alternative_value)
            lines.append(
                f"| {row.stage} | {row.unit} | {row.bound} | {number(row.bound_value)} | {number(row.ours)} | "
                f"{'' if share is None else f'{share:.2f}'} | {row.alternative} | {number(row.alternative_value)} | "
                f"{'' if times is None else f'{times:.1f}x'} |"
            )
    if "download" in results:
        lines += [
            "",
            "| client | objects/s | MB/s | ms of processor time per object | peak MiB |",
            "|---|---:|---:|---:|---:|",
        ]
        for row in results["download"].facts["clients"]:
            name = row["client"]
            values = [
                f"{row[key]:.1f}" for key in ("objects_per_s", "mb_per_s", "ms_per_object", "peak_mib") if key in row
            ]
            lines.append(f"| {name} | {' | '.join(values or [row.get('left_out', ''), '', '', ''])} |")
    if "codecs" in results:
        lines += [
            "",
            "| tiles stored as | bytes | the paper's run, TB | tiles read per second of a core |",
            "|---|---:|---:|---:|",
        ]
        for row in results["codecs"].facts["stores"]:
            lines.append(
                f"| {row['store']} | {row['share']:.2f} | {row['paper_tb']:.1f} | {row['tiles_per_cpu_s']:,.0f} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smallest sizes, only to check that every part runs")
    parser.add_argument("--only", help=f"parts, separated by commas: {', '.join(PARTS)}")
    parser.add_argument("--out", type=Path, help="folder of stages.json and stages.md")
    parser.add_argument("--field", type=Path, help="folder with the five TIFFs of one real field")
    parser.add_argument("--probe", type=Path, default=PROBE, help="folder of the reference embeddings")
    arguments = parser.parse_args()
    wanted = arguments.only.split(",") if arguments.only else list(PARTS)
    if unknown := set(wanted) - set(PARTS):
        parser.error(f"--only: no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    torch.set_num_threads(1)
    keep_freed_memory()
    results: dict[str, Result] = {}
    load = os.getloadavg()[0]
    machine = f"{tiles.machine()}, numpy {np.__version__}, torch {torch.__version__}, load {load:.1f} at the start"
    with tempfile.TemporaryDirectory(prefix="bench_stages_") as folder:
        given = Input(
            arguments.quick, field_files(arguments.field, Path(folder) / "field"), arguments.field, arguments.probe
        )
        for part in wanted:
            began = time.monotonic()
            results[part] = PARTS[part](given)
            results[part].facts["wall_s"] = time.monotonic() - began
            print(f"{part}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            if arguments.out:
                whole = {"machine": machine, "quick": arguments.quick}
                whole |= {name: asdict(result) for name, result in results.items()}
                write_text(arguments.out / "stages.json", json.dumps(whole, indent=2) + "\n")
                write_text(arguments.out / "stages.md", markdown(results, machine))
    print(markdown(results, machine))


if __name__ == "__main__":
    main()
