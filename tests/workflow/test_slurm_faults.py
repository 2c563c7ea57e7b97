"""Faults on a real one-node Slurm: `make test-slurm`. Table in docs/reliability.md."""

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.one_node_slurm import change_profile, jobs, one_node_slurm, site_profile, snakemake, start, wait_for
from support.slurm_training import (
    MODEL,
    at_work,
    begun,
    checkpoints,
    job_of,
    read,
    same_weights,
    started_again,
    train_alone,
    training_run,
)

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


@pytest.fixture(scope="module")
def cluster(repository: Path) -> Iterator[None]:
    with one_node_slurm(repository):
        yield


@pytest.fixture(autouse=True)
def no_job_is_left(cluster: None) -> Iterator[None]:
    """A test that fails leaves jobs; the next one needs their GPUs."""
    yield
    subprocess.run(["scancel", "--me"], check=True)
    wait_for(lambda: not subprocess.run(["squeue", "-h"], capture_output=True).stdout, 60)


@pytest.fixture
def profile(cluster: None, repository: Path, tmp_path: Path) -> Path:
    return site_profile(repository, tmp_path / "profile", gpus=2)


def states(since: set[str]) -> Counter[tuple[str, str]]:
    """Rule and state of the jobs submitted since; a job that Slurm put back into its queue counts once."""
    return Counter((job["Comment"], job["JobState"]) for job in jobs() if job["JobId"] not in since)


