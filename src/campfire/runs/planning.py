"""From Snakemake's config to a checked run, the first calls of the Snakefile."""

import os
import shlex
import sys
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from campfire.core.errors import CampfireError, ConfigError
from campfire.core.memory import collect_seldom
from campfire.core.yaml import merge, read_yaml
from campfire.runs.checks import check_run
from campfire.runs.config import Config
from campfire.runs.config.places import repeated_keys
from campfire.runs.copies import restore_times
from campfire.runs.job import share_library
from campfire.runs.results import Results
from campfire.runs.run import Run
from campfire.runs.slurm import explain_lock
from campfire.runs.study import Study

P = ParamSpec("P")
T = TypeVar("T")
NOTHING_RUNS = {"-n", "--dry-run", "--dryrun", "--unlock"}


def for_snakemake(function: Callable[P, T]) -> Callable[P, T]:
    """Wrap a function so that its errors with a remedy become Snakemake's, printed without a traceback."""

    @wraps(function)
    def planned(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except CampfireError as error:
            raise WorkflowError(str(error)) from None

    return planned


def base_config(workflow: str | Path) -> str:
    """The base config, under all others: config/config.yaml of the working folder, else the workflow's own."""
    own = Path("config/config.yaml")
    return str(own if own.is_file() else Path(workflow).parent / own)


@for_snakemake
def read_run(
    config: dict[str, Any],
    workflow: str | Path,
    files: Iterable[str | Path] = (),
    fetch: Callable[[str], str] | None = None,
) -> Run:
    """The checked run of a config; any mistake ends planning with a message that says what to do.

    config: Snakemake's, which is completed in place, so that scripts see the same
    workflow: the folder of the workflow's files
    files: the YAML files that the config comes from, for the lines of mistakes
    fetch: local path of a file of a workflow that is at a URL
    """
    collect_seldom()
    share_library()
    quote_interpreter()
    complete(config, Path(workflow), files)
    try:
        run = Run.read(config, workflow, fetch=fetch)
    except ConfigError as error:
        raise ConfigError(f"{error}{elsewhere(str(error), Path(workflow))}") from error
    # Snakemake passes its targets to the workflow only after it has read all rules.
    check_run(run, sys.argv[1:])
    return run


def elsewhere(message: str, workflow: Path) -> str:
    """A hint for a file that is missing where the run was started in another folder than the workflow's; else ""."""
    home = workflow.parent
    if "no such" not in message or not home.is_dir() or home.resolve() == Path.cwd().resolve():
        return ""
    return (
        f" (paths are relative to the folder that you start from, {Path.cwd()}: start in {home}, or add "
        f"--directory {home})"
    )


@for_snakemake
def read_results(run: Run) -> Results:
    """The tables and figures of a run; planning stops at a target that the run lacks and lists those it has."""
    results = Results(run)
    results.check(sys.argv[1:])
    return results


@for_snakemake
def look_ahead(workflow: Any, run: Run) -> None:
    """Check before planning what no job could work with; a job's own Snakemake does nothing."""
    if workflow.is_main_process and "--unlock" not in sys.argv:
        from campfire.runs.ahead import check_ahead

        check_ahead(run)


@for_snakemake
def read_study(run: Run) -> Study:
    """The ablation study of a run."""
    return Study(run)


def complete(config: dict[str, Any], workflow: Path, files: Iterable[str | Path] = ()) -> None:
    """Lay a config over the base config, check it, fill in defaults and normalise its paths, in place.

    Files that the workflow ships are found beside it where the working folder has none of that name.
    """
    base = base_config(workflow)
    if not Path(base).is_file():
        raise ConfigError(f"{base}: no such file; copy the folder config of the workflow here, as snakedeploy does")
    if repeated := [line for path in dict.fromkeys(map(str, (base, *files))) for line in repeated_keys(path)]:
        raise ConfigError("\n".join(dict.fromkeys(repeated)))
    # Snakemake lists the base config last, over which all others are laid.
    laid_over = [path for path in files if Path(path).resolve() != Path(base).resolve()]
    config.update(Config.read(merge(read_yaml(base), config), [base, *laid_over]).plain())
    for key in ("results", "logs"):
        config[key] = folder_name(key, config[key])
    for key in ("sheet", "known_bad"):
        config[key] = shipped(config[key], workflow)
    study = config["pretrain"]["ablation"]
    config["pretrain"] = {**config["pretrain"], "ablation": {**study, "tables": shipped(study["tables"], workflow)}}


def folder_name(key: str, value: str) -> str:
    """A folder for outputs without `~`, doubled or closing slashes, so that one folder has one name in all records."""
    if set(value) & set("{}"):
        raise ConfigError(
            f"config: {key}: {value!r} has braces, which Snakemake reads as wildcards; choose a folder without them"
        )
    return os.path.normpath(os.path.expanduser(value))


def shipped(path: str | None, workflow: Path) -> str | None:
    """A relative path below the working folder, or beside the workflow where only that has it."""
    if not path or Path(path).exists():
        return path
    beside = workflow.parent / path
    return str(beside) if beside.exists() else path


def quote_interpreter() -> None:
    """Let Snakemake start jobs when Python's path contains a blank: it puts `sys.executable` into shell commands."""
    sys.executable = shlex.quote(sys.executable) if not sys.executable.startswith("'") else sys.executable


@for_snakemake
def look_for_targets(workflow: Any, run: Run) -> None:
    """Refuse a target after `--` that no rule is called or makes, with the nearest name; all rules have been read.

    As a module of another Snakefile, whose own rules may follow, it leaves that to Snakemake.
    """
    # Snakemake calls the modifier of every Snakefile a module's; the main one's has no parent.
    words = sys.argv[1:] if workflow.is_main_process and workflow.modifier.parent_modifier is None else []
    rules = list(workflow.rules)
    for target in words[words.index("--") + 1 :] if "--" in words else ():
        if not any(target == rule.name or rule.is_producer(target) for rule in rules):
            raise ConfigError(unknown_target(target, run, [rule.name for rule in rules]))


def unknown_target(target: str, run: Run, rules: Iterable[str]) -> str:
    """What is wrong with a target that no rule is called or makes."""
    results = run.files.results
    if target.endswith((".yaml", ".yml")) and Path(target).is_file():
        return f"{target}: a config, which nothing makes; name it as an option: --configfile {target} -- all"
    if "/" not in target:
        shown = {name: kind for kind, names in shown_by(run).items() for name in names}
        name = target.rpartition(".")[0] or target
        if name in shown:
            suffix = "md" if shown[name] == "tables" else "pdf"
            return f"{target}: name the file: {results}/{shown[name]}/{name}.{suffix}"
        near = get_close_matches(target, [*rules, *shown], n=1)
        hint = f"did you mean {near[0]}?" if near else "`campfire run --help` lists targets"
        return f"{target}: no such target; {hint}"
    if not target.startswith(f"{results}/"):
        return f"{target}: nothing makes this file; results of this run are in {results} (option `results`)"
    return f"{target}: nothing makes this file in this run; check its name and the config that it belongs to"


def shown_by(run: Run) -> dict[str, list[str]]:
    """The folders of tables and figures below the results, each with the names of what a run shows there."""
    results = read_results(run)
    return {"tables": [*results.tables], "figures": results.single_figures}


def look_around(workflow: Any) -> None:
    """Before a run is planned: explain a lock on the working folder, and restore the times of copied results.

    workflow: Snakemake's; a job's own Snakemake does nothing.
    """
    if not workflow.is_main_process:
        return
    if not NOTHING_RUNS & {*sys.argv} and (explanation := explain_lock()):
        logger.error(explanation)
    elif restored := restore_times():
        logger.info(f"This folder is a copy: restored the times of {restored} results, so that they stay current.")
