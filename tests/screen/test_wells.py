"""Names of wells."""

import pytest

from campfire.core.errors import DataError
from campfire.screen.wells import (
    FORMATS,
    check_wells,
    plate_format,
    row_letters,
    shifted_by_one,
    well_name,
    well_position,
    well_problem,
)


@pytest.mark.parametrize(("text", "name"), [("b7", "B07"), (" B07 ", "B07"), ("P24", "P24"), ("AF048", "AF48")])
def test_wells_have_one_name_however_they_are_written(text: str, name: str) -> None:
    assert well_name(text) == name


@pytest.mark.parametrize("text", ["", "7B", "A", "A123", "ABC1", "A-1", "A00", "A0", "A49", "AG01", "ZZ99", "B77"])
def test_what_is_no_well(text: str) -> None:
    assert well_name(text) is None
    with pytest.raises(DataError, match="A01"):
        well_position(text)


def test_positions_and_letters_are_inverse_over_a_plate_of_1536_wells() -> None:
    assert (well_position("A01"), well_position("AF48")) == ((0, 0), (31, 47))
    for row in range(32):
        assert well_position(f"{row_letters(row)}05") == (row, 4)


def wells(rows: int, columns: int, first_row: int = 0, first_column: int = 1) -> list[str]:
    return [
        f"{row_letters(first_row + row)}{first_column + column:02d}" for row in range(rows) for column in range(columns)
    ]


@pytest.mark.parametrize("size", FORMATS)
def test_the_format_of_a_whole_plate_is_known(size: int) -> None:
    assert check_wells(wells(*FORMATS[size]), "P1") == plate_format(wells(*FORMATS[size])) == size


@pytest.mark.parametrize(
    ("listed", "size", "words"),
    [
        (wells(16, 24, first_column=0), None, "P1: 'A00' is no well: columns start at 01; are columns counted from 0"),
        (["B02", "ZZ99"], None, "'ZZ99' is no well: no plate goes beyond AF48"),
        (["B02", "B77"], None, "'B77' is no well"),
        (["B02", "@05"], None, "are rows counted from 0"),
        (["B02", "B13"], 96, "'B13' is not on a plate of 96 wells, which ends at H12"),
        (["B02", "I01"], 96, "'I01' is not on a plate of 96 wells"),
        (["W41", *wells(16, 24)], None, "W41 lies beyond P24, .* the other 384 wells are"),
        (wells(16, 24, first_column=2), None, "columns go from 02 to 25, .* one column off"),
        (wells(16, 24, first_row=1), None, "rows go from B to Q, .* one row off"),
        (wells(8, 12, first_column=2), None, "columns go from 02 to 13, .* one column off"),
        (wells(8, 12, first_row=1), None, "rows go from B to I, .* one row off"),
    ],
)
def test_wells_that_no_plate_has_are_refused_with_the_likely_meaning(
    listed: list[str], size: int | None, words: str
) -> None:
    with pytest.raises(DataError, match=words):
        check_wells(listed, "P1", size)


@pytest.mark.parametrize(
    ("listed", "size"),
    [
        (wells(3, 4, first_column=2), 24),
        (wells(14, 22, 1, 2), 384),
        (wells(6, 10, 1, 2), 96),
        (["B02", "C30"], 1536),
        (wells(30, 46, 1, 2), 1536),
    ],
)
def test_parts_of_plates_are_taken(listed: list[str], size: int) -> None:
    assert check_wells(listed, "P1") == size
    assert check_wells(listed, "P1", 1536) == 1536


def test_a_shift_of_the_whole_block_is_told_from_wells_that_are_missing() -> None:
    inner = wells(14, 22, 1, 2)
    assert shifted_by_one(inner, wells(14, 22, 1, 1)) == "one column before"
    assert shifted_by_one(inner, wells(14, 22, 2, 2)) == "one row behind"
    assert shifted_by_one(inner, wells(14, 21, 1, 2)) == ""
    assert shifted_by_one(inner, wells(16, 24)) == ""
    assert shifted_by_one(["B05", "C09"], wells(16, 24)[:-1]) == ""


def test_problems_are_empty_for_wells() -> None:
    assert [well_problem(well) for well in ("b7", "AF48")] == ["", ""]
