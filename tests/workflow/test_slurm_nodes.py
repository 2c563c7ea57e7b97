"""Pretraining over several nodes of a real Slurm, and nodes that die (docs/reliability.md): `make test-slow`."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from support.one_node_slurm import jobs, one_node_slurm, site_profile, start, wait_for
from support.slurm_training import (
    MODEL,
    begun,
    checkpoints,
    job_of,
    read,
    same_weights,
    train_alone,
    training_run,
)

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

FOLDER = Path("/tmp/three-node-slurm")
SIZE = {"NODES": "3", "GPUS": "2"}
RANKS_OF_A_NODE = 2
LONG = {"epochs": 150}
"""Long enough that a node can die in the middle."""


@pytest.fixture(scope="module")
def cluster(repository: Path) -> Iterator[None]:
    with one_node_slurm(repository, FOLDER, **SIZE):
        yield


@pytest.fixture(autouse=True)
def every_node_is_up_and_idle(cluster: None, repository: Path) -> Iterator[None]:
    """The next test needs all nodes, whatever this one did to them."""
    yield
    subprocess.run(["scancel", "--me"], check=True)
    start(repository, FOLDER, **SIZE)
    for node in ("n1", "n2", "n3"):
        subprocess.run(["scontrol", "update", f"nodename={node}", "state=resume"], capture_output=True)
    wait_for(lambda: not subprocess.run(["squeue", "-h"], capture_output=True).stdout, 60)


@pytest.fixture
def profile(cluster: None, repository: Path, tmp_path: Path) -> Path:
    """The shipped profile with the lines that docs/cluster.md shows for two nodes."""
    folder = site_profile(repository, tmp_path / "profile", gpus=2 * RANKS_OF_A_NODE)
    settings = yaml.safe_load((folder / "config.yaml").read_text())
    settings["set-resources"]["pretrain_run"] |= {"nodes": 2, "mpi": "srun", "tasks": 2}
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    return folder


@pytest.fixture(scope="module")
def alone(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of the same training by four ranks on one node."""
    return train_alone(repository, tmp_path_factory.mktemp("alone"), processes=2 * RANKS_OF_A_NODE, **LONG)


def nodes_of(number: str) -> str:
    """The nodes of a job: n[1-2]."""
    return next(job["NodeList"] for job in jobs() if job["JobId"] == number)


def ranks(place: Path) -> list[int]:
    """Process numbers of this run's trainers that are alive on this machine."""
    found = subprocess.run(
        ["pgrep", "-f", f"campfire.training --config {place}"], capture_output=True, text=True
    ).stdout
    return [int(number) for number in found.split()]


def kill_node(node: str) -> None:
    """What a power cut does: slurmd, the steps it watches and their processes are gone, and nobody is told."""
    daemon = int((FOLDER / f"run/slurmd-{node}.pid").read_text())
    os.kill(daemon, signal.SIGKILL)
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if f"SLURMD_NODENAME={node}".encode() in environment:
            os.kill(int(folder.name), signal.SIGKILL)


def test_two_nodes_train_as_one_node_with_as_many_gpus(
    repository: Path, profile: Path, alone: Path, tmp_path: Path
) -> None:
    run, place = training_run(repository, tmp_path / "run", profile, **LONG)
    before = {job["JobId"] for job in jobs()}
    done = subprocess.run(run, cwd=place, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    (job,) = (job for job in jobs() if job["JobId"] not in before)
    assert (job["NumNodes"], job["NumTasks"], job["JobState"]) == ("2", "2", "COMPLETED")
    assert same_weights(place / MODEL, alone)


def test_a_node_that_dies_costs_the_steps_since_the_last_checkpoint(
    repository: Path, profile: Path, alone: Path, tmp_path: Path
) -> None:
    """Slurm puts the job back into its queue; it resumes on the nodes that are left, and no rank outlives its run."""
    run, place = training_run(repository, tmp_path / "run", profile, **LONG)
    with begun(run, place, tmp_path / "output.txt") as running:
        wait_for(lambda: checkpoints(place), 400)
        number = job_of("rule_pretrain_run")
        assert nodes_of(number) == "n[1-2]"
        began = ranks(place)
        kill_node("n2")
        subprocess.run(["scontrol", "update", "nodename=n2", "state=down", "reason=test"], check=True)
        wait_for(lambda: job_of("rule_pretrain_run", "PENDING") == number, 120)
        wait_for(lambda: not set(began) & set(ranks(place)), 60)
        kept = checkpoints(place)
        assert kept, "the checkpoints are kept"
        # Slurm holds a requeued job back for two minutes; the test does not.
        subprocess.run(["scontrol", "update", f"JobId={number}", "StartTime=now"], check=True)
        wait_for(lambda: job_of("rule_pretrain_run") == number, 120)
        assert nodes_of(number) == "n[1,3]"
        assert running.wait(600) == 0, (tmp_path / "output.txt").read_text()[-3000:]
    assert kept[-1].name in read(place / "logs/pretrain/campfire.log")
    assert same_weights(place / MODEL, alone)
    assert not ranks(place)


def test_a_drained_node_finishes_its_job_and_gets_no_other(
    repository: Path, profile: Path, alone: Path, tmp_path: Path
) -> None:
    run, place = training_run(repository, tmp_path / "run", profile, **LONG)
    with begun(run, place, tmp_path / "output.txt") as running:
        wait_for(lambda: checkpoints(place), 400)
        number = job_of("rule_pretrain_run")
        subprocess.run(["scontrol", "update", "nodename=n1", "state=drain", "reason=test"], check=True)
        assert running.wait(600) == 0, (tmp_path / "output.txt").read_text()[-3000:]
    (job,) = (job for job in jobs() if job["JobId"] == number)
    assert job["JobState"] == "COMPLETED" and job.get("Restarts", "0") == "0"
    assert same_weights(place / MODEL, alone)
