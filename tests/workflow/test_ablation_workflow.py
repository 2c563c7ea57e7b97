"""The target `ablation` on three trials: a later stage inherits the best, and the tables say how they stand."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from campfire.core.files import read_table, write_table
from campfire.model import read_header
from campfire.training.ablation import best_trial, read_stage, row_changes
from support.pretrain_plates import SMALL_MODEL, split_table, write_plate
from support.warm_snakemake import snakemake

pytestmark = pytest.mark.workflow

PLATES = ["one", "two"]
RECIPE = {
    "epochs": 1, "warmup_epochs": 0, "global_batch": 32, "batch_size": 32, "plate_types": ["TARGET2"],
    "snapshot_tiles": 0, "learning_rate": 2e-3,
}  # fmt: skip


def run(repository: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["-s", repository / "Snakefile", "--directory", folder]
    command += ["--configfile", repository / "config/config.yaml", "config.yaml", "--cores", "2", "--nocolor"]
    command += ["--rerun-triggers", "mtime", "params", "input", *arguments]
    return snakemake(command, folder, {"https_proxy": "http://127.0.0.1:9"})


def jobs(plan: str) -> dict[str, int]:
    """Number of jobs by rule in a dry run's table."""
    words = [line.split() for line in plan.splitlines()]
    return {w[0]: int(w[1]) for w in words if len(w) == 2 and w[1].isdigit()}


@pytest.fixture(scope="module")
def folder(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small plates, packed and split, and a config that lays small numbers over the paper's."""
    root = tmp_path_factory.mktemp("ablation")
    sheet = {"Metadata_Source": "s", "Metadata_Batch": "b", "Metadata_Plate": PLATES, "Metadata_PlateType": "TARGET2"}
    pd.DataFrame({**sheet, "role": "id"}).to_csv(root / "plates.tsv", sep="\t", index=False)
    write_table(split_table(PLATES), root / "results/split/wells.parquet")
    for seed, plate in enumerate(PLATES):
        write_plate(root / "results/tiles", plate, 60, ["DNA", "AGP", "Mito"], seed)
    model = {name: value for name, value in SMALL_MODEL.items() if name != "image_size"}  # it follows the tiles
    config: dict[str, Any] = {
        "sheet": "plates.tsv",
        "tiles": {"size": SMALL_MODEL["image_size"]},
        "known_bad": str(repository / "config/known_bad.tsv"),
        "pretrain": {
            "runs": {"campfire": {"model": model, "imagenet": "", "log_steps": 1}},
            "ablation": {
                "tables": str(repository / "config/ablations"), "recipe": RECIPE, "imagenet": {"large": "", "huge": ""},
            },
        },
        "trials": {"loss": [1, 3], "optimiser": [11]},
    }  # fmt: skip
    (root / "config.yaml").write_text(yaml.safe_dump(config))
    return root


def test_the_next_stage_inherits_the_best_trial(folder: Path, repository: Path) -> None:
    done = run(repository, folder, "--", "ablation")
    assert done.returncode == 0, done.stdout + done.stderr
    study = folder / "results/ablation"
    ranking = read_table(study / "loss/ranking.parquet")
    assert sorted(ranking["trial"]) == [1, 3] and ranking["score"].notna().all()
    row = read_stage("loss", repository / "config/ablations").loc[best_trial(ranking)]
    following = json.loads((study / "optimiser/trial_11/options.json").read_text())
    assert row_changes("loss", row.to_dict())["objective"].items() <= following["objective"].items()
    assert (following["learning_rate"], following["weight_decay"]) == (5e-4, 5e-3)
    assert following["model"]["patch_size"] == 14  # the architecture stage was not run: the paper's choice
    trained = read_header(study / "optimiser/trial_11/model.safetensors")["options"]
    assert trained["objective"] == following["objective"] and trained["log_steps"] == 1
    for stage, rows in (("loss", 27), ("optimiser", 12)):
        table = pd.read_csv(folder / f"results/tables/ablation_{stage}.csv")
        assert len(table) == rows and table["best"].sum() == 1
        assert table["validation_loss"].notna().sum() == len(read_table(study / stage / "ranking.parquet"))
    assert "architecture is taken from trial 2: it was not run" in done.stderr
    assert jobs(done.stdout + done.stderr)["ablation_run"] == 3
    for trial in ("loss/trial_01", "loss/trial_03", "optimiser/trial_11"):
        log = (folder / "logs/ablation" / f"{trial}.log").read_text()
        assert "training on" in log and "finished: " in log and "epoch 1/1: loss" in log


def test_how_a_machine_runs_it_is_no_reason_to_train_again(folder: Path, repository: Path) -> None:
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("log_steps: 1", "log_steps: 7"))
    told = run(repository, folder, "-n", "--", "ablation")
    assert "Nothing to be done" in told.stdout + told.stderr
