"""Two runs from scratch on one machine give the same bytes; the second is a module of another workflow."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from campfire.core.files import read_table
from campfire.screen.metadata import read_sheet
from support.module_workflow import write_snakefile

pytestmark = [pytest.mark.slow, pytest.mark.workflow]
COMPARED = ("tables/*", "figures/**/*.csv", "figures/**/*.svg", "tiles/*.npy", "pretrain/*/model.safetensors")


@pytest.fixture(scope="module")
def screen(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("screen")
    command = [sys.executable, "-m", "campfire.simulate", str(repository / "config/smoke-screen.yaml"), str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return folder


def snakemake(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "snakemake", "--directory", str(folder), "--cores", "2", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout + done.stderr


def folder_with(screen: Path, folder: Path) -> Path:
    (folder / "results").mkdir(parents=True)
    (folder / "results/smoke-screen").symlink_to(screen)
    return folder


def direct(repository: Path, screen: Path, folder: Path) -> Path:
    """The smoke run in a folder that has nothing but the config and the screen; its results."""
    folder_with(screen, folder)
    (folder / "config").symlink_to(repository / "config")
    configs = [str(repository / f"config/{name}.yaml") for name in ("config", "smoke")]
    snakemake(folder, "-s", str(repository / "Snakefile"), "--configfile", *configs, "--", "all")
    return folder / "results/smoke"


def as_module(repository: Path, screen: Path, folder: Path) -> Path:
    """The same run as a module of the Snakefile in docs/module.md, with a rule on top of embeddings; its results."""
    folder_with(screen, folder)
    (folder / "screen.yaml").write_text((repository / "config/smoke.yaml").read_text())
    write_snakefile(repository, folder, embeddings(screen))
    snakemake(folder, "--", "all", "count")
    assert int((folder / "cells.txt").read_text()) == sum(len(read_table(folder / path)) for path in embeddings(screen))
    assert "Nothing to be done" in snakemake(folder, "-n", "--", "all", "count")
    return folder / "results/smoke"


def embeddings(screen: Path) -> Sequence[str]:
    """Embeddings of the evaluation plates by the trained encoder on its own channels."""
    sheet = read_sheet(screen / "plates.tsv")
    plates = sheet.loc[sheet["role"].isin(["id", "ood"]), "Metadata_Plate"]
    return [f"results/smoke/embeddings/campfire/DNA_AGP_Mito/{plate}.parquet" for plate in plates]


def test_two_runs_are_the_same(repository: Path, screen: Path, tmp_path: Path) -> None:
    first = direct(repository, screen, tmp_path / "first")
    second = as_module(repository, screen, tmp_path / "second")
    paths = [path for pattern in COMPARED for path in sorted(first.glob(pattern)) if path.is_file()]
    names = [path.relative_to(first) for path in paths]
    assert len(names) > 50
    differing = [str(name) for name in names if (first / name).read_bytes() != (second / name).read_bytes()]
    assert differing == []
