"""The one reader of sheets and tables that users write or save from a spreadsheet: every cell is kept as text.

A row is a line. Only the delimiter separates cells: `#` and a lone quote inside a cell are text, and
only a whole cell in quotes ("a, b") is unquoted. Cells are stripped of blanks at their ends. A line that begins with #
is a comment. Every other line is a row of the table or an error that names it; none is dropped silently.
"""

import gzip
import logging
import re
import unicodedata
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from campfire.core.columns import BATCH, PLATE, SOURCE, WELL
from campfire.core.errors import CampfireError, ConfigError
from campfire.core.text import some

log = logging.getLogger(__name__)

LINE = "line"
"""Name of the index of a table that was read: the number of each row's line in its file, from 1."""

_PLAIN_COLUMNS = (SOURCE, BATCH, PLATE, WELL, "plate", "well", "key")
"""Columns whose values never begin with #."""

_LINE_BREAK = re.compile(r"\r\n|\n|\r")
_NAMES = {"\t": "tabs", ",": "commas", ";": "semicolons"}
_EXCEL_ERRORS = {"#N/A", "#NAME?", "#REF!", "#VALUE!", "#DIV/0!", "#NUM!", "#NULL!"}
_MISSING = {"na", "n/a", "nan", "none", "null", "-", "?", "#", "."}
_DATE = re.compile(
    r"\d{1,2}[-. /](jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)([-. /]\d{2,4})?|"
    r"(jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)[-. /]\d{2}|(19|20)\d\d-\d\d-\d\d( 00:00:00)?",
    re.IGNORECASE,
)
_SHORTENED = re.compile(r"\d([.,]\d+)?E\+\d+")


def read_sheet_file(
    path: str | Path,
    columns: Sequence[str],
    what: str = "sheet",
    error: type[CampfireError] = ConfigError,
) -> pd.DataFrame:
    """Every row of a sheet as text; see `parse_sheet`. UTF-8 and UTF-16 (by its byte order mark), gzipped or not."""
    path = Path(path)
    try:
        body = path.read_bytes()
    except FileNotFoundError as problem:
        raise error(f"{path}: no such {what}; correct its path") from problem
    except OSError as problem:
        raise error(f"{path}: cannot read the {what} ({problem.strerror}); make the file readable") from problem
    return parse_sheet(decode_text(body, str(path), what, error), str(path), columns, what, error)


def decode_text(body: bytes, name: str, what: str = "sheet", error: type[CampfireError] = ConfigError) -> str:
    """The text in the bytes of a file in UTF-8 or, by its byte order mark, UTF-16, unzipped; `error` if it is none."""
    try:
        if body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
    except (OSError, EOFError, zlib.error) as problem:
        raise error(f"{name}: cannot read the {what} ({problem}); replace the file") from problem
    if body[:4] == b"PK\x03\x04" or body[:4] == b"\xd0\xcf\x11\xe0":
        raise error(
            f"{name}: cannot read the {what}, it is a workbook of a spreadsheet program; save it as tab-separated "
            "UTF-8 text"
        )
    encoding = "utf-16" if body[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return body.decode(encoding)
    except UnicodeDecodeError as problem:
        line = body[: problem.start].count(b"\n") + 1
        raise error(
            f"{name}, line {line}: cannot read the {what} ({problem.reason}); save it as tab-separated UTF-8 text"
        ) from problem


def parse_sheet(
    text: str,
    name: str,
    columns: Sequence[str],
    what: str = "sheet",
    error: type[CampfireError] = ConfigError,
    bad_lines: dict[int, str] | None = None,
) -> pd.DataFrame:
    """Every row of a sheet as text, in its order; the index, named `line`, holds the line numbers.

    `columns` are those that must be there; further ones are kept. Names of columns are matched without regard to
    case. The delimiter is the one among tab, comma and semicolon by which the header has all `columns`. `name` is the
    file's, for messages. Raises `error`, with file and line, for a header that lacks a column or has one twice, a line
    with another number of cells than the header, and a cell that holds a spreadsheet's error value. Where `bad_lines`
    is given, such lines are left out and put there with the reason.
    """
    lines = _LINE_BREAK.split(text)
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line.strip(" \t\ufeff,;")]
    rows = [(number, line) for number, line in numbered if not line.startswith("#")]
    if not rows:
        raise error(f"{name}: the {what} is empty; write a header line with {', '.join(columns) or 'its columns'}")
    delimiter = _delimiter(rows[0][1], columns, name)
    header = _header(rows[0], delimiter, columns, name, error)
    _refuse_doubtful_comments(numbered, header, delimiter, name, error)
    cells = [(number, _split(line, delimiter)) for number, line in rows[1:]]
    for number, row in cells:
        while len(row) > len(header) and not row[-1]:
            row.pop()
        if len(row) != len(header):
            problem = f"{len(row)} fields for {len(header)} columns"
            if bad_lines is None:
                raise error(
                    f"{name}, line {number}: {problem}; separate the fields by {_NAMES[delimiter]} as the header, "
                    "without line breaks inside a cell"
                )
            bad_lines[number] = problem
    cells = [(number, row) for number, row in cells if len(row) == len(header)]
    index = pd.Index([number for number, _ in cells], name=LINE)
    table = pd.DataFrame([row for _, row in cells], columns=header, index=index, dtype=object)
    if bad_lines is not None:
        wrong = table.isin(_EXCEL_ERRORS).any(axis=1)
        bad_lines.update({int(number): "has a spreadsheet's error value" for number in table.index[wrong]})
        table = table[~wrong]
    _refuse_spreadsheet_values(table, name, error)
    skipped = len(numbered) - len(rows)
    log.info("%s: %d rows%s", name, len(table), f", {skipped} lines of comment" if skipped else "")
    return table


