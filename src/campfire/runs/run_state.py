"""How far the newest run of a results folder is, from files alone: its record, its jobs' records, logs and outputs.

Nothing of Snakemake is read or locked, so this works while a run is at work, on any machine that sees the folder.
"""

import json
import os
import socket
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from campfire.core.errors import DataError
from campfire.runs.job_logs import last_error
from campfire.runs.job_records import gpu_seconds, seconds

STATES = ("done", "running", "queued", "failed")
PATHS = ("record", "log", "download_plan")
"""Keys of a job's entry that are paths."""
RECENT = 20
"""The newest finished jobs of a rule whose tiles are counted for its rate."""
TRAININGS = {"pretrain_run": "state/pretrain", "ablation_run": "state/ablation"}
"""Rules that pretrain, and where their logs of steps are in the results."""
TAIL = 20_000
"""Bytes at the end of a training's log that hold its newest step."""


def run_record(results: str | Path) -> Path:
    """Where the record of the newest run of a results folder is."""
    return Path(results) / "state/run.json"


def read_json(path: str | Path) -> dict[str, Any] | None:
    """A JSON object; None where there is none, or none that can be read."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def read_run_record(results: str | Path) -> dict[str, Any] | None:
    """The record of the newest run of a results folder; None without one."""
    return read_json(run_record(results))


@dataclass(frozen=True)
class Training:
    """The newest step of a pretraining run, as the trainer logged it; see docs/contracts.md for its columns."""

    name: str
    time: float
    step: Mapping[str, Any]


@dataclass
class JobState:
    """A job of the run: its entry in the run's record, the job's own record if it has begun, and its state.

    killed: it has begun and its process is gone, or its run is over, without an end in its record
    """

    entry: Mapping[str, Any]
    record: Mapping[str, Any]
    state: str
    killed: bool = False

    @cached_property
    def last_sign(self) -> float:
        """When it last wrote into its log, or began."""
        try:
            return max(os.path.getmtime(self.entry["log"]), float(self.record["began"]))
        except OSError:
            return float(self.record["began"])

    @property
    def error(self) -> str:
        """The last error in its log."""
        return last_error(self.entry["log"]) or "no error in its log: killed, or never started"


@dataclass
class RuleProgress:
    """The jobs of one rule and what they have made."""

    stage: str
    rule: str
    jobs: list[JobState] = field(default_factory=list)

    def count(self, state: str) -> int:
        """Number of its jobs in a state."""
        return sum(job.state == state for job in self.jobs)

    @cached_property
    def finished(self) -> list[Mapping[str, Any]]:
        """Records of its finished jobs, the newest last; jobs of earlier runs are among them."""
        found = [job.record for job in self.jobs if job.state == "done" and "ended" in job.record]
        return sorted(found, key=lambda record: float(record["ended"]))

    @cached_property
    def bytes(self) -> int:
        """Bytes that its finished jobs fetched, or those of the files that they made."""
        if self.rule == "images":
            plans = [read_json(job.entry["download_plan"]) for job in self.jobs if job.state == "done"]
            return sum(int(plan.get("bytes", 0)) for plan in plans if plan)
        return sum(_size(name) for record in self.finished for name in record["outputs"])

    @cached_property
    def tiles_per_second(self) -> float | None:
        """Tiles or cells of its newest finished jobs per second of a job; None for rules that make no table of them."""
        if self.rule not in ("cut_tiles", "embed", "embed_transfer"):
            return None
        newest = self.finished[-RECENT:]
        taken = sum(float(record["ended"]) - float(record["began"]) for record in newest)
        tiles = sum(_rows(name) for record in newest for name in record["outputs"] if name.endswith(".parquet"))
        return tiles / taken if taken and tiles else None

    def gpu_seconds(self, now: float) -> float:
        """GPU time of its jobs until now, that of running ones and earlier attempts included."""
        total = 0.0
        for job in self.jobs:
            if job.record:
                ended = job.record.get("ended") or job.record.get("stopped") or (job.killed and job.last_sign) or now
                total += gpu_seconds({**job.record, "ended": ended})
        return total

    def seconds_left(self, now: float, trainings: Mapping[str, Training]) -> float | None:
        """Time until its jobs are done at the rate and number at once so far; None where no job tells how long."""
        running = [job for job in self.jobs if job.state == "running"]
        queued = self.count("queued")
        if not running and not queued:
            return 0.0
        left = [_training_left(job, trainings, now) for job in running]
        known = [value for value in left if value is not None]
        if known and len(known) == len(running) and not queued:
            return max(known)
        if not self.finished:
            return None
        usual = statistics.median(seconds(record) for record in self.finished)
        rest = sum(max(usual - (now - float(job.record["began"])), 0.0) for job in running) + usual * queued
        return rest / max(self._at_once(), len(running), 1)

    def _at_once(self) -> float:
        """How many of its jobs ran at once, on average, between its first start and the last end in this run."""
        own = [job.record for job in self.jobs if job.state == "done" and job.entry["planned"]]
        spans = [(float(r["began"]), float(r["ended"])) for r in own]
        if not spans:
            return 1.0
        stretch = max(end for _, end in spans) - min(begin for begin, _ in spans)
        return sum(end - begin for begin, end in spans) / stretch if stretch > 0 else 1.0


@dataclass(frozen=True)
class Progress:
    """A run: its record, whether it is at work (None: it began on another machine), its rules and trainings."""

    results: Path
    record: Mapping[str, Any]
    at_work: bool | None
    rules: list[RuleProgress]
    trainings: dict[str, Training]

    def jobs(self, state: str) -> list[JobState]:
        """Jobs of all rules in a state."""
        return [job for rule in self.rules for job in rule.jobs if job.state == state]


def read_progress(results: str | Path) -> Progress:
    """How far the newest run of a results folder is; DataError where no run has begun there."""
    results = Path(results).resolve()
    record = read_run_record(results)
    if record is None:
        raise DataError(
            f"no run has begun in {results}: there is no state/run.json, which is written once a run is planned. Wait "
            "for that, or name another folder of results: campfire status results/demo"
        )
    at_work = is_at_work(record)
    rules: dict[str, RuleProgress] = {}
    folder = working_folder(results, record["results"])
    for listed in record["jobs"]:
        entry = {**listed, **{key: str(folder / listed[key]) for key in PATHS if listed.get(key)}}
        rule = rules.setdefault(entry["rule"], RuleProgress(entry["stage"], entry["rule"]))
        rule.jobs.append(job_state(entry, record, at_work, folder))
    order = list(dict.fromkeys([*_order(record["jobs"]), *rules]))
    return Progress(results, record, at_work, [rules[name] for name in order], read_trainings(results, rules))


def working_folder(results: Path, name: str) -> Path:
    """The folder that a run was started in: its paths are relative to it. name: its option `results`."""
    return results.parents[len(Path(name).parts) - 1] if not Path(name).is_absolute() else results


def is_at_work(record: Mapping[str, Any]) -> bool | None:
    """Whether a run is still at work; None where it began on another machine and has not ended."""
    if "ended" in record:
        return False
    return None if record["host"] != socket.gethostname() else alive(record["process"])


def alive(process: int) -> bool:
    """Whether a process of this machine exists and is no zombie."""
    try:
        state = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(") ")[2][:1]
    except OSError:
        return False
    return state != "Z"


def job_state(entry: Mapping[str, Any], run: Mapping[str, Any], at_work: bool | None, folder: Path) -> JobState:
    """The state of a job, from its entry in the run's record and its own record."""
    record = read_json(entry["record"]) or {}
    record["outputs"] = [str(folder / name) for name in record.get("outputs", ())]
    began = float(record.get("began", 0.0))
    if not entry["planned"]:
        return JobState(entry, record if "ended" in record else {}, "done")
    if began < float(run["began"]):
        # Of an earlier run; a failure that Snakemake reports without a record was one before the job's script began.
        failed = any((f["rule"], f["name"]) == (entry["rule"], entry["name"]) for f in run.get("failed", ()))
        return JobState(entry, {}, "failed" if failed else "queued")
    if "ended" in record:
        return JobState(entry, record, "done")
    if "stopped" in record:
        return JobState(entry, record, "failed")
    here = record.get("host") == socket.gethostname() and "process" in record
    if at_work is False or (here and not alive(int(record["process"]))):
        return JobState(entry, record, "failed", killed=True)
    return JobState(entry, record, "running")


