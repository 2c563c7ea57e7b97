"""The plan of the demo: how many jobs it starts, and that the model everything waits for is made first."""

import re
import subprocess
from pathlib import Path

import pytest

from campfire.core.yaml import read_yaml
from campfire.simulate import screen
from campfire.simulate.__main__ import read_options
from campfire.simulate.layout import plan_screen
from support.warm_snakemake import snakemake

pytestmark = pytest.mark.workflow

MOST_JOBS = 155
"""Starting one takes half a second to three seconds of processor time (`bench/overhead.py`)."""


@pytest.fixture(scope="module")
def plan(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Rule -> number of jobs of `make demo` before anything is made."""
    folder = tmp_path_factory.mktemp("demo")
    (folder / "config").symlink_to(repository / "config")
    options = read_options(repository / "config/demo-screen.yaml")
    screen._write_tables(folder / "results/demo-screen", options, plan_screen(options))
    command = ["--snakefile", repository / "Snakefile", "--directory", folder]
    command += ["--profile", repository / "profiles/local", "--nocolor", "--dry-run", "--quiet", "rules"]
    command += ["--prioritize", prioritised(repository), "--configfile", repository / "config/demo.yaml", "--", "all"]
    done = snakemake(command, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    table = (done.stdout + done.stderr).partition("Job stats:")[2].partition("total")[0]
    return {rule: int(jobs) for rule, jobs in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}


def prioritised(repository: Path) -> str:
    """The file that `make demo` asks for first."""
    made = subprocess.run(
        ["make", "--dry-run", "-o", "results/demo-screen/.done", "demo"],
        capture_output=True,
        text=True,
        cwd=repository,
    )
    found = re.search(r"--prioritize (\S+)", made.stdout)
    assert found, made.stdout + made.stderr
    return found[1]


def test_the_demo_starts_no_more_jobs_than_it_did(plan: dict[str, int]) -> None:
    assert sum(plan.values()) <= MOST_JOBS, plan
    assert plan["plate_layout"] == plan["pretrain_run"] == 1
    assert plan["embed"] == plan["probe"] == 15


def test_the_model_is_what_goes_first(repository: Path) -> None:
    assert prioritised(repository) == "results/demo/pretrain/campfire/model.safetensors"


def test_its_training_has_one_thread(repository: Path) -> None:
    run = read_yaml(repository / "config/demo.yaml")["pretrain"]["runs"]["campfire"]
    assert run["threads"] == 1, "the sums of one thread, whatever the machine has"
    assert "pretrain_run=1" in (repository / "Makefile").read_text(encoding="utf-8")
