"""Names of a user's image files: what patterns read, what they must not cut, files beside the images, site numbers."""

import logging
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from campfire.core.errors import CampfireError, ConfigError, DataError
from campfire.images.gallery.arrange import arrange, main
from campfire.images.gallery.collect import NAMED, find_images
from campfire.images.gallery.patterns import PATTERNS, compile_pattern, guess, read_path

PATTERN = r"(?P<well>[A-P]\d+)_(?P<site>\d+)_(?P<channel>[A-Z]+)[.]"


def write(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, np.random.default_rng(number).integers(1, 900, (20, 24)).astype(np.uint16))
    return folder


def places(table: pd.DataFrame) -> list[tuple[str, ...]]:
    return list(table[["well", "site", "channel"]].itertuples(index=False, name=None))


@pytest.mark.parametrize(
    ("name", "path", "read"),
    [
        ("phenix", "Images/r02c04f01p01-ch1sk1fk1fl1.tiff", ("", "02", "04", "01", "1", "01", "1")),
        ("imagexpress", "P1_B02_s3_w1E5B1A2C3-0F1D-4A5B-9C8D-1234567890AB.tif", ("B02", "", "", "3", "1", "", "")),
        ("imagexpress", "P1_B02_s3_w212345678-0F1D-4A5B-9C8D-1234567890AB.TIF", ("B02", "", "", "3", "2", "", "")),
        ("imagexpress", "TimePoint_1/ZStep_2/P1_B02_s3_w1.TIF", ("B02", "", "", "3", "1", "2", "1")),
        ("cellvoyager", "Plate_B02_T0001F002L01A01Z03C04.tif", ("B02", "", "", "002", "04", "03", "0001")),
        ("row-column", "Row2_Col4_Field1_DAPI.tif", ("", "2", "4", "1", "DAPI", "", "")),
        ("well-site", "x/B02_12_DAPI.tif", ("B02", "", "", "12", "DAPI", "", "")),
    ],
)
def test_patterns_that_people_need(name: str, path: str, read: tuple[str, ...]) -> None:
    assert read_path(compile_pattern(name), path) == ("", *read)
    assert guess([path] * 9 + ["notes.tif"])[0] == name or name == "well-site"


@pytest.mark.parametrize(
    ("pattern", "path", "words"),
    [
        (r".*(?P<well>[A-P]\d+).*(?P<site>\d+)_(?P<channel>[A-Z]+)", "B02_s10_DAPI.tif", "site '0' out of '10'"),
        (r"(?P<well>[A-P]\d+)_s(?P<site>\d).*_(?P<channel>[A-Z]+)", "B02_s10_DAPI.tif", "site '1' out of '10'"),
        (r"(?P<well>[A-P]\d).*_(?P<site>\d)_(?P<channel>[A-Z]+)", "B12_1_DAPI.tif", "well 'B1' out of 'B12'"),
        (r"(?P<well>[A-P]\d+)_(?P<site>\d)_(?P<channel>[A-Z]+)", "AB12_1_DAPI.tif", "well 'B12' out of 'AB12'"),
        (r".*(?P<well>[A-P]\d+)_(?P<site>\d)_(?P<channel>[A-Z]+)", "x_AB12_1_DAPI.tif", "well 'B12' out of 'AB12'"),
        (r"(?P<well>[A-P]\d+)_(?P<site>\d)_(?P<channel>[A-Za-z]+).*", "B12_1_Cy5.tif", "channel 'Cy' out of 'Cy5'"),
        (r"(?P<well>[A-P]\d+)_(?P<site>\d)_(?P<channel>[A-Z]+)", "B12_1_DAPIx.tif", "channel 'DAPI' out of 'DAPIx'"),
    ],
)
def test_no_letter_or_digit_beside_a_group_is_dropped(pattern: str, path: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_path(compile_pattern(pattern), path)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        (r"r0(?P<row>\d)c0(?P<column>\d)f0*(?P<site>\d+)-ch(?P<channel>\d)sk", "r02c04f010-ch1sk1.tiff"),
        (PATTERN, "img_B02_1_DAPI.tif"),
        (r"(?P<row>\d\d)(?P<column>\d\d)-(?P<channel>\d)", "0204-1.tif"),
    ],
)
def test_zeros_and_letters_that_are_no_part_of_a_number_may_stand_beside_it(pattern: str, path: str) -> None:
    assert read_path(compile_pattern(pattern), path) is not None


