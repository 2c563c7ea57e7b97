"""The cost of a plan: bytes and hours of each stage, estimated from earlier jobs, and what redoes finished work.

The plan itself (which jobs, and why) comes as plain records, independent of the workflow manager.
"""

import csv
import json
import statistics
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from campfire.core.text import size, work_hours
from campfire.runs.job_records import seconds

EXPENSIVE = ("images", "tiles", "pretrain", "embed")
"""Stages whose rules are listed separately; the rest is inexpensive."""


@dataclass(frozen=True)
class PlannedJob:
    """A job of a plan.

    stage: images, tiles, pretrain, embed or analysis
    rule: its rule
    name: its wildcards, e.g. plate or encoder/channels
    done: all its lasting outputs exist, so the job would redo finished work
    why: the reason it runs, as text
    gpus: how many it requests
    benchmark: file in which it records its time, if it does
    download_plan: file with the bytes it fetches, if it fetches any
    record: file in which it notes its attempts; a benchmark holds the last attempt only
    expected_bytes: bytes it can be expected to fetch, for the first time; 0: unknown
    expected_hours: processor hours that it takes at least, for the first time; 0: unknown
    """

    stage: str
    rule: str
    name: str
    done: bool
    why: str
    gpus: int = 0
    benchmark: str | None = None
    download_plan: str | None = None
    record: str | None = None
    expected_bytes: int = 0
    expected_hours: float = 0.0


@dataclass(frozen=True)
class StageCost:
    """A row of the table: jobs of a rule, first-time or repeated, with estimates where records exist.

    hours: of all jobs one after the other; cpu_hours: of their processors; gpu_hours: hours x GPUs that they request
    bytes: to be fetched
    measured: jobs that took this time before; estimated: those that take the median of their rule's jobs; computed:
    those whose least time follows from their arithmetic; the time of the rest is unknown and counts as zero
    expected: bytes of jobs without a record, from the facts of the image source, among `bytes`
    """

    stage: str
    rule: str
    jobs: int
    again: bool
    why: str
    names: tuple[str, ...]
    hours: float
    cpu_hours: float
    gpu_hours: float
    bytes: int
    measured: int
    estimated: int
    computed: int = 0
    expected: int = 0


@dataclass(frozen=True)
class Taken:
    """Wall and processor seconds of a job."""

    wall: float
    cpu: float


def read_taken(path: str | Path) -> Taken | None:
    """The time of a job from its benchmark file (the first run in it); None if there is none."""
    try:
        with open(path, encoding="utf-8", newline="") as handle:
            row = next(csv.DictReader(handle, delimiter="\t"))
        wall = float(row["s"])
        cpu = row.get("cpu_time", "NA")
        return Taken(wall, wall if cpu in ("NA", "-", "") else max(float(cpu), 0.0))
    except (OSError, StopIteration, KeyError, ValueError):
        return None


def read_attempts(path: str | Path | None) -> float:
    """By how much all attempts of a finished job took longer than its last, from its record; 1 where there is none."""
    try:
        record = json.loads(Path(path or "").read_text(encoding="utf-8"))
        return max(1.0, seconds(record) / max(float(record["ended"]) - float(record["began"]), 1.0))
    except (OSError, KeyError, ValueError, TypeError):
        return 1.0


def read_bytes(path: str | Path) -> int | None:
    """Bytes of a download plan; None where there is none."""
    try:
        return int(json.loads(Path(path).read_text(encoding="utf-8"))["bytes"])
    except (OSError, KeyError, ValueError, TypeError):
        return None


class Records:
    """Benchmarks and download plans of earlier jobs; each folder is read once."""

    def __init__(self) -> None:
        self._taken: dict[Path, Taken | None] = {}
        self._bytes: dict[Path, int | None] = {}

    def taken(self, job: PlannedJob) -> tuple[Taken | None, bool]:
        """The time of the job's last run, or the median of its rule's jobs, and whether it is its own."""
        if job.benchmark is None:
            return None, False
        own = read_taken(job.benchmark)
        if own is not None:
            more = read_attempts(job.record)
            return Taken(own.wall * more, own.cpu * more), True
        folder = Path(job.benchmark).parents[job.name.count("/")]
        if folder not in self._taken:
            found = [taken for path in sorted(folder.rglob("*.tsv")) if (taken := read_taken(path))]
            wall, cpu = [taken.wall for taken in found], [taken.cpu for taken in found]
            self._taken[folder] = Taken(statistics.median(wall), statistics.median(cpu)) if found else None
        return self._taken[folder], False

    def bytes(self, job: PlannedJob) -> tuple[int, bool]:
        """Bytes that the job fetches by its plan, or the median of the plans, else those expected, and whether so."""
        if job.download_plan is None:
            return 0, False
        own = read_bytes(job.download_plan)
        if own is not None:
            return own, False
        folder = Path(job.download_plan).parent
        if folder not in self._bytes:
            found = [size for path in sorted(folder.glob("*.plan.json")) if (size := read_bytes(path)) is not None]
            self._bytes[folder] = round(statistics.median(found)) if found else None
        median = self._bytes[folder]
        return (job.expected_bytes, True) if median is None else (median, False)


