"""Stops a plan that would redo finished, expensive work before anything starts, and says why."""

import atexit
import shlex
from typing import Any

from snakemake.exceptions import WorkflowError

from campfire.core.errors import CampfireError, ConfigError
from campfire.runs import cost
from campfire.runs.plan import Plan
from campfire.runs.run import Run

GUARDED = {"images": 0, "pretrain": 0, "tiles": 24, "embed": 24}
"""Stages whose results are remade only on confirmation, and processor or GPU hours up to which none is needed."""


def guard(workflow: Any, run: Run) -> None:
    """Stop a plan that would redo finished, expensive work, unless `redo` names its stage.

    workflow: Snakemake's, with its jobs planned. Called by `onstart`; raises WorkflowError.
    """
    if workflow.touch:
        return
    try:
        check_plan(Plan(workflow, run.files), run)
        if lacking := missing_nuclei_weights(workflow, run):
            raise ConfigError(lacking)
    except CampfireError as error:
        raise WorkflowError(str(error)) from None


def check_plan(plan: Plan, run: Run) -> None:
    """Raise a ConfigError for a plan that would redo finished, expensive work without confirmation."""
    stopped = cost.forbidden(cost.estimate(plan.jobs()), GUARDED, run.config.redo)
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


def missing_nuclei_weights(workflow: Any, run: Run) -> str:
    """What is wrong with the weights that planned jobs segment with, before any plate is downloaded; or ""."""
    if run.config.nuclei.method != "cellpose":
        return ""
    if not {"nuclei", "nuclei_gpu"} & {job.rule.name for job in workflow.dag.needrun_jobs()}:
        return ""
    # scipy and scikit-image: seconds that most plans need not wait
    from campfire.images.nuclei.cellpose import weights_path

    try:
        weights_path(run.config.nuclei)
    except CampfireError as error:
        return str(error)
    return ""


def show_plan_at_exit(workflow: Any, run: Run) -> None:
    """With `show_plan`, print what the plan costs at the end of a dry run: Snakemake has no hook after one."""
    if run.config.show_plan:
        atexit.register(_show_plan, workflow, run)


def _show_plan(workflow: Any, run: Run) -> None:
    if getattr(workflow, "dag", None) is None or not hasattr(workflow, "scheduler"):
        return
    rows = cost.estimate(Plan(workflow, run.files).jobs())
    print(cost.render(rows) if rows else "Nothing to be done: everything is up to date.")
    stopped = cost.forbidden(rows, GUARDED, run.config.redo)
    if stopped:
        names = ",".join(dict.fromkeys(row.stage for row in stopped))
        print(f"Redoing finished, expensive work must be confirmed: `--config redo={names}`.")
    if lacking := missing_nuclei_weights(workflow, run):
        print(lacking)
