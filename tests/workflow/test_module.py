"""The workflow as a module of another one, in a folder of its own; paths of folder and environment have a blank.

The whole smoke screen as a module: `test_two_runs`.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from campfire.core.files import read_table
from campfire.simulate.options import ScreenOptions
from campfire.simulate.screen import write_screen
from support.module_workflow import write_snakefile

pytestmark = pytest.mark.workflow

SCREEN = ScreenOptions(
    id_plates=2, ood_plates=1, compound_plates=0, transfer_plates=0, positive_controls=1, compounds=3, dmso_wells=1,
    sites=1, field=240, cells=14, corrupt=0, illumination=False, workers=1,
)  # fmt: skip
EMBEDDINGS = [f"results/embeddings/untrained/DNA/SIMQC00{number}.parquet" for number in (1, 2)]
Start = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def folder(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workflow on top of this one, with a config of what differs alone and the images of a tiny screen."""
    root = tmp_path_factory.mktemp("another") / "my screen"
    root.mkdir()
    write_screen(root / "screen", SCREEN)
    model = {"width": 64, "depth": 1, "heads": 2, "decoder_width": 32, "decoder_depth": 1, "decoder_heads": 2}
    config: dict[str, Any] = {
        "results": "./results//",
        "sheet": "screen/plates.tsv",
        "metadata": {
            name: {"address": f"screen/metadata/{name}.csv.gz", "sha256": None}
            for name in ("plate", "well", "compound")
        },
        "s3": {"folder": "screen/s3/cellpainting-gallery"},
        "split": {
            "held_out": 0, "wells_train": 1, "wells_val": 0, "wells_test": 1,
            "controls": ["JCP2022_033924", "JCP2022_900001"],
        },
        "nuclei": {"method": "classical"},
        "sample": {"control_cells": 4, "heldout_cells": 4},
        "pretrain": {"runs": {"campfire": {"imagenet": "", "model": model}}},
        "evaluate": [{"encoder": "untrained", "channel_sets": ["DNA"]}],
        "tables": {"id_channels": "DNA", "ood_channels": "AGP", "encoders": ["untrained"], "twins": {}},
    }  # fmt: skip
    (root / "screen.yaml").write_text(yaml.safe_dump(config))
    (root / "my environment").symlink_to(sys.prefix)
    write_snakefile(repository, root, EMBEDDINGS)
    return root


@pytest.fixture
def start(folder: Path) -> Start:
    def snakemake(*arguments: str) -> subprocess.CompletedProcess[str]:
        python = str(folder / "my environment/bin/python")
        command = [python, "-m", "snakemake", "--cores", "1", "--nocolor", *arguments]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)

    return snakemake


def test_a_rule_on_top_of_the_embeddings(folder: Path, start: Start) -> None:
    done = start("--", "count")
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert "double '/'" not in done.stdout + done.stderr
    assert int((folder / "cells.txt").read_text()) == sum(len(read_table(folder / path)) for path in EMBEDDINGS) > 4
    again = start("-n", "--", "count")
    assert "Nothing to be done" in again.stdout + again.stderr


def test_the_guard_of_the_docs_stops_a_module_too(start: Start) -> None:
    assert start("--", "count").returncode == 0
    stopped = start("--forcerun", "images", "--", "count")
    assert stopped.returncode != 0
    assert "This plan would redo finished, expensive work" in stopped.stdout + stopped.stderr
    assert "Nothing to be done" in "".join([(again := start("-n", "--", "count")).stdout, again.stderr])


def test_every_rule_can_be_planned(start: Start) -> None:
    done = start("-n", "--quiet", "rules", "--", "all")
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert "leakage_effects" in done.stdout + done.stderr


def test_the_snakefile_is_found_from_another_folder(repository: Path, folder: Path) -> None:
    """`-s` with a config that says what differs: the rest is the workflow's own config."""
    command = [sys.executable, "-m", "snakemake", "-s", str(repository / "Snakefile"), "-n", "--quiet", "rules"]
    done = subprocess.run(
        [*command, "--configfile", "screen.yaml", "--", "split"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
