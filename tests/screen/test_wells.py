"""Names of wells."""

import pytest

from campfire.core.errors import DataError
from campfire.screen.wells import row_letters, well_name, well_position


@pytest.mark.parametrize(("text", "name"), [("b7", "B07"), (" B07 ", "B07"), ("P24", "P24"), ("AF048", "AF48")])
def test_wells_have_one_name_however_they_are_written(text: str, name: str) -> None:
    assert well_name(text) == name


@pytest.mark.parametrize("text", ["", "7B", "A", "A123", "ABC1", "A-1"])
def test_what_is_no_well(text: str) -> None:
    assert well_name(text) is None
    with pytest.raises(DataError, match="A01"):
        well_position(text)


def test_positions_and_letters_are_inverse_over_a_plate_of_1536_wells() -> None:
    assert (well_position("A01"), well_position("AF48")) == ((0, 0), (31, 47))
    for row in range(32):
        assert well_position(f"{row_letters(row)}05") == (row, 4)
