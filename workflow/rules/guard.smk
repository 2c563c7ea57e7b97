"""Before anything starts: a plan that does again what is done and dear stops, and says what it would do and why."""

import asyncio
import atexit

from campfire.runs import cost

STAGE_OF_RULE = {
    "images": "images",
    "nuclei": "tiles",
    "nuclei_gpu": "tiles",
    "cut_tiles": "tiles",
    "pretrain_run": "pretrain",
    "ablation_run": "pretrain",
    "embed": "embed",
    "embed_transfer": "embed",
}
GUARDED = {"images": 0, "pretrain": 0, "tiles": 24, "embed": 24}
"""Stages whose results are not remade unasked, and processor or GPU hours up to which they are."""
KEPT_IN = {
    "images": ["images", "download"],
    "tiles": ["nuclei", "quality", "tiles"],
    "pretrain": ["pretrain", "ablation"],
    "embed": ["embeddings"],
}


def own_reason(job):
    """Why a job runs, if not for the sake of another; "" otherwise."""
    reason = workflow.dag.reason(job)
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
        return f"missing {min(missing)}" if is_done(job) else "not made yet"
    return "forced" if reason.forced else ""


def traced_reason(job, seen=()):
    """Why a job runs, traced to where that begins: above it, or below where a temporary file is needed again."""
    if own_reason(job) or job in seen:
        return f"{job.rule.name}: {own_reason(job)}" if own_reason(job) else ""
    dag, seen = workflow.dag, {*seen, job}
    needed = [other for other in dag.dependencies[job] if dag.needrun(other)]
    asking = [other for other in dag.depending[job] if own_reason(other)]
    for other in [*sorted(needed, key=str), *sorted(asking, key=str)]:
        if text := traced_reason(other, seen):
            return text
    return ""


def is_done(job):
    """Whether a job has been finished before: its first lasting output is there and whole."""
    lasting = [path for path in job.output if path not in job.temp_output]
    if not lasting or not Path(lasting[0]).exists():
        return False
    return not asyncio.run(workflow.persistence.incomplete(job))


def planned_jobs():
    """The jobs of the plan, dear ones first, as campfire.runs.cost takes them."""
    order = list(dict.fromkeys([*STAGE_OF_RULE.values(), "analysis"]))
    jobs = []
    for job in workflow.dag.needrun_jobs(exclude_finished=False):
        if not job.output:
            continue
        kind, wildcards = job.rule.name, job.wildcards_dict
        plan = None
        if kind == "images":
            plan = result(f"download/{wildcards['plate']}.plan.json")
        stage, name = (
            STAGE_OF_RULE.get(kind, "analysis"),
            "/".join(wildcards.values()),
        )
        jobs.append(
            cost.PlannedJob(
                *(
                    stage,
                    kind,
                    name,
                    is_done(job),
                    own_reason(job) or traced_reason(job),
                ),
                gpus=int(job.resources.get("gpu", 0) or 0),
                benchmark=str(job.benchmark) if job.benchmark else None,
                download_plan=plan,
            )
        )
    return sorted(
        jobs, key=lambda job: (order.index(job.stage), job.done, job.rule, job.name)
    )


def guard_plan():
    """Stop a plan that would do again what is dear, unless `redo` names it."""
    try:
        redo = cost.stages(config["redo"])
    except CampfireError as error:
        raise WorkflowError(f"config: {error}") from None
    unknown = set(redo) - {*GUARDED, "all"}
    if unknown:
        known = ", ".join([*GUARDED, "all"])
        raise WorkflowError(f"redo: no stage {min(unknown)}; there are {known}")
    rows = cost.estimate(planned_jobs())
    stopped = cost.forbidden(rows, GUARDED, redo)
    if not stopped:
        return
    names = list(dict.fromkeys(row.stage for row in stopped))
    folders = [result(folder) for name in names for folder in KEPT_IN[name]]
    lines = [
        "This plan would do again what is done and dear:",
        "",
        cost.render(stopped),
        "",
        f"If that is meant, add `--config redo={','.join(names)}`.",
        "If the change leaves these results as they are, have Snakemake forget what they were made with:",
        f"  snakemake --cleanup-metadata $(find {' '.join(folders)} -type f -o -path '*images/*' -prune)",
    ]
    if "assign_wells" in {row.why.split(":")[0] for row in stopped}:
        lines += [
            "The split is made again. Make it first (target `split`): plates whose wells stay are then left alone."
        ]
    raise WorkflowError("\n".join(lines))


def missing_nuclei_weights():
    """What is wrong with the weights that planned jobs segment with, before a plate is fetched for nothing; or ""."""
    if config["nuclei"].get("method") != "cellpose":
        return ""
    planned = {job.rule.name for job in workflow.dag.needrun_jobs()}
    if not planned & {"nuclei", "nuclei_gpu"}:
        return ""
    from campfire.images.nuclei import NucleiOptions
    from campfire.images.nuclei.cellpose import weights_path

    try:
        weights_path(NucleiOptions(**config["nuclei"]))
    except CampfireError as error:
        return str(error)
    return ""


def show_plan():
    """Print what the plan costs, at the end of a dry run."""
    if getattr(workflow, "dag", None) is None or not hasattr(workflow, "scheduler"):
        return
    rows = cost.estimate(planned_jobs())
    print(
        cost.render(rows)
        if rows
        else "Nothing to be done: everything is there and up to date."
    )
    stopped = cost.forbidden(rows, GUARDED, cost.stages(config["redo"]))
    if stopped:
        names = ",".join(dict.fromkeys(row.stage for row in stopped))
        print(
            f"Doing again what is done and dear needs leave: `--config redo={names}`."
        )
    if lacking := missing_nuclei_weights():
        print(lacking)


if config["show_plan"]:
    atexit.register(show_plan)


onstart:
    if not workflow.touch:
        guard_plan()
        if lacking := missing_nuclei_weights():
            raise WorkflowError(lacking)
