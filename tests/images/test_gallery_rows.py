"""Rows of load_data: a bad one costs its site and is named by its line, a table that cannot be meant is refused."""

import gzip
from pathlib import Path

import pandas as pd
import pytest

from campfire.core.errors import DataError
from campfire.images.gallery import S3Options, fetch_plate, parse_load_data, plan_download, plan_plate
from campfire.images.gallery.addresses import RefusedTableError
from campfire.images.gallery.connect import connect
from campfire.images.gallery.index import read_text_table
from support.gallery_bucket import BATCH, CHANNELS, PLATE, SOURCE, Bucket, make_bucket, tiff
from support.gallery_fetch import fetch, reason

OPTIONS = S3Options(bucket="my-bucket", prefix="proj")


def table(
    rows: list[tuple[str, str, str]], header: str = "Metadata_Plate,Metadata_Well,Metadata_Site,URL_OrigDNA"
) -> bytes:
    lines = [header, *(f"P1,{well},{site},{address}" for well, site, address in rows)]
    return "\n".join(lines).encode()


def address(name: str) -> str:
    return f"s3://my-bucket/proj/src/images/b1/images/P1/{name}.tiff"


def parse(body: bytes, name: str = "load_data.csv", channels: list[str] | None = None) -> pd.DataFrame:
    return parse_load_data(read_text_table(body, name), OPTIONS, "src", "b1", "P1", name, channels)


GOOD = [("B02", str(site), address(f"{site}")) for site in range(1, 25)]


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (("B02", "IXMtest", address("x")), "line 18: 'IXMtest' is no site number"),
        (("B02", "17", "/home/me/x.tiff"), "line 18: DNA: '/home/me/x.tiff' is a path on somebody's machine"),
        (("B02", "17", address("3")), "names one file for well B02, site 17, DNA and for well B02, site 3, DNA"),
    ],
)
def test_a_bad_row_excludes_its_site(odd: tuple[str, str, str], words: str) -> None:
    index = parse(table([*GOOD[:16], odd, *GOOD[17:]]))
    bad = index.loc[index["problem"] != "", "problem"]
    assert len(index) == 24 and any(words in problem for problem in bad)
    assert len(bad) == (2 if "one file" in words else 1)
    plan = plan_plate(index, ["B02"], ["DNA"])
    assert (plan["problem"] != "").sum() == len(bad)


@pytest.mark.parametrize("value", ["", "nan", "NaN", "None"])
def test_an_address_that_is_nothing_is_a_missing_image(value: str) -> None:
    plan = plan_plate(parse(table([*GOOD[:23], ("B02", "24", value)])), ["B02"], ["DNA"])
    assert plan["problem"].tolist()[-1] == "load_data has no DNA image for this site"


@pytest.mark.parametrize("well", ["test", "", "ZZ99", "B77"])
def test_a_row_of_no_well_is_left_out_and_named(well: str, caplog: pytest.LogCaptureFixture) -> None:
    index = parse(table([*GOOD[:23], (well, "24", address("24"))]))
    assert len(index) == 23 and set(index["problem"]) == {""}
    assert f"1 rows are unusable, the first: line 25: {well!r}" in caplog.text


def test_a_line_with_another_number_of_cells_is_excluded(caplog: pytest.LogCaptureFixture) -> None:
    body = table(GOOD[:23]) + b"\nP1,B02,24\n"
    assert len(parse(body)) == 23
    assert "line 25: 3 fields for 4 columns" in caplog.text
    assert len(parse(table([*GOOD[:23], ("B02", "24", "#REF!")]))) == 23


def test_sites_are_numbers_however_they_are_written() -> None:
    index = parse(table([("b2", "1.0", address("1")), ("B002", "02", address("2"))]))
    assert index[["Metadata_Well", "Metadata_Site"]].to_numpy().tolist() == [["B02", "1"], ["B02", "2"]]


def test_packed_tables_and_other_delimiters_are_read() -> None:
    assert len(parse(gzip.compress(table(GOOD)))) == 24
    assert len(parse(table(GOOD).replace(b",", b";"))) == 24
    assert len(parse(table(GOOD, "metadata_plate,METADATA_WELL,Metadata_site,URL_OrigDNA"))) == 24


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (table([("A00", "1", address("1")), *GOOD]), r"line 2: 'A00' is no well.*columns counted from 0"),
        (
            table([(f"{r}{c:02d}", "1", address(f"{r}{c}")) for r in "ABCDEFGHIJ" for c in range(2, 26)]),
            "one column off",
        ),
        (
            table(GOOD, "Metadata_Plate,Metadata_CPD_WELL_POSITION,Metadata_Site,URL_OrigDNA"),
            "rename Metadata_CPD_WELL",
        ),
        (table([("B02", "x", address(str(n))) for n in range(4)]), r"4 of 4 rows are so"),
        (table([("B02", str(n), address("1")) for n in range(4)]), "one file is named for .*4 of 4 sites are so"),
    ],
)
def test_implausible_tables_are_refused(body: bytes, words: str) -> None:
    with pytest.raises(RefusedTableError, match=words):
        parse(body)


