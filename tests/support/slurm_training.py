"""A workflow run that has only pretraining left to do, some seconds of it, for tests on Slurm."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

from campfire.core.files import write_table, write_text
from campfire.core.yaml import merge
from campfire.training import PretrainOptions, launch
from support.one_node_slurm import jobs, snakemake
from support.pretrain_plates import SMALL_MODEL, split_table, write_plate

PLATES = ["one", "two", "three"]
MODEL = "results/pretrain/campfire/model.safetensors"
RUN = {
    "imagenet": "", "epochs": 60, "batch_size": 16, "global_batch": 32, "warmup_epochs": 1, "model": SMALL_MODEL,
    "log_steps": 1, "checkpoint_steps": 20, "validation_every": 30, "snapshot_tiles": 2,
}  # fmt: skip


def write_inputs(results: Path) -> None:
    """Tiles and split of three small plates, as if the stages before pretraining were done."""
    write_table(split_table(PLATES), results / "split/wells.parquet")
    for plate in PLATES:
        write_text(results / f"split/plates/{plate}.tsv", "")
    for seed, plate in enumerate(PLATES):
        write_plate(results / "tiles", plate, 120, ["DNA", "AGP", "Mito"], seed)


def train_alone(repository: Path, folder: Path, processes: int, **changes: Any) -> Path:
    """Weights of the same training without Slurm, Snakemake or faults."""
    write_inputs(folder)
    config = yaml.safe_load((repository / "config/config.yaml").read_text(encoding="utf-8"))
    options = merge(config["pretrain"]["runs"]["campfire"], RUN | changes) | {"channels": config["training_channels"]}
    tiles = [folder / f"tiles/{plate}.npy" for plate in PLATES]
    wells = folder / "split/wells.parquet"
    assert launch(PretrainOptions(**options), tiles, wells, folder / "run", folder / "state", processes) == 0
    return folder / "run/model.safetensors"


def training_run(repository: Path, place: Path, profile: Path, **changes: Any) -> tuple[list[str], Path]:
    """The command and folder of a run that has only pretraining left to do."""
    place.mkdir()
    (place / "config").symlink_to(repository / "config")
    rows = [f"source_1\tbatch\t{plate}\tTARGET2\ttrain\n" for plate in PLATES]
    columns = "Metadata_Source\tMetadata_Batch\tMetadata_Plate\tMetadata_PlateType\trole\n"
    (place / "plates.tsv").write_text(columns + "".join(rows))
    write_inputs(place / "results")
    # The model's image size follows that of the tiles.
    model = {key: value for key, value in SMALL_MODEL.items() if key != "image_size"}
    options = RUN | changes | {"model": model}
    config = {
        "sheet": "plates.tsv",
        "tiles": {"size": SMALL_MODEL["image_size"]},
        "pretrain": {"runs": {"campfire": options}},
    }
    (place / "changes.yaml").write_text(yaml.safe_dump(config))
    run = snakemake("--snakefile", repository / "Snakefile", "--directory", place, "--profile", profile)
    run += ["--configfile", "config/config.yaml", "changes.yaml", "--", MODEL]
    return run, place


def same_weights(one: Path, other: Path) -> bool:
    first, second = load_file(one), load_file(other)
    return set(first) == set(second) and all(np.array_equal(first[name], second[name]) for name in first)


def checkpoints(place: Path) -> list[Path]:
    return sorted(place.glob("results/state/pretrain/campfire/*/step-*.ckpt"))


def events(place: Path) -> list[dict[str, Any]]:
    """What the trainer recorded, in order: steps, checkpoints, stops and resumptions, of all attempts."""
    (log,) = place.glob("results/state/pretrain/campfire/*/log.jsonl")
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def lost_steps(place: Path) -> list[int]:
    """For each resumption the number of steps that had been trained before it and were trained again."""
    lost, newest = [], 0
    for event in events(place):
        if event["event"] == "step":
            newest = event["step"]
        elif event["event"] == "resume":
            assert event["step"] > 0, "it restarted from the beginning"
            lost.append(newest - event["step"])
    return lost


def ranks(place: Path) -> dict[int, dict[str, str]]:
    """Environment of this run's trainers that are alive on this machine, by process number."""
    found: dict[int, dict[str, str]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if b"campfire.training" not in words or not any(word.startswith(os.fsencode(place)) for word in words):
                continue
            pairs = (folder / "environ").read_text(errors="replace").split("\0")
        except OSError:  # it has ended
            continue
        environment = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        if "RANK" in environment:
            found[int(folder.name)] = environment
    return found


def until(what: Callable[[], Any], running: subprocess.Popen[bytes], output: Path, seconds: float) -> Any:
    """The first true value of `what()`; fails with the run's output when the run ends or the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = what()
        if value:
            return value
        if running.poll() is not None:
            return pytest.fail(f"the run ended with {running.returncode}:\n{read(output)[-3000:]}")
        time.sleep(0.2)
    return pytest.fail(f"waited {seconds:.0f} s in vain; the run said:\n{read(output)[-3000:]}")


@contextmanager
def begun(command: list[str], place: Path, output: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A run in the background that prints into `output`; killed at the end if it is still alive."""
    with open(output, "wb") as words:
        process = subprocess.Popen(command, cwd=place, stdout=words, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


@dataclass(frozen=True)
class AtWork:
    """A pretraining at work on Slurm. number: that of its job; output: what Snakemake prints."""

    place: Path
    output: Path
    process: subprocess.Popen[bytes]
    number: str

    @property
    def job(self) -> dict[str, str]:
        """Its job as Slurm shows it."""
        return next(job for job in jobs() if job["JobId"] == self.number)

    @property
    def nodes(self) -> str:
        """The nodes of its job: n[1-2]."""
        return self.job["NodeList"]

    def until(self, what: Callable[[], Any], seconds: float) -> Any:
        """The first true value of `what()` while the run is at work."""
        return until(what, self.process, self.output, seconds)

    def finish(self, seconds: float = 300) -> None:
        """Wait for the end of the run, which must succeed."""
        assert self.process.wait(seconds) == 0, read(self.output)[-3000:]


@contextmanager
def at_work(command: list[str], place: Path, output: Path) -> Iterator[AtWork]:
    """A training run that has written its first checkpoint; killed at the end if it is still alive."""
    with begun(command, place, output) as process:
        number = until(lambda: checkpoints(place) and job_of("rule_pretrain_run"), process, output, 240)
        yield AtWork(place, output, process, number)


def read(path: Path) -> str:
    """The text of a log that may not be there yet."""
    return path.read_text(errors="replace") if path.exists() else ""


def job_of(rule: str, state: str = "RUNNING") -> str:
    """Number of the newest job of a rule in a state; empty where there is none."""
    found = [job["JobId"] for job in jobs() if job.get("Comment", "").startswith(rule) and job["JobState"] == state]
    return max(found, key=int, default="")


def started_again(number: str) -> bool:
    """Whether a requeued job runs; Slurm holds it back for two minutes from its last end, tests do not."""
    (state,) = (job["JobState"] for job in jobs() if job["JobId"] == number)
    if state == "PENDING":
        subprocess.run(["scontrol", "update", f"JobId={number}", "StartTime=now"], check=False)
    return state == "RUNNING"
