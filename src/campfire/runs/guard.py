"""Stops a plan before its first job where it would redo finished work, is huge, or cannot work, and says why."""

import atexit
import os
import shlex
import sys
from collections.abc import Iterable
from typing import Any

from snakemake.exceptions import WorkflowError

from campfire.core.errors import CampfireError, ConfigError
from campfire.core.text import size
from campfire.runs import cost, expected
from campfire.runs.cost import PlannedJob, StageCost
from campfire.runs.plan import Plan
from campfire.runs.run import Run

GUARDED = {"images": 0, "pretrain": 0, "tiles": 24, "embed": 24}
"""Stages whose results are remade only on confirmation, and processor or GPU hours up to which none is needed."""
LARGE_BYTES = 100e9
"""Expected bytes to fetch above which a run must be confirmed by `large_run`: JUMP as in the paper is 4.65 TB."""
LARGE_HOURS = 48.0
"""Expected hours of a pretraining without a GPU above which a run must be confirmed."""


def guard(workflow: Any, run: Run) -> None:
    """Stop a plan that would redo finished work, is huge or lacks something, unless the config confirms it.

    workflow: Snakemake's, with its jobs planned. Called by `onstart`; raises WorkflowError.
    """
    if workflow.touch:
        return
    # Jobs read the Snakefile too, and need none of this.
    from campfire.runs.ahead import problems_of_jobs

    try:
        plan = Plan(workflow, run.files, run)
        jobs = plan.jobs()
        rows = cost.estimate(jobs)
        check_plan(plan, run, rows)
        wrong = [
            *problems_of_jobs(workflow, run),
            *filter(None, [unconfirmed_size(run, rows), disk_problem(workflow, run, jobs)]),
        ]
        if wrong:
            raise ConfigError("\n".join(wrong))
    except CampfireError as error:
        raise WorkflowError(str(error)) from None


def unconfirmed_size(run: Run, rows: Iterable[StageCost]) -> str:
    """How large a plan is and how to confirm it, where it is huge and not confirmed; else ""."""
    if run.config.large_run:
        return ""
    rows = list(rows)
    large = []
    if (fetched := sum(row.expected for row in rows)) > LARGE_BYTES:
        plates = sum(row.jobs for row in rows if row.stage == "images")
        large.append(f"fetches about {size(fetched)} of images ({plates} plates)")
    for row in rows:
        if row.rule == "pretrain_run" and row.computed and row.cpu_hours > LARGE_HOURS:
            large += [expected.describe_pretraining(run, name) for name in row.names]
    if not large:
        return ""
    own = "" if set(sys.argv) & {"--configfile", "--configfiles"} else "; for another run name its --configfile"
    return f"This plan is large: {'; '.join(large)}. If that is meant, add `--config large_run=true`{own}."


def check_plan(plan: Plan, run: Run, rows: Iterable[StageCost]) -> None:
    """Raise a ConfigError for a plan that would redo finished, expensive work without confirmation."""
    stopped = cost.forbidden(rows, GUARDED, run.config.redo)
    if not stopped:
        return
    names = list(dict.fromkeys(row.stage for row in stopped))
    lines = [
        "This plan would redo finished, expensive work:",
        "",
        cost.render(stopped),
        "",
        f"If that is meant, add `--config redo={','.join(names)}`.",
        "If the change does not affect these results, mark them as current:",
        f"  {mark_command(plan.workflow, names)}",
    ]
    if "assign_wells" in {row.why.split(":")[0] for row in stopped}:
        lines.append(
            "The split will be remade. Make it first (target `split`): plates whose wells stay the same are not redone."
        )
    raise ConfigError("\n".join(lines))


def mark_command(workflow: Any, stages: list[str]) -> str:
    """The command that marks the results of these stages as current, for this workflow and its config."""
    words = ["campfire", "mark-current", *stages]
    files = [str(path) for path in workflow.overwrite_configfiles or ()]
    return shlex.join([*words, *(["--configfile", *files] if files else [])])