def test_columns_counted_from_zero_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "A00_1_DAPI.tif", "A23_1_DAPI.tif")
    with pytest.raises(DataError, match=r"plate P1: 'A00' is no well: .*are columns counted from 0\?"):
        find_images(tmp_path, PATTERN, plate="P1")
    pattern = r"r(?P<row>\d+)c(?P<column>\d+)-(?P<channel>\d)"
    write(tmp_path / "rows", "r0c1-1.tif")
    with pytest.raises(DataError, match=r"row 0 is no row of a plate.*counted from 0"):
        find_images(tmp_path / "rows", pattern, plate="P1")
    write(tmp_path / "format", "B02_1_DAPI.tif", "B13_1_DAPI.tif")
    with pytest.raises(DataError, match="'B13' is not on a plate of 96 wells"):
        find_images(tmp_path / "format", PATTERN, plate="P1", plate_format=96)


def test_site_numbers_stay_and_other_names_are_mapped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = [f"B02_{site}_DAPI.tif" for site in (1, 2, 3, 9, 10, 11)] + ["B03_test_DAPI.tif", "B03_10_DAPI.tif"]
    write(tmp_path / "raw", *names)
    pattern = PATTERN.replace(r"(?P<site>\d+)", "(?P<site>[0-9a-z]+)")
    table = find_images(tmp_path / "raw", pattern, {"DAPI": "DNA"}, plate="P1")
    assert [site for well, site, _ in places(table) if well == "B02"] == ["1", "10", "11", "2", "3", "9"]
    assert dict(zip(table[NAMED], table["site"], strict=True))["test"] == "12"
    assert "test is 12" in caplog.text
    arrange(table, tmp_path / "out")
    files = pd.read_csv(next((tmp_path / "out").rglob("files.tsv")), sep="\t", dtype=str)
    for row in files.to_dict("records"):
        stored = tifffile.imread(tmp_path / "out" / row["key"])
        np.testing.assert_array_equal(stored, tifffile.imread(row["file"]))
        assert Path(row["file"]).name == f"{row['well']}_{row['site_in_name']}_DAPI.tif"


@pytest.mark.parametrize(
    ("sites", "numbers"),
    [
        (["s1", "s2", "s10"], ["1", "2", "10"]),
        (["f03", "f07"], ["3", "7"]),
        (["01", "02"], ["1", "2"]),
        (["0", "1"], ["0", "1"]),
        (["r0c1", "r0c2", "r1c0"], ["1", "2", "3"]),
        (["left", "right"], ["1", "2"]),
    ],
)
def test_a_site_has_one_number_on_all_of_its_plate(tmp_path: Path, sites: list[str], numbers: list[str]) -> None:
    write(tmp_path, *(f"B02_{site}_DAPI.tif" for site in sites), f"B03_{sites[-1]}_DAPI.tif")
    pattern = PATTERN.replace(r"(?P<site>\d+)", "(?P<site>[0-9a-z]+)")
    table = find_images(tmp_path, pattern, plate="P1")
    known = dict(zip(table[NAMED], table["site"], strict=True))
    assert [known[site] for site in sites] == numbers
    assert [site for well, site, _ in places(table) if well == "B03"] == [numbers[-1]]


