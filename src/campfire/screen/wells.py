"""Names of wells: row letters and a column number of two digits, A01 to AF48."""

import re

from campfire.core.errors import DataError

WELL_PATTERN = r"[A-Z]{1,2}[0-9]{2}"
"""Of a well's name as all tables have it."""
_LOOSE = re.compile(r"([A-Z]{1,2})0*([0-9]{1,2})")


def well_name(text: str) -> str | None:
    """The name of a well that is written as b7, B07 or B007; None for text that is no well."""
    match = _LOOSE.fullmatch(text.strip().upper())
    return f"{match[1]}{int(match[2]):02d}" if match else None


def well_position(well: str) -> tuple[int, int]:
    """Row and column, from 0, of a well such as B07 or AF48; a DataError for text that is no well."""
    match = _LOOSE.fullmatch(well)
    if not match:
        raise DataError(f"well {well!r} is not of the form A01; correct it in the sheet")
    row = 0
    for letter in match[1]:
        row = 26 * row + ord(letter) - ord("A") + 1
    return row - 1, int(match[2]) - 1


def row_letters(row: int) -> str:
    """The letters of a row, from 0: A to Z, then AA."""
    return chr(ord("A") + row) if row < 26 else chr(ord("A") + row // 26 - 1) + chr(ord("A") + row % 26)
