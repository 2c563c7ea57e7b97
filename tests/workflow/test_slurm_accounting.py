"""A Slurm with an accounting database: sacct, the efficiency report, an unknown account (docs/cluster.md)."""

import csv
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from support.one_node_slurm import change_profile, jobs, one_node_slurm, site_profile, snakemake
from support.slurm_training import training_run

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

FOLDER = Path("/tmp/accounting-slurm")
JOBS = 3


@pytest.fixture(scope="module")
def cluster(repository: Path) -> Iterator[None]:
    with one_node_slurm(repository, FOLDER, ACCOUNTING="1"):
        yield


@pytest.fixture
def profile(cluster: None, repository: Path, tmp_path: Path) -> Path:
    return site_profile(repository, tmp_path / "profile", gpus=2)


def test_sacct_tells_the_states_and_the_efficiency_report_has_every_job(
    profile: Path, repository: Path, tmp_path: Path
) -> None:
    report = {"slurm-efficiency-report": True, "slurm-efficiency-report-path": str(tmp_path / "efficiency")}
    change_profile(profile, **{"slurm-status-command": "sacct", **report})
    run = snakemake(
        "--snakefile", repository / "tests/support/slurm_many.smk", "--directory", tmp_path, "--profile", profile
    )
    before = {job["JobId"] for job in jobs()}
    done = subprocess.run([*run, "--config", f"jobs={JOBS}"], cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    own = {job["JobId"] for job in jobs()} - before
    assert len(own) == JOBS
    said = subprocess.run(
        ["sacct", "-n", "-X", "-P", "-o", "jobid,state,account", f"--jobs={','.join(own)}"],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert sorted(said) == sorted(f"{number}|COMPLETED|lab" for number in own)
    (path,) = tmp_path.glob("efficiency/efficiency_report_*.csv")
    with open(path, encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert {row["JobID"].split(".")[0] for row in rows} == own
    assert {"CPU Efficiency (%)", "Memory Usage (%)"} <= set(rows[0])


def test_an_unknown_account_is_said_before_the_first_job(profile: Path, repository: Path, tmp_path: Path) -> None:
    """Snakemake's plugin would stop without a word in a thread of its own."""
    defaults = yaml.safe_load((profile / "config.yaml").read_text())["default-resources"]
    change_profile(profile, **{"default-resources": defaults | {"slurm_account": "nobody"}})
    run, place = training_run(repository, tmp_path / "run", profile)
    done = subprocess.run(run, cwd=place, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "Slurm refuses jobs of this plan" in done.stderr and "nobody" in done.stderr, done.stderr[-3000:]
