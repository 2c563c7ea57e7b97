"""A file of the user that is replaced by one with an older time is noticed: `mv`, `cp -p`, a restored backup."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from support.plans import LONG_AGO, Run, finish, transfer_sheet

pytestmark = pytest.mark.workflow


def write_old(path: Path, text: str) -> None:
    """Replace a file by one that is older than every result."""
    path.write_text(text)
    os.utime(path, (LONG_AGO - 100, LONG_AGO - 100))


def other_type(run: Run) -> None:
    path = run.folder / "plates.tsv"
    write_old(path, path.read_text().replace("T1\tCOMPOUND\ttrain", "T1\tORF\ttrain"))


def other_treatment(run: Run) -> None:
    write_old(run.folder / "transfer.tsv", transfer_sheet(["M1", "M2"]).replace("KO2", "KO3"))


def other_weights(run: Run) -> None:
    write_old(run.folder / "theirs.pt", "other weights")


def other_helper(run: Run) -> None:
    write_old(run.folder / "lab_helper.py", "SCALE = 2\n")


@pytest.mark.parametrize(
    ("change", "reruns"),
    [
        (other_type, {"assign_wells"}),
        (other_treatment, {"sample_transfer", "transfer_head"}),
        (other_weights, {"embed"}),
        (other_helper, {"embed"}),
    ],
)
def test_an_older_file_in_place_of_the_old_one(run: Run, change: Callable[[Run], None], reruns: set[str]) -> None:
    write_old(run.folder / "theirs.pt", "weights")
    write_old(run.folder / "lab_helper.py", "SCALE = 1\n")
    write_old(run.folder / "lab_mine.py", "import lab_helper\n\ndef make(name, device, weights):\n    pass\n")
    mine = {"kind": "python", "factory": "lab_mine:make", "weights": "theirs.pt"}
    run.configure(encoders={"untrained": mine})
    finish(run)
    assert run.plan() == {}
    change(run)
    assert reruns <= set(run.plan())