def read_trainings(results: Path, rules: Mapping[str, RuleProgress]) -> dict[str, Training]:
    """Name -> newest step of each pretraining run (`campfire`) or trial (`loss/trial_03`) that is running."""
    found = {}
    jobs = [(folder, job) for rule, folder in TRAININGS.items() if rule in rules for job in rules[rule].jobs]
    for folder, job in jobs:
        name = str(job.entry["name"])
        logs = sorted((results / folder / name).glob("*/log.jsonl"), key=os.path.getmtime)
        if job.state == "running" and logs:
            steps = [line for line in _tail(logs[-1]) if line.get("event") == "step"]
            if steps and steps[-1]["time"] >= float(job.record["began"]):
                found[name] = Training(name, float(steps[-1]["time"]), steps[-1])
    return found


def _training_left(job: JobState, trainings: Mapping[str, Training], now: float) -> float | None:
    training = trainings.get(job.entry["name"]) if job.entry["rule"] in TRAININGS else None
    return None if training is None else max(0.0, float(training.step["seconds_left"]) - (now - training.time))


def _order(jobs: Iterable[Mapping[str, Any]]) -> list[str]:
    """Rules by stage, in the order in which stages follow each other."""
    stages = ("images", "tiles", "pretrain", "embed", "analysis")
    return [job["rule"] for job in sorted(jobs, key=lambda job: stages.index(job["stage"]))]


def _tail(path: Path) -> list[dict[str, Any]]:
    """JSON objects of the last lines of a log."""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL))
        lines = file.read().decode(errors="replace").splitlines()
    found = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except ValueError:  # the first of a tail, or one that is being written
            continue
    return found


def _size(name: str) -> int:
    try:
        return os.path.getsize(name)
    except OSError:
        return 0


def _rows(name: str) -> int:
    import pyarrow.parquet as pq

    try:
        return int(pq.read_metadata(name).num_rows)
    except (OSError, ValueError):
        return 0
