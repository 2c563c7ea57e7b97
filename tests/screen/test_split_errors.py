"""What the split says when plates or compounds do not suffice, and its command line."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from test_split import SMALL, small_screen

from campfire.core.columns import BATCH, COMPOUND, PLATE
from campfire.core.errors import ConfigError, DataError, SplitError
from campfire.core.files import read_table
from campfire.screen.split import SplitOptions, make_split
from campfire.screen.split.__main__ import main


@pytest.mark.parametrize(
    ("plates", "options", "message"),
    [
        ({"id_plates": 6}, {}, r"6 plates of role id.*come from 7 different plates"),
        ({"ood_plates": 0}, {}, r"no plate of role ood"),
        ({"compounds": 3}, {}, r"4 compounds are to be held out but 3 besides the controls"),
        ({}, {"controls": ["NEG", "JCP_X"]}, r"control JCP_X is on no plate of role id"),
        ({}, {"controls": ["NEG", "POSS"]}, r"control POSS is on no plate of role id \(did you mean 'POS'\?\)"),
        ({}, {"controls": ["NEG", "C1"]}, r"control C1 is on no plate of role id \(did you mean 'C01'\?\)"),
        ({}, {"controls": ["NEG", "C019"]}, r"control C019 is on no plate of role id; correct split\.controls"),
        ({}, {"held_out_compounds": ["C99"]}, r"held-out compound C99 is not on plates of role id and of role ood"),
    ],
)
def test_named_split_errors(plates: dict[str, Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(SplitError, match=message):
        make_split(*small_screen(**plates), SplitOptions(**{**SMALL, **options}))


def test_strict_refuses_an_id_plate_of_an_ood_batch() -> None:
    sheet, wells = small_screen()
    sheet.loc[sheet[PLATE] == "P03", BATCH] = "B_ood"
    make_split(sheet, wells, SplitOptions(protocol="paper", **SMALL))
    with pytest.raises(SplitError, match=r"plate P03 has role id but its batch B_ood also has an OOD plate"):
        make_split(sheet, wells, SplitOptions(protocol="strict", **SMALL))


def test_controls_and_held_out_compounds_are_on_both_kinds_of_plates() -> None:
    sheet, wells = small_screen()
    on_ood = wells[PLATE].isin(["P07", "P08"])
    with pytest.raises(SplitError, match="control POS is on no plate of role ood"):
        make_split(sheet, wells[~(on_ood & (wells[COMPOUND] == "POS"))], SplitOptions(**SMALL))
    fewer = wells[~(on_ood & (wells[COMPOUND] == "C00"))]
    for seed in range(10):
        split = make_split(sheet, fewer, SplitOptions(**SMALL, seed=seed))
        assert "C00" not in split.metadata["held_out_compounds"]


def test_wells_must_be_there_once() -> None:
    sheet, wells = small_screen()
    with pytest.raises(SplitError, match="no wells of plate P04"):
        make_split(sheet, wells[wells[PLATE] != "P04"], SplitOptions(**SMALL))
    with pytest.raises(DataError, match="plate P00, well A01 occurs twice"):
        make_split(sheet, pd.concat([wells, wells.head(1)]), SplitOptions(**SMALL))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "papre"}, "split.protocol: 'papre' is not one of release, paper, strict; did you mean `paper`"),
        ({"compound_fraction": 1.5}, "split.compound_fraction: 1.5 must be at most 1"),
        ({"wells_train": 0}, "split.wells_train: 0 must be at least 1"),
        ({"wells_test": 0}, "below min_wells_test"),
        ({"controls": "NEG"}, "split.controls: 'NEG' is not valid; expected a list"),
        ({"controls": ["NEG", "NEG"]}, "twice"),
        ({"held_out_compounds": ["JCP2022_033924"]}, "both held out and a control"),
        ({"seed": -1}, "split.seed: -1 must be at least 0"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SplitOptions(**options)


def test_lists_from_yaml_are_accepted() -> None:
    assert SplitOptions(controls=["a", "b"]) == SplitOptions(controls=("a", "b"))


def test_blanks_around_a_compound_of_the_config_are_no_part_of_it() -> None:
    assert list(SplitOptions(controls=["DMSO ", " a"]).controls) == ["DMSO", "a"]


def write_screen(folder: Path) -> tuple[Path, Path]:
    sheet, wells = small_screen()
    wells = wells.assign(Metadata_Source="source_9")
    sheet.to_csv(folder / "plates.tsv", sep="\t", index=False)
    wells.to_csv(folder / "well.csv.gz", index=False)
    return folder / "plates.tsv", folder


FLAGS = ["--held-out", "4", "--wells-train", "5", "--wells-val", "1", "--wells-test", "1", "--controls", "NEG", "POS"]


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plates, folder = write_screen(tmp_path)
    out = tmp_path / "wells.parquet"
    assert main(["--plates", str(plates), "--metadata", str(folder), "--out", str(out), *FLAGS]) == 0
    assert "ID compound + OOD plate" in capsys.readouterr().out
    expected = make_split(*small_screen(), SplitOptions(**SMALL)).wells
    pd.testing.assert_frame_equal(read_table(out), expected)
    assert read_table(out)[COMPOUND].nunique() == 14


def test_command_line_error_is_one_line_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plates, folder = write_screen(tmp_path)
    out = tmp_path / "wells.parquet"
    assert main(["--plates", str(plates), "--metadata", str(folder), "--out", str(out)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert main(["--plates", str(plates), "--metadata", str(tmp_path / "no"), "--out", str(out)]) == 1
    assert not out.exists() and not list(tmp_path.glob(".*partial*"))
