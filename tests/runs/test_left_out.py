"""What a run leaves out after its split, and the table of failures that names the lines for it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from campfire.core.errors import ConfigError
from campfire.core.yaml import merge, read_yaml
from campfire.runs.checks import check_run
from campfire.runs.failures import Failure, last_error, render
from campfire.runs.run import Run
from support.plans import CHANGES, SHEET, TRANSFER, transfer_sheet

Make = Callable[..., Run]


@pytest.fixture
def make(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A run of five plates and a transfer screen of two, with changes laid over its config."""
    (tmp_path / "plates.tsv").write_text(SHEET)
    (tmp_path / "transfer.tsv").write_text(transfer_sheet(TRANSFER))
    base = merge(read_yaml(repository / "config/config.yaml"), CHANGES)
    base["known_bad"] = str(repository / "config/known_bad.tsv")
    monkeypatch.chdir(tmp_path)
    return lambda **changes: Run.read(merge(base, changes), repository / "workflow")


def test_a_plate_is_left_out_of_everything_but_the_split(make: Make) -> None:
    run = make(leave_out={"T1": "lamp", "Q1/A01": "empty", "M1/A02": "fibre"})
    assert list(run.split_sheet["Metadata_Plate"]) == ["Q1", "Q2", "Q3", "T1", "T2"]
    assert run.plates == ["Q1", "Q2", "Q3", "T2"] and run.evaluation_plates == ["Q1", "Q2", "Q3"]
    assert run.training_tiles("campfire") == [f"results/tiles/{plate}.npy" for plate in ("Q1", "Q2", "T2")]
    assert run.left_out.of_training("campfire") == run.left_out.of_evaluation == {"Q1/A01": "empty"}
    assert run.left_out.of_embedding == {}, "a sample of cells lacks it already"
    assert run.plate("M1").wells == ["A01", "A03", "A04", "A05"]
    everywhere = make(leave_out={"M1/A02": "", "Q1/A01": ""}, embed={"cells": "all"})
    assert set(everywhere.left_out.of_embedding) == {"M1/A02", "Q1/A01"}
    assert make(leave_out={"M1": "lost"}, transfer={"head": None}).transfer_plates == ["M2"]


def test_a_whole_plate_may_be_known_bad(make: Make, tmp_path: Path) -> None:
    listed = tmp_path / "bad.tsv"
    folder = "cpg0016-jump/s/images/B1/images/T1"
    for key in (f"{folder}__2021-01-01-Measurement 1/Images/", f"{folder}/", "cpg0016-jump/s/images/B1/images/T1__x/"):
        listed.write_text(f"key\treason\n{key}\tdisk lost\n")
        run = make(known_bad=str(listed))
        assert run.plates == ["Q1", "Q2", "Q3", "T2"] and run.left_out.all == {"T1": "known bad: disk lost"}, key
    listed.write_text(f"key\treason\n{folder}/Images/r01c01f01p01-ch1sk1fk1fl1.tiff\tcut short\n")
    assert "T1" in make(known_bad=str(listed)).plates, "one bad object leaves the plate in"


def test_wrong_entries_are_explained_when_planning(make: Make) -> None:
    with pytest.raises(ConfigError, match=r"leave_out: T11: no plate T11 in plates.tsv; did you mean `T1`\?"):
        check_run(make(leave_out={"T11": ""}))
    with pytest.raises(ConfigError, match=r"leave_out.*'Z99' is no well"):
        make(leave_out={"T1/Z99": ""})
    with pytest.raises(ConfigError, match="leave_out: no plate of role ood remains"):
        check_run(make(leave_out={"Q3": ""}))


def test_the_table_of_failures_ends_with_the_lines_to_add(tmp_path: Path) -> None:
    def failed(rule: str, plate: str, error: str) -> Failure:
        return Failure(rule, plate or "campfire/DNA", plate, f"logs/{rule}.log", error)

    jobs = [failed("images", "T1", "plate T1: 9 of 9 sites"), failed("nuclei", "1086", ""), failed("embed", "", "x")]
    text = render(jobs, ["sample", "pretrain_run"], {"Q1/A01": "empty"})
    assert text.startswith("3 jobs failed:") and "pretrain_run, sample" in text
    for words in (
        ("T1 ", " images ", "logs/images.log", "plate T1: 9 of 9 sites"),
        ("1086", "nuclei", "out of memory"),
    ):
        assert any(all(word in line for word in words) for line in text.splitlines()), words
    lines: Any = yaml.safe_load(text[text.index("\nleave_out:") :])
    assert lines == {"leave_out": {"Q1/A01": "empty", "T1": "images failed", "1086": "nuclei failed"}}
    assert "leave_out" not in render(jobs[2:], [], {}), "no plate is to blame"
    log = tmp_path / "job.log"
    log.write_text("12:00:00 images[T1]: begun\n12:00:09 images[T1]: ERROR after 9 s: plate T1: no space left\n")
    assert last_error(str(log)) == "plate T1: no space left" and last_error(str(tmp_path / "none")) == ""
    log.write_text("12:00:09 x: unexpected error after 2 s\nTraceback (most recent call last):\nValueError: odd\n")
    assert last_error(str(log)) == "ValueError: odd"
