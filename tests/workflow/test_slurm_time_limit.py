"""A training longer than its time limit: Slurm warns, the trainer writes a checkpoint, the job requeues itself."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from support.one_node_slurm import change_profile, jobs, one_node_slurm, site_profile
from support.slurm_training import (
    MODEL,
    begun,
    events,
    job_of,
    lost_steps,
    read,
    same_weights,
    started_again,
    train_alone,
    training_run,
    until,
)

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

MINUTES, WARNING = 2, 60
"""The time limit, and the seconds before it at which Slurm warns; it may do so up to a minute earlier."""
LONG = {"epochs": 2000, "checkpoint_steps": 0, "validation_every": 0, "batch_size": 32, "global_batch": 128}
"""No checkpoint but that of a signal (and every 15 minutes). Some minutes on two idle cores: longer than two limits."""


@pytest.fixture(scope="module")
def cluster(repository: Path) -> Iterator[None]:
    with one_node_slurm(repository):
        yield


@pytest.fixture
def profile(cluster: None, repository: Path, tmp_path: Path) -> Path:
    """The shipped profile with a limit of minutes instead of days."""
    folder = site_profile(repository, tmp_path / "profile", gpus=2)
    assert "--signal=TERM@300 --requeue" in (folder / "config.yaml").read_text()
    return change_profile(folder, {"runtime": MINUTES, "slurm_extra": f"--signal=TERM@{WARNING} --requeue"})


def test_a_run_of_several_time_limits_ends_without_a_person(profile: Path, repository: Path, tmp_path: Path) -> None:
    run, place = training_run(repository, tmp_path / "run", profile, **LONG)
    output = tmp_path / "output.txt"
    before = {job["JobId"] for job in jobs()}

    def over() -> bool:
        if number := job_of("rule_pretrain_run", "PENDING"):
            started_again(number)
        return running.poll() is not None

    with begun(run, place, output) as running:
        until(over, running, output, 900)
        assert running.returncode == 0, read(output)[-3000:]
    (job,) = (job for job in jobs() if job["JobId"] not in before)
    assert job["JobState"] == "COMPLETED" and int(job["Restarts"]) >= 2
    stopped = [event for event in events(place) if event["event"] == "stopped"]
    assert len(stopped) == int(job["Restarts"]) and {event["signal"] for event in stopped} == {"SIGTERM"}
    assert lost_steps(place) == [0] * len(stopped), "a warned job repeats no step"
    steps = [event["step"] for event in events(place) if event["event"] == "resume"]
    assert all(first < second for first, second in pairwise(steps)), "every attempt went further"
    assert same_weights(place / MODEL, train_alone(repository, tmp_path / "alone", processes=2, **LONG))
