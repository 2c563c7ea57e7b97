"""What a run has done so far: jobs per stage, those that run now, and the time left of each stage."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from campfire.core.text import duration
from campfire.runs.job_logs import last_line

STAGE_OF_RULE = {
    **dict.fromkeys(("fetch_metadata", "check_source", "assign_wells"), "Plates and split"),
    "images": "Images",
    **dict.fromkeys(
        ("nuclei", "nuclei_gpu", "cut_tiles", "contact_sheet", "contact_sheet_in_report"), "Nuclei and tiles"
    ),
    **dict.fromkeys(("pretrain_run", "ablation_options", "ablation_run"), "Pretraining"),
    **dict.fromkeys(
        ("sample", "sample_transfer", "embed", "embed_table", "embed_transfer", "embed_table_transfer"), "Embeddings"
    ),
    **dict.fromkeys(
        ("probe", "leakage_effects", "profile", "zprime", "transfer_means", "transfer_head", "ablation_ranking"),
        "Evaluation",
    ),
    **dict.fromkeys(
        (
            "table", "figure", "plate_layout", "reconstruct_unseen", "count_attrition", "ablation_table", "findings",
            "write_page", "provenance", "pack_bundle",
        ),
        "Tables and figures",
    ),
}  # fmt: skip
"""Every rule that makes something, and its stage; `Other` for the rules of another workflow."""
STAGES = (*dict.fromkeys(STAGE_OF_RULE.values()), "Other")
TARGETS = frozenset(
    ("all", "metadata", "split", "tiles", "pretrain", "embeddings", "probes", "tables", "figures", "page", "report",
     "bundle", "ablation")
)  # fmt: skip
"""Rules that only name a target."""
SHOWN = 2
"""Running jobs that a line names."""


@dataclass(frozen=True)
class Job:
    """A job that runs: its rule, its wildcards joined, its log, and when it began (s)."""

    rule: str
    name: str
    log: str
    began: float

    @property
    def label(self) -> str:
        """The job as a line shows it."""
        return f"{self.rule} {self.name}".rstrip()


@dataclass
class Stage:
    """A stage: its planned jobs, those done, those that run, and the seconds in which any of its jobs ran."""

    name: str
    total: int
    done: int = 0
    running: dict[int, Job] = field(default_factory=dict)
    spent: float = 0.0
    since: float = 0.0
    """When the jobs that run now began to follow each other without a gap."""

    def seconds(self, now: float) -> float:
        """Seconds in which any job of the stage ran."""
        return self.spent + (now - self.since if self.running else 0.0)

    def left(self, now: float) -> float | None:
        """Seconds until its last job ends, as fast as its finished ones; None before the first has ended, and after."""
        if not self.done or self.done >= self.total:
            return None
        return self.seconds(now) / self.done * (self.total - self.done)


class Progress:
    """Follows a run by the events of Snakemake's log. Times are seconds of any one clock."""

    def __init__(self, began: float) -> None:
        self.began = began
        self.stages: dict[str, Stage] = {}
        self.jobs: dict[int, Job] = {}
        self.failed: dict[int, Job] = {}

    def plan(self, jobs: Mapping[str, int]) -> None:
        """Take the number of planned jobs of each rule; a later plan of the same run replaces it."""
        totals: dict[str, int] = {}
        for rule, count in jobs.items():
            if rule != "total" and rule not in TARGETS:
                stage = STAGE_OF_RULE.get(rule, "Other")
                totals[stage] = totals.get(stage, 0) + count
        for name in STAGES:
            if name in totals:
                self.stages.setdefault(name, Stage(name, 0)).total = totals[name]

    def start(self, number: int, job: Job) -> None:
        """A job begins, for the first time or again."""
        stage = self._stage(job.rule)
        if stage is None:
            return
        if not stage.running:
            stage.since = job.began
        self.jobs[number] = stage.running[number] = job
        self.failed.pop(number, None)

    def finish(self, number: int, now: float) -> None:
        """A job has ended with its results."""
        if stage := self._end(number, now):
            stage.done += 1

    def fail(self, number: int, now: float) -> Job | None:
        """A job has failed; returns it, or None for one that did not run."""
        if self._end(number, now) is None:
            return None
        self.failed[number] = self.jobs[number]
        return self.jobs[number]

    def _end(self, number: int, now: float) -> Stage | None:
        job = self.jobs.get(number)
        stage = self._stage(job.rule) if job else None
        if stage is None or stage.running.pop(number, None) is None:
            return None
        if not stage.running:
            stage.spent += now - stage.since
        return stage

    def _stage(self, rule: str) -> Stage | None:
        if rule in TARGETS:
            return None
        name = STAGE_OF_RULE.get(rule, "Other")
        return self.stages.setdefault(name, Stage(name, 0))

    @property
    def total(self) -> int:
        """Jobs of the run."""
        return sum(stage.total for stage in self.stages.values())

    @property
    def done(self) -> int:
        """Jobs that have ended with their results."""
        return sum(stage.done for stage in self.stages.values())

    def line(self, stage: Stage, now: float, details: bool = True) -> str:
        """A stage in one line: done/total, time taken, time left, and what runs now or the last line of its log."""
        parts = [f"{stage.name:<18}", f"{f'{stage.done}/{stage.total}':>9}"]
        taken = stage.seconds(now)
        parts.append(f"{duration(taken) if taken or stage.done else '':>11}")
        left = stage.left(now)
        parts.append(f"{f'{duration(left)} left' if left is not None and stage.running else '':<16}")
        if details and stage.running:
            jobs = sorted(stage.running.values(), key=lambda job: job.began)
            names = ", ".join(job.label for job in jobs[:SHOWN])
            more = f" and {len(jobs) - SHOWN} more" if len(jobs) > SHOWN else ""
            said = last_line(jobs[0].log) if len(jobs) == 1 else ""
            parts.append(f"{names}{more}{f': {said}' if said else ''}")
        return "  ".join(parts).rstrip()

    def end(self, now: float) -> str:
        """The run in one line: jobs done, failed and not reached, and how long it took."""
        waiting = self.total - self.done - len(self.failed)
        text = f"{self.done} of {self.total} jobs done in {duration(now - self.began)}"
        if self.failed:
            text += f", {len(self.failed)} failed"
        if self.failed and waiting > 0:
            text += f", {waiting} not reached"
        return text + "."
