"""The record of the newest run of a results folder: its jobs, when it began and ended, and what failed.

`campfire status` reads it while the run goes on; Snakemake's own state is not needed for that, nor its lock.
"""

import os
import shlex
import socket
import sys
import time
from typing import Any

from campfire.core.files import write_json
from campfire.runs.failures import failures
from campfire.runs.job_records import record_path
from campfire.runs.plan import STAGE_OF_RULE
from campfire.runs.run import Run
from campfire.runs.run_state import read_run_record, run_record


def begin_record(workflow: Any, run: Run) -> None:
    """Write the record of a run that begins. For `onstart`; a job's own Snakemake writes none.

    workflow: Snakemake's, with its jobs planned
    """
    if workflow.touch or not workflow.is_main_process:
        return
    planned = set(workflow.dag.needrun_jobs(exclude_finished=False))
    jobs = [_entry(job, job in planned, run) for job in workflow.dag.jobs if job.output]
    _write(
        run,
        {
            "began": time.time(),
            "results": run.files.results,
            "host": socket.gethostname(),
            "process": os.getpid(),
            "command": shlex.join(sys.argv[1:]),
            "jobs": sorted(jobs, key=lambda job: (job["rule"], job["name"])),
        },
    )


def end_record(workflow: Any, run: Run, succeeded: bool) -> None:
    """Add the end of the run to its record, and its failed jobs. For `onsuccess` and `onerror`."""
    if workflow.touch or not workflow.is_main_process:
        return
    record = read_run_record(run.files.results)
    if record is None or record["process"] != os.getpid():  # it stopped before its first job
        return
    failed = [] if succeeded or workflow.scheduler is None else list(failures(workflow.scheduler.failed))
    names = [{"rule": job.rule, "name": job.name, "log": job.log} for job in failed]
    _write(run, {**record, "ended": time.time(), "succeeded": succeeded, "failed": names})


def _entry(job: Any, planned: bool, run: Run) -> dict[str, Any]:
    """A job as the record has it; `planned`: this run runs it, otherwise it was finished before."""
    rule, wildcards = job.rule.name, job.wildcards_dict
    plate = wildcards.get("plate", "") if rule == "images" else ""
    return {
        "stage": STAGE_OF_RULE.get(rule, "analysis"),
        "rule": rule,
        "name": "/".join(wildcards.values()),
        "record": str(record_path(run.files.state("provenance"), rule, wildcards.values())),
        "log": str(job.log[0]) if job.log else "",
        "planned": planned,
        **({"download_plan": run.files.download_plan(plate)} if plate else {}),
    }


def _write(run: Run, record: dict[str, Any]) -> None:
    """Write the record; a run goes on without one where it cannot be written."""
    try:
        write_json(run_record(run.files.results), record)
    except OSError as error:
        print(f"no record for `campfire status`: {error}", file=sys.stderr)
