"""Names that look alike, stand for nothing, or were made dates by a spreadsheet: said, never changed."""

import logging
from pathlib import Path

import pytest

from campfire.core.columns import COMPOUND, PLATE, SOURCE, WELL
from campfire.screen.metadata import local_content, read_wells
from campfire.screen.sheets import warn_of_doubtful_names


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("siNT", "sint"),
        ("FK-866", "FK\u2011866"),
        ("5'-dA", "5\u2032-dA"),
        ("10 \u00b5M", "10 \u03bcM"),
        ("\u00e9toposide", "e\u0301toposide"),
        ("a b", "a  b"),
        ("AMG900", "AMG 900"),
        ("DMSO", "DMSO\u200b"),
    ],
)
def test_names_that_look_alike_are_named(one: str, other: str, caplog: pytest.LogCaptureFixture) -> None:
    warn_of_doubtful_names([one, other, "else"], "compound", "wells.csv")
    assert repr(one) in caplog.text and repr(other) in caplog.text and "different compounds" in caplog.text


@pytest.mark.parametrize("name", ["NA", "n/a", "nan", "None", "null", "-", "?"])
def test_names_for_nothing_are_named(name: str, caplog: pytest.LogCaptureFixture) -> None:
    warn_of_doubtful_names([name, "x"], "treatment", "wells.tsv")
    assert f"a treatment is called {name!r}" in caplog.text and "missing value" in caplog.text


@pytest.mark.parametrize("name", ["2-Sep", "01-Mar", "Mar-01", "2024-09-02"])
def test_dates_that_were_names_are_named(name: str, caplog: pytest.LogCaptureFixture) -> None:
    warn_of_doubtful_names([name], "treatment", "wells.tsv")
    assert "did a spreadsheet make a date" in caplog.text


@pytest.mark.parametrize("name", ["SEPT2", "MARCH1", "DEC1", "JCP2022_033924", "1-NAP-PP1", "nancodazole", "None-1"])
def test_plain_names_are_not_doubted(name: str, caplog: pytest.LogCaptureFixture) -> None:
    warn_of_doubtful_names([name, "DMSO"], "compound", "wells.csv")
    assert not caplog.text


def test_the_tables_of_wells_are_looked_at(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "wells.csv"
    path.write_text(f"{SOURCE},{PLATE},{WELL},{COMPOUND}\ns,P1,A01,NA\ns,P1,A02,x\n")
    with caplog.at_level(logging.WARNING):
        assert set(read_wells(path, ["P1"])[COMPOUND]) == {"NA", "x"}
    assert "a compound is called 'NA'" in caplog.text


def test_a_table_of_this_machine_is_known_by_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "wells.csv"
    path.write_text("a\n")
    before = local_content(path)
    assert before == local_content(path.as_uri()) and len(before) == 64
    path.write_text("b\n")
    assert local_content(path) != before
    assert local_content(tmp_path / "none.csv") == local_content("https://example.org/wells.csv") == ""