def show_at_exit(workflow: Any, run: Run) -> None:
    """At the end of a dry run, print what would stop the run and, for `make plan`, what it costs.

    Snakemake has no hook after a dry run, nor before a report, which says here how much of it is stale.
    """
    if not workflow.is_main_process:
        return
    if "--report" in sys.argv and "--report-after-run" not in sys.argv:
        atexit.register(_warn_of_stale_report, workflow)
    if run.config.show_plan or {"-n", "--dry-run", "--dryrun"} & set(sys.argv):
        atexit.register(_show, workflow, run)


def _warn_of_stale_report(workflow: Any) -> None:
    if getattr(workflow, "dag", None) is None:
        return
    waiting = [job for job in workflow.dag.needrun_jobs() if job.output]
    if waiting:
        print(
            f"THE REPORT IS STALE: {len(waiting)} results that it shows are outstanding or changed; run the same "
            "command without --report first.",
            file=sys.stderr,
        )


def show_forecast(workflow: Any, run: Run, jobs: Iterable[PlannedJob]) -> None:
    """Print bytes, objects, hours and disk of what runs for the first time, where it fetches from the Gallery.

    For trials of the ablation study it prints their GPU hours.
    """
    from campfire.runs import forecast

    jobs = list(jobs)
    if found := forecast.forecast(run, jobs):
        at_once = _at_once(workflow, found.plates)
        print(forecast.render(found, cutting_cores(workflow, at_once), at_once, run.files.results))
    if trials := [job.name.split("/") for job in jobs if job.rule == "ablation_run"]:
        from campfire.runs.study import Study
        from campfire.runs.study_budget import budget
        from campfire.runs.study_budget import render as render_budget

        named = [(stage, int(trial.removeprefix("trial_"))) for stage, trial in trials]
        print(render_budget(budget(Study(run), named)))


def disk_problem(workflow: Any, run: Run, jobs: Iterable[PlannedJob]) -> str:
    """What is wrong with disk or quota for what is fetched for the first time, and what to do; "" if nothing."""
    from campfire.runs import forecast

    found = forecast.forecast(run, jobs)
    return forecast.lacking_disk(found, _at_once(workflow, found.plates), run.files.results) if found else ""


def _at_once(workflow: Any, plates: int) -> int:
    """Plates whose images are on disk at once: the profile's bound, else all."""
    bound = workflow.global_resources.get("plates_on_disk")
    return int(getattr(bound, "value", bound) or plates)


def cutting_cores(workflow: Any, plates_at_once: int) -> int:
    """Cores that verify and cut tiles at once: on a cluster those of the plates' jobs, else those of this run."""
    settings = workflow.resource_settings
    if settings.nodes:  # `jobs` of the profile; a dry run has one core there
        threads = settings.overwrite_threads.get("nuclei", 1)
        return min(int(settings.nodes), plates_at_once) * int(getattr(threads, "value", threads))
    return int(settings.cores or len(os.sched_getaffinity(0)))


def _show(workflow: Any, run: Run) -> None:
    if getattr(workflow, "dag", None) is None or not hasattr(workflow, "scheduler"):
        return
    from campfire.runs.ahead import problems_of_jobs

    jobs = Plan(workflow, run.files, run).jobs()
    rows = cost.estimate(jobs)
    if run.config.show_plan:
        print(cost.render(rows) if rows else "Nothing to be done: everything is up to date.")
        show_forecast(workflow, run, jobs)
    stopped = cost.forbidden(rows, GUARDED, run.config.redo)
    if stopped:
        names = ",".join(dict.fromkeys(row.stage for row in stopped))
        print(f"Redoing finished, expensive work must be confirmed: `--config redo={names}`.")
    lacking = "" if run.config.show_plan else disk_problem(workflow, run, jobs)  # the forecast above says it too
    for problem in filter(None, [unconfirmed_size(run, rows), lacking, *problems_of_jobs(workflow, run)]):
        print(problem)
