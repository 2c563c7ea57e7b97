"""The jobs that Snakemake plans as plain records, with the reason of each and whether it was finished before."""

import asyncio
from collections.abc import Collection
from pathlib import Path
from typing import Any

from campfire.runs import expected
from campfire.runs.cost import PlannedJob
from campfire.runs.files import Files
from campfire.runs.job_records import record_path
from campfire.runs.run import Run

STAGE_OF_RULE = {
    "images": "images",
    "nuclei": "tiles",
    "nuclei_gpu": "tiles",
    "cut_tiles": "tiles",
    "contact_sheet": "tiles",
    "contact_sheet_in_report": "tiles",
    "pretrain_run": "pretrain",
    "ablation_run": "pretrain",
    "embed": "embed",
    "embed_transfer": "embed",
}
"""Expensive rules and their stage; all other rules are of the stage `analysis`."""
STAGES = (*dict.fromkeys(STAGE_OF_RULE.values()), "analysis")


class Plan:
    """The plan of a Snakemake workflow; `workflow` is Snakemake's own object with its jobs planned.

    run: what it is a plan of; without it, jobs that have no record are expected to fetch and take nothing
    """

    def __init__(self, workflow: Any, files: Files, run: Run | None = None) -> None:
        self.workflow, self.files, self.run = workflow, files, run

    def waiting(self) -> list[Any]:
        """Snakemake's jobs that would run, without those that only name a target, in the order of dependencies."""
        needed = set(self.workflow.dag.needrun_jobs(exclude_finished=False))
        levels = self.workflow.dag.toposorted()
        return [job for level in levels for job in sorted(level, key=str) if job in needed and job.output]

    def jobs(self) -> list[PlannedJob]:
        """The jobs to run as records, expensive stages first."""
        planned = [self.record(job) for job in self.waiting()]
        return sorted(planned, key=lambda job: (STAGES.index(job.stage), job.done, job.rule, job.name))

    def record(self, job: Any) -> PlannedJob:
        """One of Snakemake's jobs as a record."""
        rule, run = job.rule.name, self.run
        gpus = int(job.resources.get("gpu", 0) or 0)
        trains = rule == "pretrain_run" and not gpus and self.workflow.local_exec and not expected.has_gpu()
        return PlannedJob(
            stage=STAGE_OF_RULE.get(rule, "analysis"),
            rule=rule,
            name="/".join(job.wildcards_dict.values()),
            done=self.is_done(job),
            why=self.own_reason(job) or self.traced_reason(job),
            gpus=gpus,
            benchmark=str(job.benchmark) if job.benchmark else None,
            record=str(record_path(self.files.state("provenance"), rule, job.wildcards_dict.values())),
            download_plan=self.files.download_plan(job.wildcards_dict["plate"]) if rule == "images" else None,
            expected_bytes=expected.plate_bytes(run, job.wildcards_dict["plate"]) if run and rule == "images" else 0,
            expected_hours=expected.pretraining_hours(run, job.wildcards_dict["run"]) if run and trains else 0.0,
        )

    def is_done(self, job: Any) -> bool:
        """Whether a job has been finished before: its first lasting output exists and is complete."""
        lasting = [path for path in job.output if path not in job.temp_output]
        if not lasting or not Path(lasting[0]).exists():
            return False
        return not asyncio.run(self.workflow.persistence.incomplete(job))

    def own_reason(self, job: Any) -> str:
        """Why a job runs; "" if only because another one does."""
        reason = self.workflow.dag.reason(job)
        if reason.params_changed:
            new = reason.params_changed.only_new
            names = [name for name, value in job.params.items() if repr(value) in new]
            return f"changed {', '.join(names) or 'options'}"
        if reason.input_changed:
            return "other input files"
        if reason.updated_input - reason.updated_input_run:
            return f"changed {min(reason.updated_input - reason.updated_input_run)}"
        missing = set(reason.missing_output) - job.temp_output
        if missing:
            return f"missing {min(missing)}" if self.is_done(job) else "not made yet"
        return "forced" if reason.forced else ""

    def traced_reason(self, job: Any, seen: Collection[Any] = ()) -> str:
        """Why a job runs, traced to its origin: upstream, or downstream where a temporary file is needed again."""
        own = self.own_reason(job)
        if own or job in seen:
            return f"{job.rule.name}: {own}" if own else ""
        dag, seen = self.workflow.dag, {*seen, job}
        needed = [other for other in dag.dependencies[job] if dag.needrun(other)]
        asking = [other for other in dag.depending[job] if self.own_reason(other)]
        for other in [*sorted(needed, key=str), *sorted(asking, key=str)]:
            if text := self.traced_reason(other, seen):
                return text
        return ""
