"""What the ablation study of a run trains, on which plates, and what each trial inherits."""

import json
from pathlib import Path
from typing import Any

import pytest

from campfire.core.yaml import merge, read_yaml
from campfire.runs.config.model import STAGES as config_stages  # noqa: N811
from campfire.runs.run import Run
from campfire.runs.study import Study
from campfire.training.ablation import STAGES
from support.plans import CHANGES, SHEET, TRANSFER, transfer_sheet


@pytest.fixture
def study(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    (tmp_path / "plates.tsv").write_text(SHEET)
    (tmp_path / "transfer.tsv").write_text(transfer_sheet(TRANSFER))
    monkeypatch.chdir(tmp_path)
    tables = {"pretrain": {"ablation": {"tables": str(repository / "config/ablations")}}}
    changes: dict[str, Any] = {"trials": {"loss": [1, 3], "optimiser": [11]}, "known_bad": None}
    config = merge(merge(merge(read_yaml(repository / "config/config.yaml"), CHANGES), tables), changes)
    return Study(Run.read(config, repository / "workflow"))


def test_trials_learn_from_the_plates_of_the_recipe(study: Study) -> None:
    assert study.trials == {"loss": [1, 3], "optimiser": [11]}
    assert study.plates == ["Q1", "Q2"], "the paper's recipe names TARGET2, and no plate out of distribution is seen"
    assert study.metrics("loss") == [f"results/ablation/loss/trial_0{n}/metrics.parquet" for n in (1, 3)]
    assert study.metrics("architecture") == []


def test_a_stage_inherits_from_those_before_that_are_run(study: Study) -> None:
    assert study.earlier_rankings("loss") == []
    assert study.earlier_rankings("optimiser") == ["results/ablation/loss/ranking.parquet"]
    ranked = Path("results/ablation/architecture/ranking.parquet")
    ranked.parent.mkdir(parents=True)
    ranked.touch()
    assert study.earlier_rankings("optimiser")[1:] == [str(ranked)]
    rows = study.rows("optimiser", "trial_11")
    assert {"loss", "architecture", "optimiser"} <= set(rows)
    assert json.loads(rows["optimiser"])["learning_rate"] == pytest.approx(5e-4)


def test_without_a_list_nothing_is_known_to_be_bad(study: Study) -> None:
    assert study.run.known_bad("Q1") == {}


def test_the_config_knows_every_stage() -> None:
    assert config_stages == STAGES