def test_memory_time_scancel_and_a_restarted_slurmctld(profile: Path, repository: Path, tmp_path: Path) -> None:
    """Each job fails once, is told by its Slurm state, leaves no half output, and succeeds with more."""
    place = tmp_path / "run"
    place.mkdir()
    run = snakemake(
        "--snakefile", repository / "tests/support/slurm_faults.smk", "--directory", place, "--profile", profile
    )
    before = {job["JobId"] for job in jobs()}
    with begun([*run, "--", "all"], place, tmp_path / "output.txt") as running:
        wait_for((place / "cancelled.txt").exists, 120)
        subprocess.run(["scancel", job_of("rule_cancelled")], check=True)
        os.kill(int(Path("/tmp/one-node-slurm/run/slurmctld.pid").read_text()), signal.SIGTERM)
        wait_for(lambda: subprocess.run(["squeue"], capture_output=True).returncode, 60)
        start(repository)
        assert subprocess.run(["squeue"], capture_output=True).returncode == 0
        assert running.wait(400) == 0, (tmp_path / "output.txt").read_text()[-3000:]
    seen = states(before)
    assert seen["rule_cancelled", "CANCELLED"] == seen["rule_time", "TIMEOUT"] == 1, seen
    assert sum(seen["rule_memory", state] for state in ("OUT_OF_MEMORY", "FAILED", "CANCELLED")) == 1, seen
    assert all(seen[f"rule_{name}", "COMPLETED"] == 1 for name in ("memory", "time", "cancelled")), seen
    assert {path.read_text() for path in place.glob("*.txt")} == {"done\n"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"slurm_partition": "gpuu"}, "invalid partition specified: gpuu"),
        ({"gpu_model": "h100"}, "Requested node configuration is not available"),
        ({"gpu": 16}, "Requested node configuration is not available"),
    ],
    ids=["partition", "GPU type", "too many GPUs"],
)
def test_what_slurm_refuses_is_said_in_its_words_before_the_first_job(
    changes: dict[str, object], said: str, profile: Path, repository: Path, tmp_path: Path
) -> None:
    change_profile(profile, changes)
    run, place = training_run(repository, tmp_path / "run", profile)
    before = {job["JobId"] for job in jobs()}
    done = subprocess.run(run, cwd=place, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "Slurm refuses jobs of this plan" in done.stderr and said in done.stderr, done.stderr[-3000:]
    assert "pretrain_run:" in done.stderr
    assert {job["JobId"] for job in jobs()} == before


@pytest.fixture(scope="module")
def undisturbed(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of the same training without Slurm, Snakemake or faults."""
    return train_alone(repository, tmp_path_factory.mktemp("calm"), processes=2)


@pytest.fixture
def training(profile: Path, repository: Path, tmp_path: Path) -> tuple[list[str], Path]:
    """The command and folder of a run that has only pretraining left to do, some seconds of it."""
    return training_run(repository, tmp_path / "run", profile)


def test_a_killed_controller_and_two_at_once(
    training: tuple[list[str], Path], undisturbed: Path, tmp_path: Path
) -> None:
    """The second controller is refused; the first, killed, leaves a job that keeps its state to itself until it is
    cancelled as an orphan; the next run goes on from its checkpoint and ends with the same weights."""
    run, place = training

    def again(*more: str) -> str:
        done = subprocess.run([*run[:-2], *more, *run[-2:]], cwd=place, capture_output=True, text=True, timeout=300)
        return f"exit {done.returncode}\n{done.stdout}{done.stderr}"

    def orphans(*more: str) -> str:
        command = [sys.executable, "-m", "campfire.runs.slurm", *more]
        return subprocess.run(command, cwd=place, capture_output=True, text=True, check=True).stdout

    with at_work(run, place, tmp_path / "first.txt") as first:
        number = first.number
        subprocess.run(["scontrol", "suspend", number], check=True)  # it holds its state, and waits for us
        assert "of a run at work" in orphans() and "0 of them by dead runs" in orphans()
        second = again()
        assert second.startswith("exit 1") and f"another run is active here (process {first.process.pid}" in second
    refused = again()
    assert refused.startswith("exit 1") and "make slurm-orphans" in refused and "snakemake --unlock" in refused
    listed = orphans()
    assert re.search(rf"^ *{number} +SUSPENDED .*pretrain_run.* ORPHAN$", listed, re.MULTILINE), listed
    assert again("--unlock").startswith("exit 0")
    log = place / "logs/pretrain/campfire.log"
    with begun(run, place, tmp_path / "duplicate.txt"):
        wait_for(lambda: "another run is writing here" in read(log), 120)
    assert f"Slurm job {number})" in read(log)
    assert "cancelled" in orphans("--cancel")
    assert job_of("rule_pretrain_run") == ""
    assert again("--unlock").startswith("exit 0")
    kept = checkpoints(place)
    last = again()
    assert last.startswith("exit 0"), last[-3000:]
    assert f"resuming from {kept[-1]}" in read(log)
    assert same_weights(place / MODEL, undisturbed)


def test_a_warning_before_the_time_limit_requeues_the_job(
    training: tuple[list[str], Path], undisturbed: Path, tmp_path: Path
) -> None:
    """Slurm's signal reaches the trainers, which write a checkpoint; the same job goes on, and Snakemake waits."""
    run, place = training
    before = {job["JobId"] for job in jobs()}
    with at_work(run, place, tmp_path / "output.txt") as running:
        subprocess.run(["scancel", "--signal=TERM", running.number], check=True)  # as --signal=TERM@300 does
        running.until(lambda: job_of("rule_pretrain_run", "PENDING") == running.number, 60)
        log = read(place / "logs/pretrain/campfire.log")
        assert "stopped after a checkpoint" in log, log
        running.until(lambda: started_again(running.number), 120)
        running.finish()
    assert states(before) == {("rule_pretrain_run_wildcards_campfire", "COMPLETED"): 1}
    assert same_weights(place / MODEL, undisturbed)


def test_two_tasks_of_one_job_train_as_two_nodes_do(
    training: tuple[list[str], Path], undisturbed: Path, tmp_path: Path
) -> None:
    """`mpi: srun` with a task per node: each task starts its processes, which meet at the first node's address."""
    run, place = training
    change_profile(tmp_path / "profile", {"mpi": "srun", "tasks": 2})
    before = {job["JobId"] for job in jobs()}
    done = subprocess.run(run, cwd=place, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    (job,) = (job for job in jobs() if job["JobId"] not in before)
    assert job["NumTasks"] == "2" and job["JobState"] == "COMPLETED"
    assert same_weights(place / MODEL, undisturbed)
