"""Figures and tables are remade from cached embeddings alone, and an edit of a figure reruns that figure alone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.workflow


@pytest.fixture
def cached(repository: Path, tmp_path: Path) -> Path:
    """A folder that holds what a reviewer is given: the demo's sheets, split, sample and embeddings."""
    demo = repository / "results/demo"
    if not (demo / "figures/figure_3_4.pdf").is_file():
        if os.environ.get("CI"):
            pytest.fail("the demo's results are missing; `make demo` runs before the tests in CI")
        pytest.skip("run `make demo` first")
    for name in ("split", "sample", "embeddings"):
        shutil.copytree(demo / name, tmp_path / "results/demo" / name)
    for name in ("plates.tsv", "transfer.tsv"):
        (tmp_path / "results/demo-screen").mkdir(parents=True, exist_ok=True)
        shutil.copy(repository / "results/demo-screen" / name, tmp_path / "results/demo-screen" / name)
    return tmp_path


def snakemake(repository: Path, folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "snakemake", "-s", str(repository / "Snakefile"), "--directory", str(folder)]
    command += ["--configfile", str(repository / "config/config.yaml"), str(repository / "config/demo.yaml")]
    command += ["--cores", "2", "--nocolor", "--config", "start_from=embeddings", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_figure_from_embeddings_alone_is_the_same(repository: Path, cached: Path) -> None:
    target = "results/demo/figures/figure_3_4.csv"
    output = snakemake(repository, cached, "--", target)
    for rule in ("images", "nuclei", "cut_tiles", "pretrain_run", "embed"):
        assert f"rule {rule}:" not in output
    assert (cached / target).read_bytes() == (repository / target).read_bytes()