def test_other_files_beside_the_images_are_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, "B02_1_DAPI.tif", "B02_1_GFP.tif", "thumbs/B02_1_DAPI.tif", "B02_1_thumb_DAPI.tif", "@eaDir/x.tif")
    (tmp_path / "._B02_1_DAPI.tif").write_bytes(b"Mac OS X")
    (tmp_path / "B02_1_DAPI.jpg").write_bytes(b"")
    (tmp_path / "B04_1_DAPI.tif").symlink_to(tmp_path / "gone.tif")
    assert len(find_images(tmp_path, PATTERN, plate="P1")) == 2
    for words in ("hidden files", "3 thumbnails", "links to nothing: B04_1_DAPI.tif", r"1 files of other kinds (.jpg)"):
        assert words in caplog.text


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("B02_1_DAPI.tif", "B02_1_DAPI.tiff"), r"B02_1_DAPI.tif and .*B02_1_DAPI.tiff: both are .*their suffix"),
        (("B02_1_DAPI.png", "B02_1_DAPI.tif"), r"png and .*tif: both are .*their suffix.* as in \[.\]tif\$"),
        (("B02_1_DAPI.z1.tif", "B02_1_DAPI.z2.tif"), r"focal planes \(z 1\).*--plane"),
        (("TimePoint_1/B02_1_DAPI.tif", "TimePoint_2/B02_1_DAPI.tif"), r"timepoints \(timepoint 1\).*--time"),
        (("a/B02_1_DAPI.tif", "b/B02_1_DAPI.tif"), r"a/B02_1_DAPI.tif and .*b/B02.*a group `plate`"),
    ],
)
def test_two_files_for_one_position_are_named_with_a_fitting_remedy(
    tmp_path: Path, names: tuple[str, ...], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        find_images(write(tmp_path, *names), PATTERN, plate="P1")


def test_links_that_a_copy_turned_into_text_are_named(tmp_path: Path) -> None:
    (tmp_path / "B02_1_DAPI.tif").write_text("../store/B02_1_DAPI.tif")
    with pytest.raises(DataError, match=r"no image matches .*left out: 1 links stored as text.*copy the images"):
        find_images(tmp_path, PATTERN, plate="P1")


def test_focal_planes_are_chosen_or_projected(tmp_path: Path) -> None:
    raw = write(tmp_path / "raw", *(f"r02c02f01p0{z}-ch1sk{t}fk1fl1.tiff" for z in (1, 2, 3) for t in (1, 2)))
    with pytest.raises(ConfigError, match=r"2 timepoints \(1, 2\).*--time 1"):
        find_images(raw, "phenix", {"1": "DNA"}, plate="P1")
    with pytest.raises(ConfigError, match=r"3 focal planes \(01, 02, 03\).*--plane 02.*--plane max"):
        find_images(raw, "phenix", {"1": "DNA"}, plate="P1", time="1")
    with pytest.raises(ConfigError, match=r"no image of --plane 7; there are 01"):
        find_images(raw, "phenix", {"1": "DNA"}, plate="P1", time="1", plane="7")
    one = find_images(raw, "phenix", {"1": "DNA"}, plate="P1", time="2", plane="3")
    assert [path.name for path in one["path"]] == ["r02c02f01p03-ch1sk2fk1fl1.tiff"]
    arrange(find_images(raw, "phenix", {"1": "DNA"}, plate="P1", time="1", plane="max"), tmp_path / "out")
    stack = [tifffile.imread(raw / f"r02c02f01p0{z}-ch1sk1fk1fl1.tiff") for z in (1, 2, 3)]
    np.testing.assert_array_equal(tifffile.imread(next((tmp_path / "out").rglob("*.tiff"))), np.max(stack, axis=0))


@pytest.mark.parametrize(
    ("channels", "plate", "words"),
    [
        ({"DAPI": "DNA", "GFP": "ER_2"}, "P1", "'ER_2' may have only letters and digits.*--channels"),
        ({"DAPI": "DNA", "GFP": "Cy3.5"}, "P1", "letters and digits, 40 at most; Cy35 would do"),
        ({"DAPI": "DNA"}, "../P1", "plate '../P1' may have only"),
        ({"DAPI": "DNA"}, "{P}", "may have only"),
    ],
)
def test_names_that_no_config_takes_are_refused_here(
    tmp_path: Path, channels: dict[str, str], plate: str, words: str
) -> None:
    raw = write(tmp_path, "B02_1_DAPI.tif", "B02_1_GFP.tif")
    with pytest.raises(CampfireError, match=words):
        find_images(raw, PATTERN, channels, plate=plate)


def test_the_plate_is_given_once(tmp_path: Path) -> None:
    raw = write(tmp_path, "Q/B02_1_DAPI.tif")
    with pytest.raises(ConfigError, match="the plate is given twice"):
        find_images(raw, r"(?P<plate>\w+)/" + PATTERN, plate="P1")


def test_a_guess_is_shown_to_be_confirmed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = write(tmp_path / "raw", "B02_1_DAPI.tif", "B02_2_DAPI.tif")
    arguments = [str(raw), str(tmp_path / "out"), "--plate", "P1", "--channels", "DAPI=DNA"]
    assert main(arguments) == 1
    told = capsys.readouterr()
    assert "2 of 2 names fit" in told.out and "site 2" in told.out
    assert "run again with --pattern well-site" in told.err
    assert main([*arguments, "--pattern", "well-site"]) == 0
    other = write(tmp_path / "other", "a.tif")
    assert main([str(other), str(tmp_path / "o"), "--plate", "P1"]) == 1
    assert "fit no known pattern (phenix" in capsys.readouterr().err


def test_the_help_shows_every_pattern(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in PATTERNS)


def test_an_output_below_the_images_is_not_read_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    raw = write(tmp_path, "B02_1_DAPI.tif")
    arguments = [str(raw), str(raw / "out"), "--plate", "P1", "--pattern", "well-site"]
    with caplog.at_level(logging.WARNING):
        assert main(arguments) == 0
        assert main(arguments) == 0
    assert len([path for path in (raw / "out").rglob("*") if path.is_symlink()]) == 1
    assert os.readlink(next((raw / "out").rglob("*.tiff"))) == str(raw / "B02_1_DAPI.tif")
