"""Names of wells, row letters and a column number of two digits (A01 to AF48), and the plates that have them."""

import re
from collections.abc import Iterable
from functools import cache

from campfire.core.errors import DataError
from campfire.core.text import some

WELL_PATTERN = r"[A-Z]{1,2}[0-9]{2}"
"""Of a well's name as all tables have it."""
_LOOSE = re.compile(r"([A-Z]{1,2})0*([0-9]{1,2})")

FORMATS = {6: (2, 3), 12: (3, 4), 24: (4, 6), 48: (6, 8), 96: (8, 12), 384: (16, 24), 1536: (32, 48)}
"""Wells of a plate to its rows and columns (ANSI/SLAS)."""
LARGEST = max(FORMATS)

FEW = 0.25
"""A 1,536-well plate is accepted only if more than this share of its wells lies beyond row P or column 24."""


@cache
def well_name(text: str) -> str | None:
    """The normalised name of a well written as b7, B07 or B007; None for text that names no well of any plate."""
    match = _LOOSE.fullmatch(text.strip().upper())
    if match is None:
        return None
    rows, columns = FORMATS[LARGEST]
    row, column = _row(match[1]), int(match[2])
    return f"{match[1]}{column:02d}" if row < rows and 1 <= column <= columns else None


def well_problem(text: str, wells_per_plate: int | None = None) -> str:
    """Why `text` names no well of a plate of that format (None: of any format), with the likely meaning; "" if it does.

    The sentence goes after the text: "'A00' is no well: ...".
    """
    match = _LOOSE.fullmatch(text.strip().upper())
    if match is None:
        if re.fullmatch(r"[@`]\d+", text.strip()):  # row number 0 as a letter
            return "is no well: rows start at 1 (A); are rows counted from 0?"
        return "is no well name such as A01"
    if int(match[2]) == 0:
        return "is no well: columns start at 01; are columns counted from 0?"
    if (name := well_name(text)) is None:
        return f"is no well: no plate goes beyond {row_letters(31)}48 (1,536 wells)"
    if wells_per_plate is not None and not _fits(name, wells_per_plate):
        return f"is not on a plate of {wells_per_plate:,} wells, which ends at {_last_well(wells_per_plate)}"
    return ""


def plate_format(wells: Iterable[str]) -> int:
    """The smallest plate, by its number of wells, that has all of `wells` (names as `well_name` gives them)."""
    names = set(wells)
    return next(size for size in FORMATS if size == LARGEST or all(_fits(name, size) for name in names))


def check_wells(wells: Iterable[str], where: str, wells_per_plate: int | None = None) -> int:
    """The format of the plate that `wells` (of one plate) are on; DataError, beginning with `where`, if on none.

    `wells` may be written in any way that `well_name` reads. Without `wells_per_plate` the format is the smallest that
    has them all. Two kinds of lists are refused: one with a few wells beyond an otherwise smaller plate of
    384 (W41 among A01 to P24), and one that fits a plate of 96 or 384 only when moved by one column or row.
    """
    listed = list(dict.fromkeys(wells))
    problems = [(text, problem) for text in listed if (problem := well_problem(text, wells_per_plate))]
    if problems:
        text, problem = problems[0]
        more = f" (and {len(problems) - 1} more wells, such as {problems[1][0]!r})" if len(problems) > 1 else ""
        raise DataError(f"{where}: {text!r} {problem}{more}; correct the wells")
    names = [name for text in listed if (name := well_name(text))]
    if wells_per_plate is not None or not names:
        return wells_per_plate or min(FORMATS)
    refuse_shifted(names, where)
    size = plate_format(names)
    beyond = outlying(names)
    if beyond:
        raise DataError(
            f"{where}: {some(beyond, 4)} {'lies' if len(beyond) == 1 else 'lie'} beyond P24, the last well of a "
            f"plate of 384, on which the other {len(names) - len(beyond)} wells are; correct the wells, or say that "
            f"the plate has 1536 wells (a column {FORMAT_COLUMN} in the table, --plate-format for arrange)"
        )
    return size


def outlying(wells: Iterable[str]) -> list[str]:
    """The wells beyond a plate of 384 when they are too few to be those of a plate of 1,536; else none."""
    names = list(wells)
    beyond = [name for name in names if not _fits(name, 384)]
    return beyond if len(beyond) <= FEW * len(names) else []


FORMAT_COLUMN = "Metadata_PlateFormat"
"""Optional column of sheets and tables of wells: how many wells the plate has."""


@cache
def well_position(well: str) -> tuple[int, int]:
    """Row and column, from 0, of a well such as B07 or AF48; a DataError for text that is no well."""
    name = well_name(well) if well == well.strip() else None
    if name is None:
        raise DataError(f"well {well!r} is not of the form A01; correct it in the sheet")
    match = _LOOSE.fullmatch(name)
    assert match is not None
    return _row(match[1]), int(match[2]) - 1


def row_letters(row: int) -> str:
    """The letters of a row, from 0: A to Z, then AA."""
    return chr(ord("A") + row) if row < 26 else chr(ord("A") + row // 26 - 1) + chr(ord("A") + row % 26)


def shifted_by_one(asked: Iterable[str], listed: Iterable[str]) -> str:
    """How `listed` differs from `asked` if every requested well lies one row or column from a listed one; "" if not.

    Both are names of wells of one plate. Only a shift of the whole block counts: its first and last column (or
    row) both moved by one, so that a plate of which some wells were not imaged is not taken for one.
    """
    wanted, present = _positions(asked), _positions(listed)
    if not wanted or wanted <= present:
        return ""
    for axis, what in ((1, "column"), (0, "row")):
        for step in (-1, 1):
            moved = {(row + step * (axis == 0), column + step * (axis == 1)) for row, column in wanted}
            edges = [{place[axis] for place in places} for places in (moved, present)]
            if moved <= present and (min(edges[0]), max(edges[0])) == (min(edges[1]), max(edges[1])):
                return f"one {what} {'before' if step < 0 else 'behind'}"
    return ""


def _positions(wells: Iterable[str]) -> set[tuple[int, int]]:
    return {well_position(well) for well in wells}


def refuse_shifted(names: list[str], where: str) -> None:
    """DataError for wells that fill a whole plate of 96 or 384 but for being one column or row too far."""
    places = {well_position(name) for name in names}
    rows, columns = {row for row, _ in places}, {column for _, column in places}
    for size in (96, 384):
        n_rows, n_columns = FORMATS[size]
        by_column = columns == set(range(1, n_columns + 1)) and max(rows) < n_rows and len(rows) > n_rows // 2
        by_row = rows == set(range(1, n_rows + 1)) and max(columns) < n_columns and len(columns) > n_columns // 2
        if by_column or by_row:
            what = "column" if by_column else "row"
            first, last = ("02", f"{n_columns + 1}") if by_column else ("B", row_letters(n_rows))
            raise DataError(
                f"{where}: the {what}s go from {first} to {last}, one more than a plate of {size} wells has, and none "
                f"is the first; are the wells one {what} off? Correct them, or say how many wells the plate has (in "
                f"column {FORMAT_COLUMN}, --plate-format for arrange)"
            )


def _row(letters: str) -> int:
    row = 0
    for letter in letters:
        row = 26 * row + ord(letter) - ord("A") + 1
    return row - 1


def _fits(name: str, size: int) -> bool:
    row, column = well_position(name)
    return row < FORMATS[size][0] and column < FORMATS[size][1]


def _last_well(size: int) -> str:
    rows, columns = FORMATS[size]
    return f"{row_letters(rows - 1)}{columns:02d}"
