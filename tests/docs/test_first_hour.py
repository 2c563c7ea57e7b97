"""docs/first-hour.md as a reader follows it: its files are written as printed, its commands run."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import yaml

from campfire.core.yaml import read_yaml
from support.nuclei_fields import simulate_field

pytestmark = pytest.mark.workflow
PAGE = "docs/first-hour.md"
NAME = "Timepoint001_Row02_Well{well:02d}_{channel}_zstack001_r000_c000.tif"


def blocks(repository: Path, language: str) -> list[str]:
    """The fenced blocks of a language on the page."""
    text = (repository / PAGE).read_text(encoding="utf-8")
    fenced = re.findall(r"^```([^\n]*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [block for name, block in fenced if name == language]


def commands(repository: Path, program: str) -> list[list[str]]:
    """The words of its commands that begin with a program, without the program."""
    lines = "".join(blocks(repository, "")).replace("\\\n", " ").splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith(program)]


@pytest.fixture
def folder(repository: Path, tmp_path: Path) -> Path:
    """A working folder with the reader's TIFFs, sheet and config; the images are arranged as the page says."""
    raw = tmp_path / "tiffs"
    raw.mkdir()
    for well in (2, 4):
        for number, channel in enumerate(("DAPI", "Alexa488", "mCherry")):
            image, _ = simulate_field((700, 700), 40, 20, seed=10 * well + number)[:2]
            tifffile.imwrite(raw / NAME.format(well=well, channel=channel), image.astype(np.uint16))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/wells.tsv").write_text(blocks(repository, "tsv")[0])
    (tmp_path / "mine/tiffs.yaml").write_text(blocks(repository, "yaml")[0])
    (arrange,) = [words for words in commands(repository, ".venv/bin/campfire") if words[0] == "arrange"]
    done = run([word.replace("/data/tiffs", str(raw)) for word in arrange], tmp_path, repository)
    assert done.returncode == 0 and 's3: {folder: "mine/images"' in done.stdout, done.stderr
    return tmp_path


def run(words: list[str], folder: Path, repository: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(repository / "src")}
    return subprocess.run(
        [sys.executable, "-m", "campfire", *words], cwd=folder, env=environment, capture_output=True, text=True
    )


def on_tiffs(repository: Path, name: str) -> list[list[str]]:
    found = [words for words in commands(repository, ".venv/bin/campfire") if words[0] == name]
    return [words for words in found if "mine/tiffs.yaml" in words]


def test_own_tiffs_are_planned_as_the_page_says(folder: Path, repository: Path) -> None:
    ((plan),) = on_tiffs(repository, "plan")
    done = run(plan, folder, repository)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^total +12 ", done.stdout, re.MULTILINE), done.stdout


@pytest.mark.slow
def test_own_tiffs_become_a_picture_and_a_page(folder: Path, repository: Path) -> None:
    for words in on_tiffs(repository, "run"):
        done = run(words, folder, repository)
        assert done.returncode == 0, done.stderr[-2000:]
    (ending,) = blocks(repository, "text")
    assert ending in done.stderr
    assert (folder / "results/mine/figures/contact_sheet/P1.jpg").stat().st_size > 5000
    assert '"B04"' in (folder / "results/mine/page/index.html").read_text()


def test_the_own_encoder_joins_those_of_the_demo(repository: Path) -> None:
    shown: dict[str, Any] = yaml.safe_load(blocks(repository, "yaml")[1])
    demo = read_yaml(repository / "config/demo.yaml")
    assert shown["evaluate"][:-1] == demo["evaluate"], (
        "lists replace each other: the page must name the demo's encoders"
    )
    assert shown["evaluate"][-1]["encoder"] == "mine"
    assert shown["tables"]["encoders"] == [*demo["tables"]["encoders"], "mine"]
    factory = shown["encoders"]["mine"]["factory"]
    assert factory == "my_encoders:make" and "def make(name" in (repository / "docs/encoders.md").read_text()
