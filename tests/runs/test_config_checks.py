"""What a config gets wrong is answered while the plan is made, before a plate is fetched or a model trained."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from snakemake.exceptions import WorkflowError

from campfire.runs import definitions
from campfire.runs import fingerprint as reach
from support.plans import Run, checkout, finish

pytestmark = pytest.mark.workflow

OWN = {"kind": "python", "factory": "my_encoders:make"}


@pytest.fixture
def run(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.setattr(definitions, "PACKAGE", tmp_path / "src/campfire")
    yield checkout(repository, tmp_path)
    reach.forget()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"channels": ["AGP", "Mito"]}, "has no DNA, which nucleus segmentation requires"),
        (
            {"tables": {"encoders": ["camfire"]}},
            r"run.yaml, line \d+: tables.encoders.0: .*; did you mean `campfire`",
        ),
        ({"tables": {"twins": {"campfire": "twin"}}}, "tables.twins.campfire: unknown encoder `twin`"),
        (
            {"pretrain": {"runs": {"campfire": {"plate_types": ["screen"]}}}},
            "campfire.plate_types: no plate that may be trained on is of type screen; plates.tsv has TARGET2, COMPOUND",
        ),
        (
            {"encoders": {"untrained": {"kind": "python", "factory": "nobodys_encoders:make"}}},
            "encoder untrained: there is no nobodys_encoders.py in the folder you start",
        ),
        (
            {"encoders": {"untrained": {"kind": "python"}}},
            r"run.yaml, line \d+: encoders.untrained.factory: give it as module",
        ),
    ],
)
def test_planning_reports_a_mistake(run: Run, changes: dict[str, Any], words: str) -> None:
    if "channels" in changes:
        changes = {**changes, "training_channels": changes["channels"], "channel_sets": {"DNA_AGP_Mito": ["AGP"]}}
        changes |= {"evaluate": [{"encoder": "campfire", "channel_sets": ["DNA_AGP_Mito"]}]}
    run.configure(**changes)
    with pytest.raises(WorkflowError, match=words):
        run.workflow()


def test_a_misspelt_figure_lists_the_existing_ones(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["snakemake", "-n", "--", "results/figures/figure_33.pdf"])
    with pytest.raises(WorkflowError, match=r"no such figure; did you mean figure_3_3\? It has figure_2_1, "):
        run.workflow()


def test_the_nuclear_stain_is_fetched_though_pretraining_does_not_use_it(run: Run) -> None:
    run.configure(training_channels=["AGP", "Mito"])
    jobs = run.workflow().dag.needrun_jobs(exclude_finished=False)
    channels = {job.wildcards.plate: job.params.channels for job in jobs if job.rule.name == "images"}
    assert list(channels["T1"]) == ["DNA", "AGP", "Mito"]


def test_an_edit_of_ones_own_encoder_embeds_again(run: Run) -> None:
    own = run.folder / "my_encoders.py"
    own.write_text("def make(name, device):\n    return 1\n")
    run.configure(encoders={"untrained": OWN})
    finish(run)
    assert run.plan() == {}
    own.write_text("def make(name, device):  # a comment\n\n    return 1\n")
    assert run.plan() == {}
    own.write_text("def make(name, device):\n    return 2\n")
    plan = run.plan()
    assert plan["embed"] == {"untrained/DNA_AGP_Mito"}
    assert not {"images", "nuclei", "pretrain_run"} & set(plan)
