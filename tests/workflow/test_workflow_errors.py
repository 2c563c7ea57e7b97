"""Wrong configs, sheets and sources end with one clear message and leave nothing half-written."""

import io
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml

from campfire.simulate.options import ScreenOptions
from campfire.simulate.screen import write_screen
from campfire.simulate.server import serve
from support.warm_snakemake import snakemake

pytestmark = pytest.mark.workflow

SCREEN = ScreenOptions(
    id_plates=2, ood_plates=1, compound_plates=0, transfer_plates=0, positive_controls=1, compounds=3, dmso_wells=1,
    sites=1, field=240, cells=14, corrupt=0, illumination=False, workers=1,
)  # fmt: skip
PLATE = "SIMQC001"
CONTROLS = ["JCP2022_033924", "JCP2022_900001"]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("screen")
    write_screen(root, SCREEN)
    return root


@pytest.fixture(scope="module")
def endpoint(screen: Path) -> Iterator[str]:
    with serve(screen / "s3") as url:
        yield url


@pytest.fixture
def run(repository: Path, screen: Path, endpoint: str, tmp_path: Path) -> Run:
    """Run the workflow on the tiny screen with changes laid over its config; results go to tmp_path/results."""

    def start(
        *targets: str, dry: bool = False, bucket: Path | None = None, **changes: Any
    ) -> subprocess.CompletedProcess[str]:
        config: dict[str, Any] = {
            "results": str(tmp_path / "results"),
            "logs": str(tmp_path / "logs"),
            "sheet": str(screen / "plates.tsv"),
            "metadata": {
                name: {"address": str(screen / f"metadata/{name}.csv.gz"), "sha256": None}
                for name in ("plate", "well", "compound")
            },
            "s3": {"endpoint_url": endpoint, "attempts": 1, "backoff_s": 0.01},
            "known_bad": str(repository / "config" / "known_bad.tsv"),
            "split": {"held_out": 0, "wells_train": 1, "wells_val": 0, "wells_test": 1, "controls": CONTROLS},
            "nuclei": {"method": "classical"},
        }
        for section, value in changes.items():
            config[section] = {**config[section], **value} if isinstance(config.get(section), dict) else value
        file = tmp_path / "config.yaml"
        command = ["--snakefile", repository / "Snakefile", "--cores", "1", "--directory", tmp_path]
        command += ["--configfile", repository / "config/config.yaml", file]
        command += ["--nocolor", *(["-n"] if dry else []), "--", *targets]
        if bucket:
            config["s3"]["endpoint_url"] = None
        file.write_text(yaml.safe_dump(config))
        if not bucket:
            return snakemake(command, tmp_path)
        served = [sys.executable, "-m", "campfire.simulate.server", bucket, "--", sys.executable, "-m", "snakemake"]
        return subprocess.run([*served, *command], capture_output=True, text=True, timeout=240)

    return start


def assert_told(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode != 0
    output = done.stdout + done.stderr
    for word in words:
        assert word in output, f"{word!r} is not in:\n{output[-3000:]}"
    assert "Traceback" not in output


def assert_nothing_half_written(results: Path, stage: str) -> None:
    assert not list(results.glob(f"{stage}/**/*.parquet"))
    assert not [path for path in results.rglob("*.partial*") if "state" not in path.parts]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"splitt": {}}, ["splitt: no such option", "did you mean `split`?"]),
        ({"probe": {"epochz": 3}}, ["probe.epochz: no such option", "`epochs`"]),
        ({"probe": {"epochs": "many"}}, ["probe.epochs", "expected a whole number"]),
        (
            {"channel_sets": {"DNA": ["DNA", "Actin"]}},
            ["channel_sets.DNA.1: unknown channel `Actin`", "known: DNA, AGP"],
        ),
        ({"evaluate": [{"encoder": "campfyre", "channel_sets": ["DNA"]}]}, ["unknown encoder `campfyre`", "campfire"]),
        ({"sheet": "nowhere.tsv"}, ["nowhere.tsv", "no such sheet"]),
        ({"channels": ["DNA"]}, ["unknown channel `ER`", "channel_sets.DNA_ER_RNA"]),
    ],
)
def test_a_wrong_config_is_answered(run: Run, changes: dict[str, Any], words: list[str], tmp_path: Path) -> None:
    assert_told(run("split", dry=True, **changes), *words)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("figurs", ["figurs: no such target; did you mean figures?"]),
        ("figure_34", ["figure_34: no such target; did you mean figure_3_4?"]),
        ("figure_3_4", ["figure_3_4: name the file: ", "/results/figures/figure_3_4.pdf"]),
        ("table_3_1.md", ["table_3_1.md: name the file: ", "/results/tables/table_3_1.md"]),
        ("config.yaml", ["config.yaml: a config, which nothing makes", "--configfile config.yaml -- all"]),
        ("elsewhere/tables/table_3_1.md", ["nothing makes this file; results of this run are in"]),
    ],
)
def test_a_target_that_nothing_makes_is_answered_with_the_right_one(run: Run, target: str, words: list[str]) -> None:
    done = run(target, dry=True)
    assert_told(done, *words)
    assert "MissingRuleException" not in done.stdout + done.stderr


