"""The ablation study's budget before it starts, and its ranking while it runs."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from campfire.core.files import write_json, write_table
from campfire.core.yaml import merge, read_yaml
from campfire.runs.forecast import known_wells
from campfire.runs.run import Run
from campfire.runs.study import Study
from campfire.runs.study_budget import budget, gpu_rates, render
from campfire.runs.study_standing import describe, main, read_trials, standing


@pytest.fixture(scope="module")
def read_once() -> Callable[[Run], dict[str, dict[str, int]] | None]:
    """`known_wells` of the study, whose real table of wells takes a second or two to read, once for all tests."""
    found: list[dict[str, dict[str, int]] | None] = []

    def known(run: Run) -> dict[str, dict[str, int]] | None:
        if not found:
            found.append(known_wells(run))
        return found[0]

    return known


@pytest.fixture
def study(
    repository: Path,
    shared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    read_once: Callable[[Run], dict[str, dict[str, int]] | None],
) -> Study:
    """The paper's study with three trials of its first stage, nothing run."""
    monkeypatch.setattr("campfire.runs.study_budget.known_wells", read_once)
    values: dict[str, Any] = merge(
        read_yaml(repository / "config/config.yaml"),
        {
            "metadata": {"well": {"address": str(shared / "data/metadata/well.csv.gz"), "sha256": None}},
            "trials": {"loss": [1, 3, 13]},
            "pretrain": {"ablation": {"tables": str(repository / "config/ablations")}},
        },
    )
    for key in ("sheet", "known_bad"):
        values[key] = str(repository / values[key])
    monkeypatch.chdir(tmp_path)
    return Study(Run.read(values, repository / "workflow"))


def log_validations(study: Study, trial: int, errors: list[float], ends: str = "") -> Path:
    log = Path(study.run.files.state(f"ablation/loss/trial_{trial:02d}/abc")) / "log.jsonl"
    log.parent.mkdir(parents=True)
    rows = [
        {"event": "validation", "split": "val", "epoch": epoch, "loss": error / 2, "masked_error": error}
        for epoch, error in enumerate(errors, start=1)
    ]
    log.write_text("".join(f"{json.dumps(row)}\n" for row in rows) + ends)
    return log


def test_the_budget_is_the_study_s_arithmetic(study: Study, repository: Path) -> None:
    """docs/scale.md has 3.77e20 operations for the 27 trials of the loss, 6.55e20 for 22 architectures."""
    for stage, count, flops in (("loss", 27, 3.77e20), ("architecture", 22, 6.55e20), ("optimiser", 12, 1.81e20)):
        costs = budget(study, [(stage, trial) for trial in range(1, count + 1)])
        assert sum(cost.flops for cost in costs) == pytest.approx(flops, rel=0.01)
    text = render(budget(study, [("loss", trial) for trial in range(1, 28)]))
    assert re.search(r"loss +27 trials  362\.\d h or 2,8\d\d\.\d h, the longest \(loss 1\)", text), text
    assert gpu_rates()["A100"] == pytest.approx(0.12 * 312e12, rel=0.01), "12 % of its peak"
    assert "total" not in text and "total" in render(budget(study, [("loss", 1), ("mask", 1)]))


def test_a_cut_plate_counts_with_its_own_tiles(study: Study) -> None:
    (before,) = budget(study, [("loss", 3)])
    plate = study.plates[0]
    write_table(pd.DataFrame({"row": range(10)}), study.run.files.tile_index(plate))
    (after,) = budget(study, [("loss", 3)])
    assert after.passes < before.passes * (1 - 0.9 / len(study.plates))


def test_trials_are_ranked_at_the_epoch_that_all_have_reached(study: Study) -> None:
    assert standing(study, "loss", read_trials(study, "loss"))[0] == 0, "nothing to rank yet"
    log_validations(study, 1, [0.9, 0.5, 0.1], ends='{"event": "valid')
    finished = Path(study.run.files.trial("loss", "trial_03", "metrics.parquet"))
    rows = [{"split": "val", "epoch": e, "loss": 0.3, "masked_error": 0.4} for e in (1, 2, 3, 4)]
    write_table(pd.DataFrame([*rows, {"split": "train", "epoch": 5, "loss": 0.1, "masked_error": 0.1}]), finished)
    epoch, table = standing(study, "loss", read_trials(study, "loss"))
    assert epoch == 3 and table["trial"].tolist() == [1, 3]
    assert table["state"].tolist() == ["running", "finished"] and table["reached"].tolist() == [3, 4]
    log_validations(study, 13, [0.95])
    epoch, table = standing(study, "loss", read_trials(study, "loss"))
    assert epoch == 1 and table["trial"].tolist() == [3, 1, 13], "a trial that just began holds the comparison back"


def test_hours_of_all_attempts_are_counted(study: Study) -> None:
    log = log_validations(study, 1, [0.9])
    began = log.stat().st_mtime - 3600
    attempts = [{"began": began - 7200, "ended": began - 3600, "gpus": 2}]
    write_json(
        Path(study.run.files.state("provenance")) / "ablation_run/loss--trial_01.json",
        {"began": began, "gpus": 2, "attempts": attempts},
    )
    (trial, *others) = read_trials(study, "loss")
    assert trial.gpu_hours == pytest.approx(4, rel=0.01) and not any(other.gpu_hours for other in others)
    text = describe(study)
    assert "loss: 0 finished, 1 running, 2 waiting; used so far 4.0 h of GPUs" in text and "loss at 1" in text


def test_hours_without_a_gpu_and_budgets_of_seconds_say_so(study: Study) -> None:
    log = log_validations(study, 3, [0.9])
    record = Path(study.run.files.state("provenance")) / "ablation_run/loss--trial_03.json"
    write_json(record, {"began": log.stat().st_mtime - 1800, "gpus": 0})
    text = describe(study)
    assert "loss: 0 finished, 1 running, 2 waiting; used so far 30 min without a GPU" in text
    assert "used so far" not in describe_without(record, log, study)
    small = [replace(cost, flops=1e12) for cost in budget(study, [("loss", 1)])]
    assert re.search(r"loss +1 trial +under a minute$", render(small), re.MULTILINE)


def describe_without(record: Path, log: Path, study: Study) -> str:
    """The study before its first trial."""
    record.unlink()
    log.unlink()
    return describe(study)


def test_trials_are_chosen_as_in_the_run(repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(repository)
    assert main(["--config", "trials={loss: [1, 3]}"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"loss +2 trials +\d", out) and "loss: 0 finished" in out and "optimiser" not in out
    assert main(["--config", "trials"]) == 1
    assert "--config trials: Invalid config definition" in capsys.readouterr().err


def test_a_config_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--configfile", "nowhere.yaml"]) == 1
    assert capsys.readouterr().err == "error: nowhere.yaml: no such config file\n"
