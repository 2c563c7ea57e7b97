"""Pretraining over several nodes of a real Slurm, and nodes that die (docs/reliability.md): `make test-slow`."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from campfire.core.files import single_writer
from support.one_node_slurm import change_profile, jobs, one_node_slurm, site_profile, start, wait_for
from support.slurm_training import (
    MODEL,
    AtWork,
    at_work,
    events,
    job_of,
    lost_steps,
    ranks,
    same_weights,
    started_again,
    train_alone,
    training_run,
)

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

FOLDER = Path("/tmp/three-node-slurm")
SIZE = {"NODES": "3", "GPUS": "2"}
RANKS_OF_A_NODE = 2
LONG = {"epochs": 40, "checkpoint_steps": 10}
"""320 steps: faults come after the first checkpoint, so most steps are still ahead."""


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
    return change_profile(folder, {"nodes": 2, "mpi": "srun", "tasks": 2})


@pytest.fixture(scope="module")
def alone(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of the same training by four ranks on one node."""
    return train_alone(repository, tmp_path_factory.mktemp("alone"), processes=2 * RANKS_OF_A_NODE, **LONG)


@pytest.fixture
def training(repository: Path, profile: Path, tmp_path: Path) -> Iterator[AtWork]:
    """A run over two nodes that has written its first checkpoint and has most of its steps ahead."""
    with at_work(*training_run(repository, tmp_path / "run", profile, **LONG), tmp_path / "output.txt") as run:
        yield run


def processes_of(node: str) -> list[int]:
    """Everything that Slurm runs on a node: the supervisors of its steps, which hold its log open, and their work."""
    found, log = [], str(FOLDER / f"log/slurmd-{node}.log")
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
            files = {os.readlink(handle) for handle in (folder / "fd").iterdir()}
        except OSError:
            continue
        if f"SLURMD_NODENAME={node}".encode() in environment or log in files:
            found.append(int(folder.name))
    return found


def kill_node(node: str) -> None:
    """What a power cut does: slurmd, the steps it watches and their processes are gone, and nobody is told."""
    for process in (int((FOLDER / f"run/slurmd-{node}.pid").read_text()), *processes_of(node)):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def free(port: int) -> bool:
    """Whether a new run could listen on a port of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
            probe.listen()
        except OSError:
            return False
        return True


def test_two_nodes_train_as_one_node_with_as_many_gpus(training: AtWork, alone: Path) -> None:
    training.finish()
    assert (training.job["NumNodes"], training.job["NumTasks"]) == ("2", "2")
    assert_undisturbed(training, alone)


def assert_undisturbed(training: AtWork, alone: Path) -> None:
    """The job was never requeued, repeated no step, and ended with the weights of the run on one node."""
    assert training.job["JobState"] == "COMPLETED" and training.job["Restarts"] == "0"
    assert lost_steps(training.place) == []
    assert same_weights(training.place / MODEL, alone)


def test_a_node_that_dies_costs_the_steps_since_the_last_checkpoint(training: AtWork, alone: Path) -> None:
    """Slurm puts the job back into its queue; it resumes on the nodes that are left, and no rank outlives its run."""
    place = training.place
    assert training.nodes == "n[1-2]"
    began = ranks(place)
    assert len(began) == 2 * RANKS_OF_A_NODE
    kill_node("n2")
    subprocess.run(["scontrol", "update", "nodename=n2", "state=down", "reason=test"], check=True)
    training.until(lambda: training.job["Restarts"] == "1", 120)
    training.until(lambda: not began.keys() & ranks(place).keys(), 60)
    ports = {int(rank["MASTER_PORT"]) for rank in began.values()}
    training.until(lambda: all(map(free, ports)), 60)
    (state,) = place.glob("results/state/pretrain/campfire")
    with single_writer(state):
        """The dead run's lock is free."""
    training.until(lambda: started_again(training.number), 120)
    assert training.nodes == "n[1,3]"
    training.finish()
    assert training.job["Restarts"] == "1"
    (lost,) = lost_steps(place)
    assert 0 <= lost < LONG["checkpoint_steps"]
    assert same_weights(place / MODEL, alone)
    assert not ranks(place)


def test_a_node_that_stands_still_and_a_killed_controller_only_cost_time(
    training: AtWork, alone: Path, repository: Path
) -> None:
    """The other node waits for the slow one; slurmctld, killed and started again, finds the job at work."""
    place = training.place
    slow = [process for process, rank in ranks(place).items() if rank["SLURMD_NODENAME"] == "n2"]
    assert len(slow) == RANKS_OF_A_NODE
    for process in slow:
        os.kill(process, signal.SIGSTOP)
    os.kill(int((FOLDER / "run/slurmctld.pid").read_text()), signal.SIGKILL)
    training.until(lambda: subprocess.run(["squeue"], capture_output=True).returncode, 120)
    stands = len(events(place))
    start(repository, FOLDER, **SIZE)  # which waits for idle nodes, and these are at work
    training.until(lambda: subprocess.run(["squeue"], capture_output=True).returncode == 0, 120)
    training.until(lambda: job_of("rule_pretrain_run") == training.number, 120)
    assert len(events(place)) == stands, "nothing is trained without the slow node"
    for process in slow:
        os.kill(process, signal.SIGCONT)
    training.finish()
    assert_undisturbed(training, alone)


def test_a_drained_node_finishes_its_job_and_gets_no_other(training: AtWork, alone: Path) -> None:
    subprocess.run(["scontrol", "update", "nodename=n1", "state=drain", "reason=test"], check=True)
    other = subprocess.run(
        ["sbatch", "--parsable", "--output=/dev/null", "--wrap=true"], capture_output=True, text=True, check=True
    ).stdout.strip()

    def ended() -> dict[str, str] | None:
        return next((job for job in jobs() if job["JobId"] == other and job["JobState"] == "COMPLETED"), None)

    assert training.until(ended, 120)["NodeList"] in ("n2", "n3")
    training.finish()
    assert_undisturbed(training, alone)
