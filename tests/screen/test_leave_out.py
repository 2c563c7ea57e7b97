"""Plates, wells and sites that are left out after the split."""

import pandas as pd
import pytest

from campfire.screen.leave_out import drop, of_plates, reasons, unmatched, whole_plates
from campfire.screen.places import read_entries

CELLS = pd.DataFrame(
    [("P1", "A01", "1"), ("P1", "A01", "2"), ("P1", "A02", "1"), ("P2", "A01", "01"), ("P3", "A01", "1")],
    columns=["Metadata_Plate", "Metadata_Well", "Metadata_Site"],
)
LEAVE_OUT = {"P1/A01/2": "fibre", "P1/A02": "", "P2/A01/1": "blurred", "P3": "lamp"}


def test_each_row_has_the_reason_of_its_plate_well_or_site() -> None:
    assert list(reasons(CELLS, LEAVE_OUT)) == ["", "fibre", "left out", "blurred", "lamp"]
    wells = CELLS.drop(columns="Metadata_Site").drop_duplicates()
    assert list(reasons(wells, LEAVE_OUT)) == ["", "left out", "", "lamp"], "an entry on a site leaves the well in"
    plates = CELLS[["Metadata_Plate"]].drop_duplicates()
    assert list(reasons(plates, LEAVE_OUT)) == ["", "", "lamp"]
    kept = drop(CELLS, LEAVE_OUT)
    assert list(kept.index) == [0] and drop(CELLS, {}) is CELLS
    assert drop(CELLS.iloc[:0], LEAVE_OUT).empty


def test_entries_are_read_as_users_write_them() -> None:
    written = {1086: "numbers are names", "P1/a1": None, " P1/B07/3 ": "fibre"}
    assert read_entries(written) == {"1086": "numbers are names", "P1/A01": "", "P1/B07/3": "fibre"}
    assert read_entries(["P1", "P2/A01"]) == {"P1": "", "P2/A01": ""}
    for wrong, why in (
        ("P1/Z99", "'Z99' is no well"),
        ("a b/A01", "plate 'a b' may have only"),
        ("P/A01/1/2", "write"),
    ):
        with pytest.raises(ValueError, match=why):
            read_entries({wrong: ""})


def test_entries_can_be_chosen_by_plate() -> None:
    assert of_plates(LEAVE_OUT, ["P1", "P9"]) == {"P1/A01/2": "fibre", "P1/A02": ""}
    assert whole_plates(LEAVE_OUT) == {"P3": "lamp"}
    assert unmatched({**LEAVE_OUT, "P1/A03": "", "P1/A01/9": ""}, [CELLS]) == ["P1/A01/9", "P1/A03"]
