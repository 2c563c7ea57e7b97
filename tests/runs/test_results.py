"""Which tables and figures a run has, what each is made from, and what it depends on."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from campfire.core.errors import ConfigError
from campfire.core.yaml import merge, read_yaml
from campfire.report import catalogue
from campfire.runs.config import Config
from campfire.runs.results import Results
from campfire.runs.run import Run
from campfire.screen.metadata import PAPER_OOD_PLATES

PAIRS = [("campfire", "DNA"), ("campfire", "DNA_AGP_Mito"), ("campfire", "DNA_ER_RNA"), ("untrained", "DNA_AGP_Mito")]


@pytest.fixture(scope="module")
def config(repository: Path) -> dict[str, Any]:
    evaluate = [
        {"encoder": "campfire", "channel_sets": ["DNA", "DNA_AGP_Mito", "DNA_ER_RNA"]},
        {"encoder": "untrained", "channel_sets": ["DNA_AGP_Mito"]},
    ]
    changes = {"results": "out", "evaluate": evaluate, "transfer": {"head": None}}
    return merge(read_yaml(repository / "config/config.yaml"), changes)


class Planned(Run):
    """A run without sheets, whose plates and files on disk are given."""

    all_plates = ("Q1", "plate.2")  # type: ignore[assignment]
    evaluation_type = "TARGET2"
    on_disk: list[str] | None = None

    def available(self, paths: Iterable[str]) -> list[str]:
        return [path for path in paths if self.on_disk is None or path in self.on_disk]


def results(config: dict[str, Any], groups: bool = True, **changes: Any) -> Results:
    sheet = pd.DataFrame({"role": "heldout", "group": ["M1", "M2"] * 2, "control": "neg" if groups else ""})
    plates = pd.DataFrame({"Metadata_Plate": ["Q1", "plate.2"], "role": ["id", "ood"]})
    plates["Metadata_Source"] = ["ours", "theirs"]
    run = Planned(Config.read(config), Path("workflow"), plates, plates, sheet)
    facts = {"pairs": PAIRS, "pretraining_runs": ["campfire"], "transfer_encoders": ["campfire"]} | changes
    for name, value in facts.items():
        run.__dict__[name] = value
    return Results(run)


def test_a_whole_run_has_everything(config: dict[str, Any]) -> None:
    more = {
        "channel_sets": {"DNA_ER": ["DNA", "ER"]},
        "pretrain": {"runs": {"one": {"channels": ["DNA"]}}},
        "encoders": {
            "one": {"kind": "pretrained", "run": "one"},
            "cnn-2": {"kind": "random_cnn", "seed": 2},
            "cnn-1": {"kind": "random_cnn", "seed": 1},
            "alone": {"kind": "masked", "encoder": "campfire"},
        },
    }
    pairs = [*PAIRS, ("campfire", "DNA_ER"), ("one", "DNA_AGP_Mito"), ("alone", "DNA_AGP_Mito")]
    pairs += [("cnn-2", "DNA_AGP_Mito"), ("cnn-1", "DNA_AGP_Mito")]
    run = results(merge(config, more), pairs=pairs)
    settings = run.settings("table", "outside_cell")
    assert settings["masked"] == {"alone": "campfire"}
    assert run.settings("table", "seeds")["repeats"] == {"cnn": [("cnn-1", 1, ""), ("cnn-2", 2, "")]}
    trained = run.settings("table", "unseen_channels")["trained_on"]
    assert trained == {"campfire": ["DNA", "AGP", "Mito"], "one": ["DNA"]}
    assert list(run.tables) == [entry.name for entry in catalogue.TABLES]
    assert list(run.figures) == [entry.name for entry in catalogue.FIGURES]
    assert run.members("plate_layout") == ["plate_layout/Q1", "plate_layout/plate.2"]
    assert "out/figures/plate_layout/plate.2.csv" in run.figure_files
    assert "out/tables/gaps.json" in run.table_files and run.findings == ["out/findings.html"]
    assert run.growing_sets == ["DNA", "DNA_AGP_Mito"]


def test_a_run_has_only_what_its_evaluation_gives(config: dict[str, Any]) -> None:
    one = results(config, pairs=PAIRS[1:2], transfer_encoders=[], pretraining_runs=[])
    assert not {"differences", "table_3_2", "transfer"} & set(one.tables)
    assert not {"claims", "figure_3_3", "figure_3_5", "training_curves"} & set(one.figures)
    assert one.inputs("table", "table_3_1") == {"accuracies": ["out/tables/accuracies.csv"]}
    transfer = results(config, pairs=[])
    assert set(transfer.tables) == {"attrition", "transfer"} and transfer.findings
    assert results(config, groups=False, pairs=[]).findings == []
    from_embeddings, run_with_tiles = results(config, on_disk=[]), results(config)
    assert run_with_tiles.inputs("figure", "cells")["tiles"] == ["out/tiles/Q1.npy"]
    assert "cells" in run_with_tiles.figures and "cells" not in from_embeddings.figures
    assert "attrition" not in from_embeddings.tables and from_embeddings.members("plate_layout") == []


def test_inputs_and_settings_are_named(config: dict[str, Any]) -> None:
    run = results(config)
    assert run.inputs("table", "table_3_1") == {
        "accuracies": ["out/tables/accuracies.csv"],
        "differences": ["out/tables/differences.csv"],
    }
    assert run.inputs("figure", "figure_3_3") == {"snapshots": ["out/pretrain/campfire/snapshots.npz"]}
    assert run.inputs("table", "leakage")["leakage"] == [
        "out/leakage/campfire/DNA_AGP_Mito.parquet",
        "out/leakage/untrained/DNA_AGP_Mito.parquet",
    ]
    assert run.settings("figure", "claims") == {}
    assert run.settings("figure", "figure_2_1")["plate_type"] == "TARGET2"
    shown = {"protocol", "channel_labels", "compound_labels", "paper_screen"}
    assert set(run.settings("figure", "confusion")["options"]) == shown
    assert run.settings("table", "gaps")["options"]["channel_sets"]["DNA"] == ["DNA"]
    family = run.family("plate_layout")
    assert family[1] == ({"quality": ["out/quality/plate.2.parquet"]}, "out/figures/plate_layout/plate.2.svg")
    assert run.title("figure", "plate_layout/Q1") == "Plate layout Q1"


@pytest.mark.parametrize(
    ("outside", "asked", "shown"),
    [(PAPER_OOD_PLATES, True, True), (PAPER_OOD_PLATES, False, False), (PAPER_OOD_PLATES[1:], True, False)],
)
def test_the_papers_values_stand_beside_its_own_plates_alone(
    config: dict[str, Any], outside: tuple[str, ...], asked: bool, shown: bool
) -> None:
    run = results(merge(config, {"tables": {"paper_screen": asked}}))
    plates = pd.DataFrame({"Metadata_Plate": ["Q1", *outside], "role": ["id"] + ["ood"] * len(outside)})
    run.run.__dict__["split_sheet"] = plates
    assert run.settings("table", "table_3_1")["options"]["paper_screen"] is shown


def test_a_missing_figure_suggests_the_nearest(config: dict[str, Any]) -> None:
    run = results(config)
    assert "did you mean figure_3_4?" in run.explain("out/figures/figure_34.pdf")
    assert "It has attrition, ranking" in run.explain("out/tables/nothing.csv")
    for fine in ("out/figures/claims.svg", "out/figures/plate_layout/Q9.svg", "out/tables/ablation_loss.md", "all"):
        assert run.explain(fine) == ""


def test_the_leading_channel_set_must_be_evaluated(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"no encoder of `evaluate` has the channel set DNA_AGP_Mito.*to one of DNA"):
        results(config, pairs=PAIRS[:1])


def test_labels_follow_what_was_run(config: dict[str, Any]) -> None:
    """No ImageNet on a twin with random weights, no paper's row beside a random baseline; the user's names stay."""
    run = merge(config["pretrain"]["runs"]["campfire"], {"imagenet": ""})
    encoders = {"dino_vits8": {"weights": "random"}}
    random = merge(config, {"pretrain": {"runs": {"campfire": run}}, "encoders": encoders})
    evaluated = {"encoders": ["campfire", "untrained", "dino_vits8"]}
    assert results(config, **evaluated).labels["untrained"] == "Untrained twin (ImageNet weights)"
    found = results(random, **evaluated)
    assert found.labels["untrained"] == "Untrained twin"
    assert found.labels["dino_vits8"] == "DinoViT-S8 (random weights)" and "dino_vits8" not in found.options["paper"]
    assert found.options["paper"]["campfire"] == "Campfire"
    named = merge(random, {"tables": {"labels": {"untrained": "Mine"}}})
    assert results(named, **evaluated).labels["untrained"] == "Mine"
