"""Mark finished results as current after an edit that is known not to affect them.

Snakemake then records them as made by the current code and options; later edits count again. Only finished jobs of the
named stages are marked; the next run computes everything else.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from snakemake.api import SnakemakeApi, resolve_snakefile
from snakemake.cli import parse_config
from snakemake.exceptions import WorkflowError
from snakemake.settings.enums import Quietness, RerunTrigger
from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings, StorageSettings

from campfire.core.errors import CampfireError, ConfigError, in_one_line
from campfire.runs import cost
from campfire.runs.plan import STAGES, Plan
from campfire.runs.slurm import explain_lock

TRIGGERS = frozenset({RerunTrigger.MTIME, RerunTrigger.PARAMS, RerunTrigger.INPUT})
"""As in profiles/: the changes that make Snakemake rerun a finished job."""


def plan_workflow(
    targets: Iterable[str],
    configfiles: Iterable[Path],
    config: dict[str, Any],
    snakefile: Path | None = None,
    folder: Path | None = None,
) -> Any:
    """Snakemake's workflow with planned jobs, none of them run; CampfireError if it cannot be planned."""
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        try:
            workflow = api.workflow(
                resource_settings=ResourceSettings(cores=1),
                config_settings=ConfigSettings(config=config, configfiles=[path.absolute() for path in configfiles]),
                storage_settings=StorageSettings(),
                snakefile=resolve_snakefile(snakefile),
                workdir=folder,
            )
            settings = DAGSettings(targets=frozenset(targets), rerun_triggers=TRIGGERS)
            workflow.dag(settings).execute_workflow(executor="dryrun")
        except WorkflowError as error:
            raise CampfireError(str(error)) from None
        return workflow._workflow


def markable(plan: Plan, stages: Iterable[str]) -> list[Any]:
    """Snakemake's jobs of these stages that would be redone although all their lasting outputs exist."""
    stages = set(stages)
    found = []
    for job in plan.waiting():
        lasting = [path for path in job.output if path not in job.temp_output]
        in_stage = "all" in stages or plan.record(job).stage in stages
        if in_stage and plan.is_done(job) and all(Path(path).exists() for path in lasting):
            found.append(job)
    return found


def mark(workflow: Any, job: Any) -> None:
    """Record a job as done with the current code, options and inputs; its outputs become as new as its inputs."""
    inputs = [os.path.getmtime(path) for path in job.input if os.path.exists(path)]
    for path in job.output:
        if os.path.exists(path) and inputs and os.path.getmtime(path) < max(inputs):
            os.utime(path, (max(inputs), max(inputs)))
    workflow.iocache.deactivate()
    workflow.persistence.started(job)
    asyncio.run(workflow.persistence.finished(job))


@in_one_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 marked (or nothing to mark), 1 an error that the message explains."""
    parser = argparse.ArgumentParser(
        prog="campfire mark-current", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    choices = [*STAGES, "all"]
    parser.add_argument("stages", nargs="+", metavar="STAGE", choices=choices, help=f"of {', '.join(choices)}")
    parser.add_argument("--configfile", type=Path, nargs="+", default=[], help="as in the run")
    parser.add_argument("--config", nargs="+", default=[], metavar="KEY=VALUE", help="as in the run")
    parser.add_argument("--target", nargs="+", default=["all"], help="targets of the run (default: all)")
    parser.add_argument("--snakefile", type=Path, help="as in the run (default: where Snakemake looks)")
    parser.add_argument("--directory", type=Path, help="where the run's results are (default: here)")
    parser.add_argument("-n", "--dry-run", action="store_true", help="print what would be marked")
    options = parser.parse_args(arguments)
    missing = [path for path in options.configfile if not path.is_file()]
    if missing:
        raise ConfigError(f"{missing[0]}: no such config file")
    workflow = plan_workflow(
        options.target, options.configfile, parse_config(options.config), options.snakefile, options.directory
    )
    if locked := explain_lock(options.directory or "."):
        raise CampfireError(locked)
    before = Path.cwd()
    os.chdir(options.directory or before)
    try:
        plan = Plan(workflow, workflow.globals["run"].files)
        jobs = markable(plan, options.stages)
        rows = cost.estimate([plan.record(job) for job in jobs])
        print(cost.render(rows) if jobs else "Nothing to mark: no finished result of these stages would be redone.")
        for row in rows:
            print(f"{row.rule}: {', '.join(sorted(filter(None, row.names))) or 'its only job'}")
        if jobs and not options.dry_run:
            for job in jobs:
                mark(workflow, job)
            print(f"Marked {len(jobs)} jobs as current.")
    finally:
        os.chdir(before)
    return 0


if __name__ == "__main__":
    sys.exit(main())
