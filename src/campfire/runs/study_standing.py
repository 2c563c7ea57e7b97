"""How far an ablation study is and how its trials rank so far, from files alone while it runs: campfire ablation."""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from campfire.core.errors import ConfigError, in_one_line
from campfire.core.files import read_table
from campfire.core.text import markdown_table, work_hours
from campfire.core.yaml import merge, read_yaml
from campfire.runs.job_records import record_path
from campfire.runs.planning import base_config, complete
from campfire.runs.run import Run
from campfire.runs.study import Study
from campfire.runs.study_budget import budget, render
from campfire.training.ablation import rank, run_name


@dataclass(frozen=True)
class Trial:
    """A trial as its files show it: waiting, running or finished."""

    number: int
    state: str
    validations: pd.DataFrame
    """Columns of metrics.parquet, one row per validated epoch, ascending."""
    hours: float
    """Time that its attempts took."""
    gpu_hours: float


def read_trials(study: Study, stage: str, now: float | None = None) -> list[Trial]:
    """The selected trials of a stage."""
    return [_read(study.run, stage, number, time.time() if now is None else now) for number in study.trials[stage]]


def _read(run: Run, stage: str, number: int, now: float) -> Trial:
    name = run_name(number)
    metrics = Path(run.files.trial(stage, name, "metrics.parquet"))
    log = _newest_log(Path(run.files.state(f"ablation/{stage}/{name}")))
    record = record_path(run.files.state("provenance"), "ablation_run", (stage, name))
    last_sign = log.stat().st_mtime if log else now
    hours = _hours(record, last_sign)
    if metrics.is_file():
        table = read_table(metrics)
        return Trial(number, "finished", table[table["split"] == "val"].sort_values("epoch"), *hours)
    rows = {row["epoch"]: row for row in _events(log) if row.get("event") == "validation"} if log else {}
    validations = pd.DataFrame([rows[epoch] for epoch in sorted(rows)])
    return Trial(number, "running" if log else "waiting", validations, *hours)


def _newest_log(folder: Path) -> Path | None:
    return max(folder.glob("*/log.jsonl"), key=lambda path: path.stat().st_mtime, default=None)


def _events(log: Path) -> list[dict[str, Any]]:
    """The lines of a run's log; one that is being written is left out."""
    found = []
    for line in log.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def _hours(record: Path, last_sign: float) -> tuple[float, float]:
    """Hours and GPU hours of all attempts of a job, up to the last sign of life of one that still runs."""
    try:
        known = json.loads(record.read_text(encoding="utf-8"))
        ended = known.get("ended", known.get("stopped", max(last_sign, known["began"])))
        parts = [{**known, "ended": ended}, *known.get("attempts", ())]
        each = [((part["ended"] - part["began"]) / 3600, part.get("gpus") or 0) for part in parts]
        return sum(hours for hours, _ in each), sum(hours * gpus for hours, gpus in each)
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0, 0.0


def standing(study: Study, stage: str, trials: Sequence[Trial]) -> tuple[int, pd.DataFrame]:
    """The ranking of the trials that were validated, at the last epoch that all of them have reached: (epoch, table).

    The table is that of `ablation.rank` with `state` and `reached` (last validated epoch); (0, empty) without any.
    """
    seen = {trial.number: trial for trial in trials if len(trial.validations)}
    common = set.intersection(*(set(trial.validations["epoch"]) for trial in seen.values())) if seen else set()
    if not common:
        return 0, pd.DataFrame()
    epoch = max(common)
    metrics: Mapping[int, pd.DataFrame] = {
        number: trial.validations[trial.validations["epoch"] == epoch] for number, trial in seen.items()
    }
    table = rank(stage, study.options["tables"], metrics)
    reached = [int(seen[number].validations["epoch"].max()) for number in table["trial"]]
    return int(epoch), table.assign(state=[seen[number].state for number in table["trial"]], reached=reached)


def describe(study: Study) -> str:
    """Budget, progress and ranking of every selected stage as text."""
    selected = [(stage, trial) for stage, trials in study.trials.items() for trial in trials]
    lines = [render(budget(study, selected)), ""]
    for stage in study.trials:
        trials = read_trials(study, stage)
        states = [trial.state for trial in trials]
        counted = ", ".join(f"{states.count(state)} {state}" for state in ("finished", "running", "waiting"))
        lines.append(f"{stage}: {counted}{_used(trials)}")
        epoch, table = standing(study, stage, trials)
        if epoch:
            rows = [
                [place, row["trial"], row["state"], row["reached"], *(f"{row[name]:.4f}" for name in VALUES)]
                for place, row in enumerate(table.to_dict("records"), start=1)
            ]
            heads = ["rank", "trial", "state", "epoch", f"loss at {epoch}", f"masked error at {epoch}"]
            lines += ["", markdown_table(heads, rows, (0, 1, 3, 4, 5)), ""]
    return "\n".join(lines)


def _used(trials: Sequence[Trial]) -> str:
    """What trials have used so far; "" before the first has begun."""
    hours, gpus = sum(trial.hours for trial in trials), sum(trial.gpu_hours for trial in trials)
    if not hours:
        return ""
    return f"; used so far {f'{work_hours(gpus)} of GPUs' if gpus else f'{work_hours(hours)} without a GPU'}"


VALUES = ("validation_loss", "reconstruction_error")


def _from_words(words: Sequence[str]) -> dict[str, Any]:
    """The values of `--config`, read as Snakemake reads them."""
    from snakemake.cli import parse_config

    try:
        return dict(parse_config(words))
    except ValueError as error:
        raise ConfigError(f"--config {' '.join(words)}: {error}; write for instance --config trials=loss") from error


@in_one_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 printed, 1 an error that the message explains."""
    parser = argparse.ArgumentParser(prog="campfire ablation", description=__doc__)
    parser.add_argument("--configfile", type=Path, nargs="+", default=[], help="as in the run")
    parser.add_argument("--config", nargs="+", default=[], metavar="KEY=VALUE", help="as in the run: trials=loss")
    options = parser.parse_args(arguments)
    missing = [path for path in options.configfile if not path.is_file()]
    if missing:
        raise ConfigError(f"{missing[0]}: no such config file")
    workflow = Path("workflow")
    values: dict[str, Any] = read_yaml(base_config(workflow))
    for path in options.configfile:
        values = merge(values, read_yaml(path))
    values = {**values, **_from_words(options.config)}
    complete(values, workflow, options.configfile)
    print(describe(Study(Run.read(values, workflow))))
    return 0