def test_an_unreadable_sheet_names_file_and_line(run: Run, screen: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "plates.tsv"
    sheet.write_text((screen / "plates.tsv").read_text().replace("\tid\n", "\tidd\n", 1))
    assert_told(run("split", dry=True, sheet=str(sheet)), str(sheet), "line 2", "unknown role 'idd'")


def test_a_plate_outside_the_sheet_is_named(run: Run, tmp_path: Path) -> None:
    target = str(tmp_path / "results/tiles/SIMQC010.parquet")
    assert_told(run(target, dry=True), "plate SIMQC010 is not in", "plates.tsv", "SIMQC001")


def test_too_few_plates_for_the_split(run: Run, tmp_path: Path) -> None:
    assert_told(run("split", split={"wells_train": 5}), "plates")
    assert_nothing_half_written(tmp_path / "results", "split")


def test_an_unknown_plate_in_the_well_table(run: Run, screen: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "plates.tsv"
    sheet.write_text((screen / "plates.tsv").read_text() + "source_99\tSIM_1\tNOWELLS\tTARGET2\tid\n")
    assert_told(run("split", sheet=str(sheet)), "well.csv.gz", "NOWELLS")


def images(tmp_path: Path) -> str:
    return str(tmp_path / f"results/download/{PLATE}.parquet")


def test_s3_that_cannot_be_reached(run: Run, tmp_path: Path) -> None:
    done = run(images(tmp_path), s3={"endpoint_url": "http://127.0.0.1:9"})
    assert_told(done, "127.0.0.1:9", PLATE)
    assert_nothing_half_written(tmp_path / "results", "download")


def test_s3_without_the_plate(run: Run, tmp_path: Path) -> None:
    done = run(images(tmp_path), s3={"prefix": "cpg0017-other"})
    assert_told(done, PLATE, "load_data")
    assert_nothing_half_written(tmp_path / "results", "download")


def test_missing_weights(run: Run, tmp_path: Path) -> None:
    weights = str(tmp_path / "none.safetensors")
    done = run(
        "embeddings",
        dry=True,
        encoders={"file": {"kind": "timm", "model": "vit_tiny_patch16_224", "weights": weights}},
        evaluate=[{"encoder": "file", "channel_sets": ["DNA_AGP_Mito"]}],
    )
    assert_told(done, weights, "file")


@pytest.fixture
def bad_dna(screen: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the bucket in which the DNA images of the first plate hold the given bytes, one after the other."""

    def make(*bodies: bytes) -> Path:
        root = tmp_path / "s3"
        shutil.copytree(screen / "s3", root)
        index = next(root.glob(f"**/{PLATE}/load_data*"))
        table = pd.read_parquet(index) if index.suffix == ".parquet" else pd.read_csv(index, dtype=str)
        for number, url in enumerate(table["URL_OrigDNA"]):
            (root / url.removeprefix("s3://")).write_bytes(bodies[number % len(bodies)])
        return root

    return make


def test_corrupt_tiffs(run: Run, bad_dna: Callable[..., Path], tmp_path: Path) -> None:
    done = run(images(tmp_path), bucket=bad_dna(b"II*\0 not an image"))
    assert_told(done, f"plate {PLATE}", "s3.max_bad_share", "corrupt")
    assert_nothing_half_written(tmp_path / "results", "download")


def test_a_plate_without_nuclei(run: Run, bad_dna: Callable[..., Path], tmp_path: Path) -> None:
    fields = []
    for seed in range(8):
        noise = np.random.default_rng(seed).integers(90, 110, (SCREEN.field, SCREEN.field)).astype(np.uint16)
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, noise)
        fields.append(buffer.getvalue())
    done = run(str(tmp_path / f"results/nuclei/{PLATE}.parquet"), bucket=bad_dna(*fields))
    assert_told(done, f"plate {PLATE}: no nucleus to keep")
    assert_nothing_half_written(tmp_path / "results", "nuclei")
