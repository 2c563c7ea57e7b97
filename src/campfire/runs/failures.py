"""The table of failed jobs at the end of a run, and the lines of config to go on without their plates."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from snakemake.logging import logger

from campfire.core.text import some
from campfire.runs.job_logs import last_error, last_lines
from campfire.runs.run import Run

SHOWN_LOGS, SHOWN_LINES = 3, 8
"""Logs whose last lines are printed, and how many lines of each."""


@dataclass(frozen=True)
class Failure:
    """A job that failed. plate: "" for a job of several plates; log: its log file; error: the last one in that."""

    rule: str
    name: str
    plate: str
    log: str
    error: str


def show_failures(workflow: Any, run: Run) -> None:
    """Print the table of failed jobs of Snakemake's `workflow`. For `onerror`; a job's own Snakemake prints none."""
    if not workflow.is_main_process or workflow.scheduler is None:
        return
    failed = list(failures(workflow.scheduler.failed))
    if failed:
        waiting = {job.rule.name for job in workflow.dag.needrun_jobs() if job.output}
        logger.error(render(failed, waiting - {failure.rule for failure in failed}, run.config.leave_out))


def failures(jobs: Iterable[Any]) -> Iterable[Failure]:
    """Snakemake's failed jobs; of a group those without their output."""
    for job in sorted((member for one in jobs for member in _members(one)), key=str):
        wildcards = job.wildcards_dict
        log = str(job.log[0]) if job.log else ""
        yield Failure(job.rule.name, "/".join(wildcards.values()), wildcards.get("plate", ""), log, last_error(log))


def _members(job: Any) -> list[Any]:
    if not job.is_group():
        return [job]
    members = [one for one in job.jobs if not all(Path(path).exists() for path in one.output)]
    logged = [one for one in members if one.log and last_error(str(one.log[0]))]
    return logged or members


def render(failed: Iterable[Failure], waiting: Iterable[str], leave_out: Mapping[str, str]) -> str:
    """The table as text, and what to do. leave_out: the entries that the config has already."""
    failed, waiting = list(failed), sorted(waiting)
    lines = [("plate", "rule", "log", "error")]
    for failure in failed:
        error = failure.error or "no error in its log: killed, or never started (out of memory, time limit?)"
        lines.append((failure.plate or failure.name, failure.rule, failure.log, error))
    widths = [max(len(line[i]) for line in lines) for i in range(3)]
    table = ["  ".join([*map(str.ljust, line[:3], widths), line[3]]).rstrip() for line in lines]
    plates = {failure.plate: failure for failure in failed if failure.plate}
    text = [f"{len(failed)} jobs failed:" if len(failed) > 1 else "1 job failed:", "", *table, ""]
    for failure in failed[:SHOWN_LOGS]:
        if said := last_lines(failure.log, SHOWN_LINES):
            text += [f"The last lines of {failure.log}:", *(f"  {line}" for line in said), ""]
    if waiting:
        text.append(f"Still to be done, because it depends on these jobs or was not reached: {some(waiting, 12)}.")
    text.append("What is finished is kept: correct the cause and give the same command again.")
    if plates:
        entries = {**leave_out, **{plate: f"{failure.rule} failed" for plate, failure in plates.items()}}
        section = yaml.safe_dump({"leave_out": entries}, sort_keys=False, allow_unicode=True, width=1000)
        text += [
            f"Or go on without {'these plates' if len(plates) > 1 else 'this plate'}: put these lines into the config "
            "(the split stays, and nothing finished is made again), and give the same command again:",
            "",
            section.rstrip(),
        ]
    return "\n".join(text)
