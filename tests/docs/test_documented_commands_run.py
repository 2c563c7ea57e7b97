"""The inexpensive commands of the docs are run as printed; Snakemake's as dry runs, into another folder of results."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from docs.test_documented_commands import COMMANDS, OWN, REPOSITORY, Shown

from support.ome_plates import pixels, write_zarr
from support.warm_snakemake import snakemake

pytestmark = pytest.mark.workflow


def named(commands: list[Shown]) -> list[object]:
    return [pytest.param(c, id=f"{c.doc}: {' '.join(c.words)[:70]}") for c in commands]


def of(program: str) -> list[Shown]:
    return [c for c in COMMANDS if c.words[0].removeprefix(".venv/bin/") == program]


def on_files_of_the_repository(command: Shown) -> bool:
    files = [word for word in command.words if word.endswith(".yaml")]
    return not any(word.startswith(OWN) for word in files)


NO_SETUP = ["make", "-o", ".venv/bin/.ready"]
"""A test that made the environment anew would take it from all others."""


def run(words: list[str], folder: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src"), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def parts(words: list[str]) -> tuple[list[str], list[str]]:
    """Options and targets of a command of Snakemake; without two dashes, the words behind the last option's value."""
    if "--" in words:
        at = words.index("--")
        return words[:at], words[at + 1 :]
    targets = [word for word in words if word in ("all", "check_source", "ablation", "bundle")]
    return [word for word in words if word not in targets], targets


PLANNED = [c for c in of("snakemake") if "--unlock" not in c.words and on_files_of_the_repository(c)]


@pytest.mark.parametrize("command", named(PLANNED))
def test_snakemake_plans_what_a_doc_shows(command: Shown, tmp_path: Path) -> None:
    options, targets = parts(command.words[1:])
    if "--profile" in options:
        at = options.index("--profile")
        options[at : at + 2] = []
    if "--config" not in options:
        options.append("--config")
    # A file of the results is planned where it is.
    if not any(target.startswith("results/") for target in targets):
        options.insert(options.index("--config") + 1, f"results={tmp_path}/results")
    options = [word for word in options if word != "-n"]
    if options[-1] == "--config":
        options.pop()
    words = ["-n", "--quiet", "rules", "--cores", "1", *options, "--", *targets]
    done = snakemake(words, REPOSITORY, {"HF_HUB_OFFLINE": "1"})
    if "results/" in done.stdout and ("no such sheet" in done.stdout or "no weights at results/" in done.stdout):
        pytest.skip("needs results of another run, as its doc says")
    assert done.returncode == 0, (done.stdout + done.stderr)[-1500:]
    assert "Traceback" not in done.stderr


# test_first_hour.py follows that page from its images to the end.
ARRANGED = [c for c in of("campfire") if c.words[1] == "arrange" and c.doc != "docs/first-hour.md"]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Images named as Opera Phenix does and as the docs' own pattern reads them, and CellProfiler's list of them."""
    folder = tmp_path / "tiffs"
    folder.mkdir()
    rows = []
    for row, well in enumerate(("A01", "B03"), start=1):
        found = {"Metadata_Plate": "P1", "Metadata_Well": well, "Metadata_Site": "1"}
        for number, channel in enumerate(("DAPI", "GFP"), start=1):
            image = np.random.default_rng(row * 10 + number).integers(1, 999, (16, 16)).astype(np.uint16)
            tifffile.imwrite(folder / f"{well}_1_{channel}.tif", image)
            found |= {f"PathName_Orig{channel}": "D:\\data", f"FileName_Orig{channel}": f"{well}_1_{channel}.tif"}
        rows.append(found)
    pd.DataFrame(rows).to_csv(tmp_path / "load_data.csv", index=False)
    return folder


def hold_channels_in_one_file(folder: Path) -> None:
    """Replace the images of a folder by one OME-TIFF for each well, with both channels in it."""
    for path in list(folder.iterdir()):
        path.unlink()
    metadata = {"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP"]}}
    for well, image in zip(("A01", "B03"), pixels(2, 2), strict=True):
        tifffile.imwrite(folder / f"{well}_s1.ome.tif", image, metadata=metadata, photometric="minisblack")


@pytest.mark.parametrize("command", named(ARRANGED))
def test_images_are_arranged_as_the_docs_show(command: Shown, raw: Path, tmp_path: Path) -> None:
    text = shlex.join(command.words[1:]).replace("/data/tiffs", str(raw)).replace("/mnt/data", str(raw))
    if "plate.ome.zarr" in text:
        text = text.replace("/data/plate.ome.zarr", str(write_zarr(tmp_path / "plate.ome.zarr", pixels(2, 2, 2, 1), 2)))
    elif "(?P<site>" in text and "(?P<channel>" not in text:
        hold_channels_in_one_file(raw)
    if "--pattern phenix" in text:
        for path in list(raw.iterdir()):
            well, _, channel = path.stem.split("_")
            path.rename(raw / f"r0{ord(well[0]) - 64}c{well[1:]}f01p01-ch{1 + (channel == 'GFP')}sk1fk1fl1.tiff")
    done = run([sys.executable, "-m", "campfire", *shlex.split(text)], tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("images/**/load_data.csv")), done.stdout


def test_make_help_lists_every_target_and_no_other() -> None:
    text = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony
    listed = [line.split()[0] for line in run([*NO_SETUP, "help"]).stdout.splitlines() if line]
    helpers = {"has-demo", "lint-style", "lint-types"}  # `lint` is both of the latter
    assert set(phony[1].split()) - helpers <= set(listed)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["plan", "config=config/demo.yaml"], "no variable config"),
        (["plan", "CONFIG=config/nowhere.yaml"], "--configfile config/nowhere.yaml: no such file"),
        (["figure", "name=figure_3_4"], "no variable name"),
    ],
)
def test_a_mistyped_variable_of_make_is_named(words: list[str], said: str) -> None:
    done = run([*NO_SETUP, *words])
    assert done.returncode and said in done.stderr, done.stderr


@pytest.mark.parametrize("target", ["pilot", "nf1", "test-slurm"])
def test_a_target_without_its_data_says_where_they_come_from(target: str, tmp_path: Path) -> None:
    folder = tmp_path / "deep/checkout"
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / "Makefile").write_text((REPOSITORY / "Makefile").read_text(encoding="utf-8"))
    for name in ("requirements-uv.lock", "requirements-dev.lock", "pyproject.toml", ".venv/bin/.ready"):
        (folder / name).write_text("")
    done = run([*NO_SETUP, target], folder)
    assert done.returncode and f"make {target} needs ../shared" in done.stdout + done.stderr
    assert "which is not in the repository: " in done.stdout + done.stderr
