"""The reader of sheets: every cell stays the user's text, every line is a row or an error that names it."""

import gzip
import logging
from pathlib import Path

import pytest

from campfire.core.columns import COMPOUND, PLATE, SOURCE, WELL
from campfire.core.errors import ConfigError, DataError
from campfire.evaluation.transfer.sheet import SHEET_COLUMNS as TRANSFER_COLUMNS
from campfire.evaluation.transfer.sheet import read_sheet as read_transfer
from campfire.screen.metadata import read_wells
from campfire.screen.names import name_problem
from campfire.screen.sheets import read_sheet_file

COLUMNS = ["plate", "well", "treatment"]


def sheet(folder: Path, *lines: str, name: str = "sheet.tsv", encoding: str = "utf-8", end: str = "\n") -> Path:
    path = folder / name
    path.write_bytes((end.join(lines) + end).encode(encoding))
    return path


def treatments(path: Path) -> list[str]:
    return list(read_sheet_file(path, COLUMNS)["treatment"])


@pytest.mark.parametrize(
    "text",
    [
        *(
            "siKRAS#1",
            "siKRAS#2",
            "#1 siRNA",
            '"3-deoxy',
            "3'-deoxy\"",
            "5''",
            "NA",
            "null",
            "nan",
            "true",
            "yes",
            "1e5",
        ),
        *(
            "007",
            "1.0",
            "{plate}",
            "$\\alpha$",
            "a, b",
            "a;b",
            "β-catenin",
            "100 %",
            "=A1",
            "a\x85b",
            "a\u2028b",
            "None",
        ),
    ],
)
def test_text_stays_what_the_user_wrote(tmp_path: Path, text: str) -> None:
    path = sheet(tmp_path, "plate\twell\ttreatment", f"P1\tA01\t{text}", "P1\tA02\tother")
    assert treatments(path) == [text, "other"]


def test_rows_are_as_many_as_lines_whatever_the_quotes(tmp_path: Path) -> None:
    path = sheet(
        tmp_path,
        "plate,well,treatment",
        'P1,A01,"3-deoxy',
        "P1,A02,b",
        'P1,A03,"5-deoxy',
        'P1,A04,"a, ""b"""',
        '"P1", "A05" ,c"d',
        name="sheet.csv",
    )
    table = read_sheet_file(path, COLUMNS)
    assert list(table["treatment"]) == ['"3-deoxy', "b", '"5-deoxy', 'a, "b"', 'c"d']
    assert list(table.index) == [2, 3, 4, 5, 6]


def test_blanks_around_a_name_are_not_part_of_it(tmp_path: Path) -> None:
    path = sheet(tmp_path, "plate\twell\ttreatment", " P1\tA01\tDMSO ", "P1\tA02\t\u00a0DMSO", 'P1\tA03\t" DMSO "')
    assert treatments(path) == ["DMSO"] * 3


@pytest.mark.parametrize(
    ("name", "delimiter", "encoding", "end"),
    [
        ("a.csv", ";", "utf-8-sig", "\r\n"),
        ("a.CSV", ",", "utf-8", "\r\n"),
        ("a.txt", "\t", "utf-16", "\r\n"),
        ("a.tsv", ",", "utf-8", "\n"),
        ("a.tsv", "\t", "utf-8", "\r"),
    ],
)
def test_what_spreadsheets_save_is_read(tmp_path: Path, name: str, delimiter: str, encoding: str, end: str) -> None:
    lines = [delimiter.join(cells) for cells in (("Plate", "WELL", "treatment"), ("P1", "A01", "µ"), ("", "", ""))]
    assert treatments(sheet(tmp_path, *lines, name=name, encoding=encoding, end=end)) == ["µ"]


