"""From Snakemake's config to a checked run: what the Snakefile calls first."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from campfire.core.errors import CampfireError
from campfire.core.yaml import read_yaml
from campfire.runs.checks import check_config, check_run
from campfire.runs.configuration import validate
from campfire.runs.results import Results
from campfire.runs.run import Run
from campfire.runs.slurm import explain_lock

NOTHING_RUNS = {"-n", "--dry-run", "--dryrun", "--unlock"}


@contextmanager
def as_workflow_errors() -> Iterator[None]:
    """Turn errors with a remedy into Snakemake's own kind, which it prints without a traceback."""
    try:
        yield
    except CampfireError as error:
        raise WorkflowError(str(error)) from None


def read_run(config: Mapping[str, Any], workflow: str | Path) -> Run:
    """The checked run of a config; any mistake ends planning with a message that says what to do.

    workflow: the folder of the workflow's files. Targets are read from the command line, which Snakemake hands on to
    the workflow only after all rules are read.
    """
    arguments = sys.argv[1:]
    with as_workflow_errors():
        validate(config, read_yaml(Path(workflow) / "schemas/config.schema.yaml"))
        run = Run.read(config, workflow)
        check_config(config)
        check_run(run, arguments)
    return run


def read_results(run: Run) -> Results:
    """The tables and figures of a run; a target that asks for one it does not have ends planning with those it has."""
    with as_workflow_errors():
        results = Results(run)
        results.check(sys.argv[1:])
    return results


def explain_a_lock() -> None:
    """Log what a lock on the working folder means, before Snakemake refuses to start."""
    if not NOTHING_RUNS & {*sys.argv} and (explanation := explain_lock()):
        logger.error(explanation)