def test_a_few_wells_beyond_a_plate_of_384_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    wells = [(f"B{column:02d}", "1", address(str(column))) for column in range(1, 6)]
    index = parse(table([*wells, ("W41", "1", address("w"))]))
    assert len(index) == 5 and "'W41' is beyond P24" in caplog.text


def test_one_file_for_two_channels_is_refused(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data/cases/images/two_channels_one_file/bucket/my-bucket"
    options = S3Options(bucket="my-bucket", prefix="proj", folder=str(folder), disk_reserve_gb=0.1)
    with pytest.raises(DataError, match=r"one file is named for well .*AGP and for well .*Mito"):
        plan_download(connect(options), options, "src", "b1", "P1", ["B02"], ["DNA", "AGP", "Mito"])
    plan, _ = plan_download(connect(options), options, "src", "b1", "P1", ["B02"], ["DNA", "AGP"])
    assert set(fetch_plate(connect(options), plan, tmp_path, options)["status"]) == {"ok"}


@pytest.mark.parametrize("compression", ["lzw", None])
def test_the_same_picture_under_two_names_excludes_both_sites(tmp_path: Path, compression: str | None) -> None:
    bucket = make_bucket(tmp_path / "s3", "copies-bucket")
    bucket.path("A03", "2", "AGP").write_bytes(tiff(1000, compression=compression))
    bucket.path("A01", "1", "DNA").write_bytes(tiff(1000))
    record = fetch(bucket, "http://unused", tmp_path / "out", folder=str(bucket.folder))
    assert reason(record, "AGP", ("A03", "2")) == "is the same picture as well A01, site 1, DNA"
    assert reason(record, "DNA", ("A01", "1")) == "is the same picture as well A03, site 2, AGP"
    assert (record["status"] == "ok").sum() == 12
    assert len(pd.read_parquet(tmp_path / "out/sites.parquet")) == 4


def test_wells_one_column_off_are_refused(tmp_path: Path) -> None:
    sites = [(f"{row}{column:02d}", "1") for row in "BCD" for column in range(1, 5)]
    index = parse_load_data(
        Bucket(Path(), "my-bucket", sites).url_table(),
        S3Options(bucket="my-bucket"),
        SOURCE,
        BATCH,
        PLATE,
        "load_data.csv",
    )
    asked = [f"{row}{column:02d}" for row in "BCD" for column in range(2, 6)]
    with pytest.raises(DataError, match=r"lie one column before those requested \(B02 to D05, listed are B01 to D04\)"):
        plan_plate(index, asked, CHANNELS)
    assert len(plan_plate(index, [*asked, "B01"], ["DNA"])) == 13


def test_a_misnamed_illumination_function_falls_back_to_the_documented_place(tmp_path: Path) -> None:
    bucket = make_bucket(tmp_path, "function-bucket")
    wrong = bucket.illumination_key("DNA").replace("IllumDNA", "DNA_illumination")
    bucket.write_load_data(bucket.url_table().assign(URL_IllumDNA=bucket.url(wrong)))
    options = bucket.options("http://unused", folder=str(bucket.folder))
    plan, _ = plan_download(connect(options), options, SOURCE, BATCH, PLATE, bucket.wells, ["DNA"], illumination=True)
    assert plan["key"].iloc[-1] == bucket.illumination_key("DNA")


def test_one_function_named_for_two_channels_is_ignored(caplog: pytest.LogCaptureFixture) -> None:
    bucket = Bucket(Path(), "my-bucket", [("B02", "1")])
    both = bucket.url(bucket.illumination_key("AGP"))
    rows = bucket.url_table().assign(URL_IllumDNA=both, URL_IllumAGP=both)
    index = parse_load_data(rows, S3Options(bucket="my-bucket"), SOURCE, BATCH, PLATE, "load_data.csv")
    assert index["illum_key_DNA"][0] == bucket.illumination_key("DNA")
    assert index["illum_key_AGP"][0] == bucket.illumination_key("AGP")
    assert "is the illumination function of several channels" in caplog.text