def estimate(jobs: Iterable[PlannedJob]) -> list[StageCost]:
    """The cost of a plan, one row per rule and kind (first time, again), in the order of the jobs."""
    groups: dict[tuple[str, str, bool], list[PlannedJob]] = {}
    for job in jobs:
        rule = job.rule if job.stage in EXPENSIVE else "all others"
        groups.setdefault((job.stage, rule, job.done), []).append(job)
    records, rows = Records(), []
    for (stage, rule, again), members in groups.items():
        times = [records.taken(job) for job in members]
        known = [(taken, job) for (taken, _), job in zip(times, members, strict=True) if taken]
        computed = [job for (taken, _), job in zip(times, members, strict=True) if not taken and job.expected_hours]
        least = sum(job.expected_hours for job in computed)
        fetched = [records.bytes(job) for job in members]
        reasons = Counter(job.why for job in members)
        rows.append(
            StageCost(
                stage=stage,
                rule=rule,
                jobs=len(members),
                again=again,
                why=reasons.most_common(1)[0][0] + (f" and {len(reasons) - 1} more" if len(reasons) > 1 else ""),
                names=tuple(job.name for job in members),
                hours=sum(taken.wall for taken, _ in known) / 3600 + least,
                cpu_hours=sum(taken.cpu for taken, _ in known) / 3600 + least,
                gpu_hours=sum(taken.wall * job.gpus for taken, job in known) / 3600,
                bytes=sum(count for count, _ in fetched),
                measured=sum(own for _, own in times),
                estimated=len(known) - sum(own for _, own in times),
                computed=len(computed),
                expected=sum(count for count, is_expected in fetched if is_expected),
            )
        )
    return rows


def forbidden(rows: Iterable[StageCost], guarded: Mapping[str, float], redo: Collection[str]) -> list[StageCost]:
    """Rows that would redo finished, expensive work without confirmation.

    guarded: stage -> hours that may be redone unconfirmed (0: none). redo: stages to redo; `all` is every one.
    """
    rows = [row for row in rows if row.again and row.stage in guarded]
    if "all" in redo:
        return []
    hours: dict[str, float] = {}
    for row in rows:
        hours[row.stage] = hours.get(row.stage, 0) + max(row.cpu_hours, row.gpu_hours)
    return [
        row
        for row in rows
        if row.stage not in redo and (guarded[row.stage] == 0 or hours[row.stage] > guarded[row.stage])
    ]


def render(rows: Iterable[StageCost]) -> str:
    """The table as aligned text, with a total and the share that is based on records."""
    rows = list(rows)
    heads = ["stage", "rule", "jobs", "", "fetch", "CPU time", "GPU time", "why"]
    lines = [heads]
    for row in rows:
        what = "again" if row.again else "new"
        costs = _costs(row.bytes, row.cpu_hours, row.gpu_hours)
        lines.append([row.stage, row.rule, str(row.jobs), what, *costs, row.why])
    jobs = sum(row.jobs for row in rows)
    costs = _costs(
        sum(row.bytes for row in rows), sum(row.cpu_hours for row in rows), sum(row.gpu_hours for row in rows)
    )
    lines.append(["total", "", str(jobs), "", *costs, ""])
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads) - 1)]
    text = [_aligned(line, widths) for line in lines]
    known, like = sum(row.measured for row in rows), sum(row.estimated for row in rows)
    computed = sum(row.computed for row in rows)
    text.append(
        f"Times: {known} jobs as they took last time, {like} as the median of their rule, "
        + (f"{computed} at least by their arithmetic on this machine's processors, " if computed else "")
        + f"{jobs - known - like - computed} without a record (counted as zero)."
    )
    if any(row.expected for row in rows):
        text.append("Bytes to fetch are expected from the Gallery's means; each plate's download plan has its own.")
    return "\n".join(text)


def _costs(fetched: float, cpu_hours: float, gpu_hours: float) -> list[str]:
    """Cells of a row; a dash for zero."""
    times = (work_hours(hours) if hours else "-" for hours in (cpu_hours, gpu_hours))
    return [size(fetched) if fetched else "-", *times]


def _aligned(line: list[str], widths: list[int]) -> str:
    cells = [
        cell.rjust(width) if i in (2, 4, 5, 6) else cell.ljust(width)
        for i, (cell, width) in enumerate(zip(line, widths, strict=False))
    ]
    return "  ".join([*cells, line[-1]]).rstrip()