def warn_of_doubtful_names(values: Iterable[str], what: str, where: str | Path) -> None:
    """Log a warning for names that look alike, stand for a missing value, or that a spreadsheet made a date.

    Alike are names that differ only in case, inner blanks, the kind of dash or quote, or how a letter is encoded.
    """
    names = set(values)
    alike: dict[str, set[str]] = {}
    for name in names:
        alike.setdefault(_plain(name), set()).add(name)
    pairs = [" and ".join(repr(name) for name in sorted(group)) for group in alike.values() if len(group) > 1]
    if pairs:
        log.warning(
            "%s: %s count as different %ss; spell them alike if they are the same", where, some(sorted(pairs), 3), what
        )
    if missing := sorted(name for name in names if name.lower() in _MISSING):
        log.warning(
            "%s: a %s is called %s and is kept as a name; if it stands for a missing value, remove those rows",
            *(where, what, some([repr(name) for name in missing], 3)),
        )
    if dates := sorted(name for name in names if _DATE.fullmatch(name)):
        log.warning(
            "%s: a %s is called %s; did a spreadsheet make a date of a name such as SEPT2? Format the column as text",
            *(where, what, some([repr(name) for name in dates], 3)),
        )


def _plain(name: str) -> str:
    """A name without the differences that are easily overlooked."""
    text = unicodedata.normalize("NFKC", name)
    text = re.sub(r"[\s\u200b-\u200d\u2060\ufeff]+", "", text)
    text = re.sub(r"[\u2010-\u2015\u2212]", "-", text)
    return re.sub(r"[\u2018\u2019\u2032\u00b4`]", "'", text).casefold()


def refuse_rows(
    table: pd.DataFrame,
    problems: Mapping[int, str],
    path: str | Path,
    error: type[CampfireError] = ConfigError,
) -> None:
    """Raise `error` for the rows of `read_sheet_file`'s table that have a problem (line to sentence), if any has."""
    if problems:
        first = min(problems)
        more = f" (and {len(problems) - 1} more lines, such as {sorted(problems)[1]})" if len(problems) > 1 else ""
        raise error(f"{path}, line {first}: {problems[first]}{more}")


def _delimiter(header: str, columns: Sequence[str], name: str) -> str:
    """The delimiter that gives the header most of `columns` (none: most cells); the file name breaks ties."""
    wanted = {column.lower() for column in columns}
    usual = "," if ".csv" in name.lower() else "\t"

    def found(delimiter: str) -> tuple[int, bool]:
        cells = {cell.lower() for cell in _split(header, delimiter)}
        return len(wanted & cells) if wanted else len(cells), delimiter == usual

    return max(_NAMES, key=found)


def _header(
    line: tuple[int, str], delimiter: str, columns: Sequence[str], name: str, error: type[CampfireError]
) -> list[str]:
    number, text = line
    known = {column.lower(): column for column in columns}
    header = [known.get(cell.lower(), cell) for cell in _split(text, delimiter)]
    while header and not header[-1]:
        header.pop()
    missing = [column for column in columns if column not in header]
    if missing:
        raise error(
            f"{name}, line {number}: no column {', '.join(missing)}; the header needs {', '.join(columns)} separated "
            f"by {_NAMES[delimiter]}; this one has {some(header)}"
        )
    if len(set(header)) != len(header):
        twice = next(cell for cell in header if header.count(cell) > 1)
        raise error(f"{name}, line {number}: a column name occurs twice ({twice!r}); keep one of them")
    return header


def _split(line: str, delimiter: str) -> list[str]:
    """The cells of a line, stripped; a cell is unquoted only when all of it stands in quotes."""
    if '"' not in line:
        return [cell.strip() for cell in line.split(delimiter)]
    cells, start = [], 0
    end = re.escape(delimiter)
    quoted = re.compile(rf'[ ]*"((?:[^"]|"")*)"[ ]*(?={end}|$)')
    while True:
        match = quoted.match(line, start)
        if match:
            cells.append(match[1].replace('""', '"').strip())
            stop = match.end()
        else:
            stop = line.find(delimiter, start)
            stop = len(line) if stop < 0 else stop
            cells.append(line[start:stop].strip())
        if stop >= len(line):
            return cells
        start = stop + 1


def _refuse_doubtful_comments(
    numbered: list[tuple[int, str]], header: list[str], delimiter: str, name: str, error: type[CampfireError]
) -> None:
    """A line that begins with # is certainly a comment only if names in the first column cannot begin with #."""
    if header[0] in _PLAIN_COLUMNS or len(header) == 1:
        return
    for number, line in numbered:
        if line.startswith("#") and len(_split(line, delimiter)) == len(header):
            raise error(
                f"{name}, line {number}: begins with # and has all fields; if it is a row, put its first cell in "
                f"quotes or another column than {header[0]} first; if it is a comment, remove it"
            )


def _refuse_spreadsheet_values(table: pd.DataFrame, name: str, error: type[CampfireError]) -> None:
    for column in table.columns:
        values = set(table[column])
        if wrong := sorted(values & _EXCEL_ERRORS):
            line = table.index[table[column] == wrong[0]][0]
            raise error(
                f"{name}, line {line}: {column} is {wrong[0]}, a spreadsheet's error value; correct the formula and "
                "save the sheet again"
            )
        if short := sorted(value for value in values if _SHORTENED.fullmatch(value)):
            log.warning(
                "%s, line %d: %s is %s; did a spreadsheet shorten a long number? Format the column as text",
                *(name, table.index[table[column] == short[0]][0], column, short[0]),
            )
