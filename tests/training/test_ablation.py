"""The ablation tables are the paper's, their rows become the right runs, and finished runs are ranked."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from campfire.core.errors import ConfigError, DataError
from campfire.model import ModelConfig
from campfire.report.tables.ablation import build
from campfire.training import PretrainOptions
from campfire.training.ablation import (
    COLUMNS,
    PAPER_CHOICE,
    STAGES,
    AblationOptions,
    best_trial,
    choose,
    choose_trials,
    rank,
    read_stage,
    row_changes,
    run_name,
    stage_base,
    trial_options,
)
from campfire.training.objective import ObjectiveOptions

FIRST_WORDS = {"loss": "Trial\tλ_s", "architecture": "Trial\tPatch Size", "optimiser": "Trial\tLearning Rate"}


@pytest.fixture(scope="module")
def folder(repository: Path) -> Path:
    return repository / "config" / "ablations"


def printed_rows(text: str, stage: str) -> list[list[str]]:
    """The rows under a table's header in the paper's extracted text."""
    lines = text.replace("$", "").replace("\\", "").replace("lambda", "λ").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(FIRST_WORDS[stage]))
    rows = []
    for line in lines[start + 1 :]:
        cells = line.split("\t")
        if len(cells) != len(COLUMNS[stage]) or not cells[0].isdigit():
            break
        rows.append(cells)
    return rows


@pytest.mark.parametrize(("stage", "count"), [("loss", 27), ("architecture", 22), ("optimiser", 12)])
def test_tables_hold_the_papers_rows(stage: str, count: int, folder: Path, shared: Path) -> None:
    (paper,) = (shared / "paper").glob("*.txt")
    printed = printed_rows(paper.read_text(encoding="utf-8"), stage)
    ours = [line.split("\t") for line in (folder / f"{stage}.tsv").read_text().splitlines()[1:]]
    assert len(printed) == count and ours == printed
    assert len(read_stage(stage, folder)) == count


def test_sixty_one_printed_rows_and_the_mask_ratio(folder: Path) -> None:
    counts = {stage: len(choose_trials(stage, folder)) for stage in STAGES}
    assert counts == {"loss": 27, "architecture": 22, "mask": 2, "optimiser": 12}


def test_the_mask_ratio_is_perturbed_alone(folder: Path) -> None:
    """App. B: "We then perturbed the p_m alone, and found that increasing the mask ratio p_m = 0.8" was better."""
    base, study = PretrainOptions().as_dict(), AblationOptions(tables=str(folder))
    low, high = (trial_options("mask", trial, base, study, {"architecture": 15}) for trial in (1, 2))
    assert (low["model"].pop("mask_ratio"), high["model"].pop("mask_ratio")) == (0.75, 0.8)
    assert low == high and low["global_batch"] == 128 and low["model"]["patch_size"] == 8
    assert stage_base("optimiser", base, study, {"mask": 1})["model"]["mask_ratio"] == 0.75


def test_filters_fit_the_permuted_header_in_every_row(folder: Path) -> None:
    for trial, row in read_stage("loss", folder).iterrows():
        objective = row_changes("loss", row.to_dict())["objective"]
        assert (objective["high"] > 0) == (objective["high_fraction"] > 0), trial
        assert (objective["low"] > 0) == (objective["low_fraction"] > 0), trial
        assert objective["spatial"] + objective["high"] + objective["low"] + objective["frequency"] == pytest.approx(1)


def test_both_readings_of_table_2_3(folder: Path) -> None:
    """Trials 3 and 8 as the paper prints them: 0.75, 0, 0.25, 0 with h 0.1, and 0.74, 0.01, 0, 0.25 with l 0.1."""

    def made(trial: int, reading: str) -> ObjectiveOptions:
        row = read_stage("loss", folder).loc[trial].to_dict()
        return ObjectiveOptions(**row_changes("loss", row, AblationOptions(reading=reading))["objective"])

    assert made(3, "permuted") == ObjectiveOptions()
    permuted, literal = made(8, "permuted"), made(8, "literal")
    assert (permuted.spatial, permuted.frequency, permuted.high, permuted.low) == (0.74, 0.01, 0.0, 0.25)
    assert (literal.spatial, literal.high, literal.low, literal.frequency) == (0.74, 0.01, 0.0, 0.25)
    assert permuted.low_fraction == literal.low_fraction == 0.1
    with pytest.raises(ConfigError, match="'sideways' is not one of permuted, literal"):
        AblationOptions(reading="sideways")


def test_every_row_is_a_run_that_can_be_built(folder: Path) -> None:
    base = PretrainOptions().as_dict()
    for stage in STAGES:
        for trial in choose_trials(stage, folder):
            options = PretrainOptions(**trial_options(stage, trial, base, AblationOptions(tables=str(folder))))
            ModelConfig(**options.model.values())
            assert options.epochs == 50 and options.warmup_epochs == 10 and options.plate_types == ("TARGET2",)


def test_the_papers_recipe_by_stage(folder: Path) -> None:
    base = PretrainOptions().as_dict()
    loss = trial_options("loss", 16, base, AblationOptions(tables=str(folder)))
    assert (loss["global_batch"], loss["model"]["patch_size"], loss["model"]["mask_ratio"]) == (512, 16, 0.75)
    assert (loss["learning_rate"], loss["weight_decay"], loss["objective"]["high_fraction"]) == (1e-4, 2e-3, 0.05)
    architecture = trial_options("architecture", 21, base, AblationOptions(tables=str(folder)))
    assert architecture["global_batch"] == 128 and architecture["batch_size"] == 128
    assert architecture["model"]["size"] == "huge" and architecture["imagenet"] == ""
    optimiser = trial_options("optimiser", 11, base, AblationOptions(tables=str(folder)))
    assert (optimiser["learning_rate"], optimiser["weight_decay"], optimiser["global_batch"]) == (5e-4, 5e-3, 400)
    assert optimiser["model"]["mask_ratio"] == 0.8 and optimiser["imagenet"] == "hub"


def test_a_stage_inherits_the_best_before_it(folder: Path) -> None:
    base = PretrainOptions().as_dict()
    best = {"loss": 24, "architecture": 15}
    options = stage_base("optimiser", base, AblationOptions(tables=str(folder)), best)
    row = row_changes("loss", read_stage("loss", folder).loc[24].to_dict())["objective"]
    assert options["objective"] == {**base["objective"], **row}
    assert options["model"]["patch_size"] == 8 and options["imagenet"] == ""
    assumed = stage_base("optimiser", base, AblationOptions(tables=str(folder)))
    assert assumed["objective"]["high_fraction"] == 0.1 and assumed["model"]["patch_size"] == 14
    assert PAPER_CHOICE["optimiser"] == 11


def fake(loss: float, error: float) -> pd.DataFrame:
    rows = [(1, "train", 9.0, np.nan), (1, "val", 0.0, 0.0), (2, "val", loss, error), (2, "train", 9.0, np.nan)]
    return pd.DataFrame(rows, columns=["epoch", "split", "loss", "masked_error"])


def test_ranking_weighs_loss_and_error_alike(folder: Path) -> None:
    ranking = rank("loss", folder, {3: fake(0.5, 0.4), 1: fake(0.4, 0.6), 7: fake(0.6, 0.5), 9: fake(np.nan, np.nan)})
    # 3: ranks 2 and 1; 1: ranks 1 and 3; 7: ranks 3 and 2; 9 diverged.
    assert ranking["trial"].tolist() == [3, 1, 7, 9] and ranking["score"].tolist() == [1.5, 2.0, 2.5, 4.0]
    assert best_trial(ranking) == 3 and ranking["best"].sum() == 1
    assert ranking.loc[0, "lambda_l"] == 0.25 and ranking.loc[0, "validation_loss"] == 0.5
    early = fake(0.1, 0.1).assign(epoch=1)
    assert rank("loss", folder, {1: early, 3: fake(0.5, 0.4)})["trial"].tolist() == [3, 1], (
        "it ended early: it diverged"
    )
    tie = rank("loss", folder, {1: fake(0.4, 0.6), 2: fake(0.5, 0.5)})
    assert best_trial(tie) == 2
    with pytest.raises(DataError, match="trial 4: never validated"):
        rank("loss", folder, {4: fake(1, 1).query("split == 'train'")})
    with pytest.raises(DataError, match="no finished run"):
        rank("loss", folder, {})


def test_wrong_tables_and_trials_are_explained(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="choose from loss, architecture, mask, optimiser"):
        read_stage("depth", folder)
    with pytest.raises(ConfigError, match="no trial 28; there are 1 to 27"):
        choose_trials("loss", folder, [1, 28])
    with pytest.raises(ConfigError, match="no trial 99"):
        trial_options("optimiser", 99, {}, AblationOptions(tables=str(folder)))
    (tmp_path / "loss.tsv").write_text("trial\tx\n1\t2\n")
    with pytest.raises(ConfigError, match=r"loss\.tsv: columns are"):
        read_stage("loss", tmp_path)
    (tmp_path / "optimiser.tsv").write_text("trial\tlearning_rate\tweight_decay\n1\t1\t1\n1\t1\t1\n")
    with pytest.raises(ConfigError, match="trial 1 occurs twice"):
        read_stage("optimiser", tmp_path)
    assert run_name(3) == "trial_03"


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ("loss", {"loss": 27}),
        ("all", {"loss": 27, "architecture": 22, "mask": 2, "optimiser": 12}),
        (["optimiser", "loss"], {"loss": 27, "optimiser": 12}),
        ({"loss": 3}, {"loss": 1}),
        ({"architecture": [2, 3], "loss": "all"}, {"loss": 27, "architecture": 2}),
    ],
)
def test_any_subset_can_be_chosen(selection: Any, expected: dict[str, int], folder: Path) -> None:
    chosen = choose(selection, folder)
    assert {stage: len(trials) for stage, trials in chosen.items()} == expected
    assert list(chosen) == [stage for stage in STAGES if stage in chosen]


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ("depth", "no stage 'depth'; choose all or from loss"),
        ({"loss": [28]}, "no trial 28"),
        ({"loss": []}, "is chosen"),
        ({"loss": "1,3"}, "neither `all` nor a list of trials"),
    ],
)
def test_wrong_selections_are_explained(selection: Any, message: str, folder: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        choose(selection, folder)


def test_imagenet_rows_start_from_the_weights_of_their_size(folder: Path) -> None:
    files = {"large": "large.safetensors", "huge": ""}
    started = [
        trial_options("architecture", t, {}, AblationOptions(tables=str(folder), imagenet=files))["imagenet"]
        for t in (2, 14, 19)
    ]
    assert started == ["large.safetensors", "", ""]
    assert (
        trial_options("optimiser", 1, {}, AblationOptions(tables=str(folder), imagenet=files))["imagenet"]
        == "large.safetensors"
    )


def test_the_printed_table_marks_the_best_and_the_papers_choice(folder: Path) -> None:
    ranking = rank("loss", folder, {3: fake(0.5, 0.4), 1: fake(0.4, 0.6)})
    table = build("loss", read_stage("loss", folder), ranking)
    assert len(table.layout) == len(table.data) == 27
    rows = table.layout.set_index("Trial")
    assert rows.loc["**3†**", "Rank"] == "**1**" and rows.loc["1", "Reconstruction error"] == "0.6000"
    assert rows.loc["7", "Validation loss"] == rows.loc["7", "Rank"] == "–"
    assert "Trial 3 is the best of 2" in table.answer and "ranks 1" in table.answer