def test_gzipped_text_is_read_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "sheet.tsv"
    path.write_bytes(gzip.compress(b"plate\twell\ttreatment\nP1\tA01\tx\n"))
    assert treatments(path) == ["x"]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["plate\twell\ttreatment", "P1\tA01\tx", "P1\tA02"], "line 3: 2 fields for 3 columns"),
        (["plate\twell\ttreatment", "P1\tA01\tx\ty"], "line 2: 4 fields for 3 columns"),
        (["plate\twell", "P1\tA01"], "line 1: no column treatment"),
        (["plate\twell\ttreatment\tPlate"], "line 1: a column name occurs twice"),
        (["plate\twell\ttreatment", "P1\tA01\t#REF!"], "line 2: treatment is #REF!, a spreadsheet's error value"),
        (["treatment\tplate\twell", "#1\tP1\tA01"], "line 2: begins with # and has all fields"),
    ],
)
def test_lines_that_are_no_rows_are_named(tmp_path: Path, lines: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_sheet_file(sheet(tmp_path, *lines), COLUMNS)


def test_files_that_are_no_text_are_named(tmp_path: Path) -> None:
    path = tmp_path / "sheet.tsv"
    for body, words in ((b"PK\x03\x04", "a workbook"), (b"plate\n\xe9\n", "line 2: cannot read the sheet")):
        path.write_bytes(body)
        with pytest.raises(ConfigError, match=words):
            read_sheet_file(path, COLUMNS)


def test_comments_are_counted_and_look_alikes_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    head = "\t".join(TRANSFER_COLUMNS)
    rows = [f"s\tb\tP1\tA0{n}\tg\t\t{name}\ttrain" for n, name in enumerate(["siNT", "siNT ", "sint", "x"], start=1)]
    path = sheet(tmp_path, head, "# plate 2 failed", *rows)
    with caplog.at_level(logging.INFO):
        assert list(read_transfer(path)["treatment"]) == ["siNT", "siNT", "sint", "x"]
    assert "4 rows, 1 lines of comment" in caplog.text
    assert "'siNT' and 'sint' count as different treatments" in caplog.text


@pytest.mark.parametrize("column", ["role", "treatment"])
def test_two_sirnas_of_one_gene_are_two_treatments(shared: Path, column: str) -> None:
    path = shared / f"data/cases/workflow/hash_in_treatment/{column}_last.tsv"
    assert read_transfer(path)["treatment"].value_counts().to_dict() == {"siKRAS#1": 8, "siNT": 8, "siKRAS#2": 8}


def test_a_leading_quote_swallows_no_well(shared: Path) -> None:
    folder = shared / "data/cases/workflow/quote_swallows_wells"
    assert len(read_transfer(folder / "transfer.tsv")) == 24
    plates = ["SIMQC001", "SIMQC002", "SIMQC003", "SIMQC004", "1100000001"]
    wells = read_wells(folder / "wells.csv", plates)
    assert len(wells) == 34 and '"3-deoxy' in set(wells[COMPOUND])


def test_a_blank_behind_a_compound_makes_no_other_compound(tmp_path: Path) -> None:
    path = sheet(tmp_path, f"{SOURCE},{PLATE},{WELL},{COMPOUND}", "s,P1,A01,X", "s,P1,A02,X ", name="wells.csv")
    assert set(read_wells(path, ["P1"])[COMPOUND]) == {"X"}


def test_wells_of_a_transfer_sheet_lie_on_its_plate(tmp_path: Path) -> None:
    head = "\t".join([*TRANSFER_COLUMNS, "Metadata_PlateFormat"])
    path = sheet(tmp_path, head, "s\tb\tP1\tA01\tg\t\tx\ttrain\t96", "s\tb\tP1\tB13\tg\t\tx\ttrain\t96")
    with pytest.raises(ConfigError, match="plate P1: 'B13' is not on a plate of 96 wells"):
        read_transfer(path)
    with pytest.raises(DataError, match="plate P1, well 'A00'"):
        read_wells(sheet(tmp_path, f"{SOURCE}\t{PLATE}\t{WELL}\t{COMPOUND}", "s\tP1\tA00\tX"), ["P1"])


@pytest.mark.parametrize("text", ["../P1", "a/b", "{plate}", "P 1", "$P1", ".hidden", "", "P1.", "a" * 101, "P1\n"])
def test_plates_are_named_alike_in_both_screens(tmp_path: Path, text: str) -> None:
    assert name_problem("plate", text)
    if text.strip() == text and text:
        path = sheet(tmp_path, "\t".join(TRANSFER_COLUMNS), f"s\tb\t{text}\tA01\tg\t\tx\ttrain")
        with pytest.raises(ConfigError, match="line 2: plate"):
            read_transfer(path)


@pytest.mark.parametrize("kind", ["plate", "batch", "source"])
def test_names_with_dots_and_dashes_are_plain(kind: str) -> None:
    assert name_problem(kind, "2016_04_01.P1.2-b") == ""


def test_channels_are_letters_and_digits_and_the_message_suggests() -> None:
    assert [name_problem("channel", name) for name in ("DNA", "Cy3")] == ["", ""]
    assert name_problem("channel", "Cy3.5").endswith("Cy35 would do") and "letters and digits" in name_problem(
        "channel", "ER_2"
    )
