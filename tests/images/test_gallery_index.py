"""load_data in all its variants, the plan made from it, and what is refused."""

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from campfire.core.errors import CampfireError, ConfigError, DataError
from campfire.images.gallery import S3Options, parse_load_data, plan_plate, read_index, read_known_bad, summarise_plan
from campfire.images.gallery.addresses import RefusedTableError, location_key
from campfire.images.gallery.connect import connect
from campfire.images.gallery.index import LAYOUTS, read_text_table
from campfire.simulate import serve
from support.gallery_bucket import BATCH, CHANNELS, FOLDER, PLATE, ROOT, SOURCE, Bucket, make_bucket

NAME = "load_data_with_illum.csv"


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Bucket:
    return make_bucket(tmp_path_factory.mktemp("index"), "index-bucket")


@pytest.fixture
def options(bucket: Bucket) -> S3Options:
    return bucket.options("http://127.0.0.1:1")


def parse(table: pd.DataFrame, options: S3Options, channels: list[str] | None = None) -> pd.DataFrame:
    return parse_load_data(table, options, SOURCE, BATCH, PLATE, NAME, channels)


def assert_complete(index: pd.DataFrame, bucket: Bucket) -> None:
    assert list(zip(index["Metadata_Well"], index["Metadata_Site"], strict=True)) == bucket.sites
    assert set(index["Metadata_Plate"]) == {PLATE} and set(index["problem"]) == {""}
    for row in index.to_dict("records"):
        for channel in CHANNELS:
            assert row[f"key_{channel}"] == bucket.key(row["Metadata_Well"], row["Metadata_Site"], channel)
            assert row[f"illum_key_{channel}"] == bucket.illumination_key(channel)


def test_url_style(bucket: Bucket, options: S3Options) -> None:
    index = parse(bucket.url_table(), options)
    assert_complete(index, bucket)
    assert index.attrs["style"] == "URL"
    assert " " in index["key_DNA"][0]


def test_path_style_with_and_without_the_last_slash(bucket: Bucket, options: S3Options) -> None:
    index = parse(bucket.path_table(), options)
    assert_complete(index, bucket)
    assert index.attrs["style"] == "PathName"


def test_rows_and_columns_in_any_order(bucket: Bucket, options: S3Options) -> None:
    table = bucket.url_table().sample(frac=1, random_state=3)
    assert_complete(parse(table[sorted(table.columns)], options), bucket)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_variant_is_found_where_it_may_be(tmp_path: Path, layout: str) -> None:
    bucket = make_bucket(tmp_path, "layout-bucket", wells=1)
    (bucket.folder / bucket.load_data_key()).unlink()
    folder, _, _, name = layout.split("/")
    table = bucket.path_table() if "_orig" in folder else bucket.url_table()
    if name.endswith(".parquet"):
        table["Metadata_Site"] = table["Metadata_Site"].astype(float)  # a parquet keeps numbers as numbers
    bucket.write_load_data(table, name, folder)
    with serve(tmp_path) as url:
        options = bucket.options(url)
        index = read_index(connect(options), options, SOURCE, BATCH, PLATE)
    assert_complete(index, bucket)
    assert index.attrs["load_data"] == bucket.load_data_key(name, folder)


def test_variants_are_tried_in_order_and_refused_ones_skipped(tmp_path: Path) -> None:
    bucket = make_bucket(tmp_path, "order-bucket")
    foreign = bucket.url_table()
    foreign["URL_OrigDNA"] = "file:/home/ubuntu/local_input/r01c01.tiff"
    bucket.write_load_data(bucket.url_table(), "load_data.csv")
    bucket.write_load_data(bucket.path_table(), "load_data_with_illum.parquet", "load_data_csv_orig")
    with serve(tmp_path) as url:
        options = bucket.options(url)
        client = connect(options)
        assert read_index(client, options, SOURCE, BATCH, PLATE).attrs["load_data"].endswith("_with_illum.csv")
        bucket.write_load_data(foreign)
        assert read_index(client, options, SOURCE, BATCH, PLATE).attrs["load_data"].endswith("/load_data.csv")
        bucket.put(bucket.load_data_key("load_data.csv"), b"")
        assert read_index(client, options, SOURCE, BATCH, PLATE).attrs["load_data"].endswith(".parquet")
        bucket.put(bucket.load_data_key("load_data_with_illum.parquet", "load_data_csv_orig"), b"PAR1 cut")
        with pytest.raises(
            DataError, match=r"BR5867a3.*no usable load_data.*somebody's machine.*is empty.*not a readable"
        ):
            read_index(client, options, SOURCE, BATCH, PLATE)


def test_plate_without_load_data(bucket: Bucket) -> None:
    with serve(bucket.root) as url:
        options = bucket.options(url)
        with pytest.raises(
            DataError, match=r"plate NOPE: no load_data .*tried 10.*check source source_3 and batch CP59"
        ):
            read_index(connect(options), options, SOURCE, BATCH, "NOPE")


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("/home/ubuntu/bucket/projects/x.tiff", "somebody's machine"),
        ("file:/home/ubuntu/local_input/x.tiff", "somebody's machine"),
        ("ftp://host/x.tiff", "somebody's machine"),
        (f"s3://other-bucket/{ROOT}/images/{BATCH}/images/{FOLDER}/x.tiff", "not 'index-bucket'"),
        (f"s3://index-bucket/{ROOT}/images/{BATCH}/images/{FOLDER}/../../../secret", "not a plain key"),
        (f"s3://index-bucket//{ROOT}/x.tiff", "not a plain key"),
        (f"s3://index-bucket/{ROOT}/images/{BATCH}/images/{FOLDER}/a\\b.tiff", "not a plain key"),
        (f"s3://index-bucket/{ROOT}/images/{BATCH}/images/OTHER__2022/Images/x.tiff", "outside the plate's folder"),
        (f"s3://index-bucket/{ROOT}/images/{BATCH}/images/{PLATE}b__2022/Images/x.tiff", "outside the plate's folder"),
        (f"s3://index-bucket/{ROOT}/images/CP60/images/{FOLDER}/Images/x.tiff", "outside the plate's folder"),
        ("https://example.org/index-bucket/x.tiff", "not an address in S3"),
        ("https://index-bucket.s3.amazonaws.com.example.org/x.tiff", "not an address in S3"),
    ],
)
def test_addresses_that_must_not_be_followed(bucket: Bucket, options: S3Options, address: str, why: str) -> None:
    table = bucket.url_table()
    table.loc[3, "URL_OrigMito"] = address
    index = parse(table, options)
    assert index["key_Mito"][3] == "" and list(index.index[index["problem"] != ""]) == [3]
    assert re.search(rf"line 3: Mito: .*{re.escape(why)}", index["problem"][3])
    assert set(parse(table, options, ["DNA", "AGP"])["problem"]) == {""}
    table["URL_OrigMito"] = address
    with pytest.raises(RefusedTableError, match=rf"{NAME}, line 0: Mito: .*{re.escape(why)}.*6 of 6 rows are so"):
        parse(table, options)


def test_https_addresses_of_the_bucket(options: S3Options) -> None:
    key = f"{ROOT}/a b.tiff"
    for address in (
        f"s3://index-bucket/{key}",
        f"https://index-bucket.s3.amazonaws.com/{ROOT}/a%20b.tiff",
        f"https://index-bucket.s3.us-east-1.amazonaws.com/{ROOT}/a%20b.tiff",
        f"https://s3.amazonaws.com/index-bucket/{ROOT}/a%20b.tiff",
        f"https://s3.us-east-1.amazonaws.com/index-bucket/{ROOT}/a%20b.tiff",
    ):
        assert location_key(address, options, "here") == key


def test_repeated_rows_are_joined(bucket: Bucket, options: S3Options, caplog: pytest.LogCaptureFixture) -> None:
    table = pd.concat([bucket.url_table(), bucket.url_table().iloc[[1, 4]]])
    assert_complete(parse(table, options), bucket)
    assert "2 repeated rows" in caplog.text


def test_a_site_listed_with_two_images_is_not_used(bucket: Bucket, options: S3Options) -> None:
    table = pd.concat([bucket.url_table(), bucket.url_table().iloc[[1]]], ignore_index=True)
    table.loc[len(table) - 1, "URL_OrigDNA"] = bucket.url(bucket.key("A01", "9", "DNA"))
    index = parse(table, options)
    assert len(index) == 6
    assert list(index.index[index["problem"] != ""]) == [1]
    plan = plan_plate(index, bucket.wells, CHANNELS)
    assert list(plan.index[plan["problem"] != ""]) == [3, 4, 5]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda t: t.drop(columns=[c for c in t if c.startswith("URL_")]), "neither URL_Orig"),
        (lambda t: t.drop(columns="Metadata_Site"), "no column Metadata_Site"),
        (lambda t: t.assign(Metadata_Plate="BR1"), "is about plate BR1"),
        (lambda t: t.assign(Metadata_Well="../A01"), "no well name"),
        (lambda t: t.assign(Metadata_Site="1/../2"), "no site number"),
        (lambda t: t.iloc[:0], "no rows"),
    ],
)
def test_tables_that_cannot_be_used(
    bucket: Bucket, options: S3Options, change: Callable[[pd.DataFrame], pd.DataFrame], why: str
) -> None:
    with pytest.raises(RefusedTableError, match=why):
        parse(change(bucket.url_table()), options)


def test_rows_of_other_plates_are_left_out_and_wells_are_spelt_alike(bucket: Bucket, options: S3Options) -> None:
    table = bucket.url_table()
    table.loc[0, "Metadata_Plate"] = "BR1"
    table["Metadata_Well"] = [re.sub("0(?=.$)", "", well) for well in table["Metadata_Well"]]
    index = parse(table, options)
    assert list(index["Metadata_Well"]) == ["A01", "A02", "A02", "A03", "A03"]


def test_all_columns_are_text() -> None:
    body = b"Metadata_Plate,Metadata_Well,Metadata_Site\n00117035,A01,01\nNA,A02,2\n"
    table = read_text_table(body, "load_data.csv")
    assert table.to_numpy().tolist() == [["00117035", "A01", "01"], ["NA", "A02", "2"]]


def test_the_real_table(shared: Path) -> None:
    key = "cpg0016-jump/source_4/workspace/load_data_csv/2021_04_26_Batch1/BR00117035/load_data_with_illum.csv"
    path = shared / "data/images/s3_mirror/cellpainting-gallery" / key
    table = read_text_table(path.read_bytes(), key)
    index = parse_load_data(table, S3Options(), "source_4", "2021_04_26_Batch1", "BR00117035", key)
    assert index.loc[0, ["Metadata_Well", "Metadata_Site"]].tolist() == ["A01", "1"]
    numbers = {name: index[f"key_{name}"][0][-15] for name in ["DNA", "AGP", "Mito", "ER", "RNA", "Brightfield"]}
    assert numbers == {"DNA": "5", "AGP": "2", "Mito": "1", "ER": "4", "RNA": "3", "Brightfield": "8"}
    assert index["illum_key_DNA"][0].endswith("BR00117035_IllumDNA.npy")


# The plan.


def test_the_plan_has_only_requested_objects(bucket: Bucket, options: S3Options) -> None:
    index = parse(bucket.url_table(), options)
    sizes = {bucket.key(w, s, c): bucket.path(w, s, c).stat().st_size for w, s in bucket.sites for c in CHANNELS}
    sizes |= {bucket.illumination_key(channel): 7808 for channel in CHANNELS}
    plan = plan_plate(index, ["A03", "A01", "A01"], ["Mito", "DNA"], illumination=True, sizes=sizes)
    images = plan[plan["Metadata_Site"] != ""]
    assert list(images["channel"]) == ["Mito", "DNA"] * 4 and set(images["Metadata_Well"]) == {"A01", "A03"}
    assert list(plan["bytes"]) == [sizes[key] for key in plan["key"]]
    assert list(plan["key"][-2:]) == [bucket.illumination_key("Mito"), bucket.illumination_key("DNA")]
    summary = summarise_plan(plan, index, sizes)
    assert summary["objects"] == 10 and summary["sites"] == 4 and summary["wells"] == 2
    assert summary["channels"]["DNA"]["objects"] == 5 and summary["objects_of_unknown_size"] == 0
    assert summary["whole_plate"] == {"objects": 18, "bytes": sum(sizes.values()) - 3 * 7808}


def test_plan_keeps_sites_in_the_order_of_their_numbers(options: S3Options) -> None:
    bucket = Bucket(Path(), "index-bucket", [("A01", str(site)) for site in (10, 2, 1)])
    assert list(parse(bucket.url_table(), options)["Metadata_Site"]) == ["1", "2", "10"]


def test_plan_refusals(bucket: Bucket, options: S3Options) -> None:
    index = parse(bucket.url_table(), options)
    with pytest.raises(DataError, match=rf"plate {PLATE}: {NAME} has no channel RNA; it has Mito, AGP, DNA"):
        plan_plate(index, ["A01"], ["DNA", "RNA"])
    with pytest.raises(DataError, match="none of the 1 requested wells"):
        plan_plate(index, ["P24"], ["DNA"])
    with pytest.raises(ConfigError, match="nothing to fetch"):
        plan_plate(index, [], ["DNA"])
    with pytest.raises(DataError, match=r"no illumination function for DNA \(.*_IllumDNA\.npy\); set illumination to"):
        plan_plate(index, ["A01"], ["DNA"], illumination=True, sizes={bucket.key("A01", "1", "DNA"): 5})
    two = bucket.url_table()
    two.loc[0, "URL_IllumDNA"] = bucket.url(bucket.illumination_key("RNA"))
    with pytest.raises(DataError, match=f"{NAME} names 2 different illumination functions for DNA"):
        plan_plate(parse(two, options), ["A01"], ["DNA"], illumination=True)
    assert len(plan_plate(parse(two, options), ["A01"], ["DNA"])) == 2


@pytest.mark.parametrize("value", [None, "", "/home/ubuntu/local_input/BR5867a3_IllumDNA.npy", "s3://other/x.npy"])
def test_an_unnamed_illumination_function_has_its_documented_key(
    bucket: Bucket, options: S3Options, value: str | None
) -> None:
    table = bucket.url_table().drop(columns="URL_IllumDNA")
    index = parse(table if value is None else table.assign(URL_IllumDNA=value), options)
    assert_complete(index, bucket)
    plan = plan_plate(index, ["A01"], ["DNA"], illumination=True)
    assert plan["key"].iloc[-1] == f"{ROOT}/images/{BATCH}/illum/{PLATE}/{PLATE}_IllumDNA.npy"


def test_an_illumination_function_named_at_some_sites_serves_all(bucket: Bucket, options: S3Options) -> None:
    table = bucket.url_table()
    other = bucket.illumination_key("DNA").replace("IllumDNA", "IllumDNA_v2")
    table["URL_IllumDNA"] = [bucket.url(other) if number == 3 else "" for number in range(len(table))]
    assert set(parse(table, options)["illum_key_DNA"]) == {other}


def test_known_bad_list_of_the_project(repository: Path) -> None:
    listed = read_known_bad(repository / "config" / "known_bad.tsv")
    key = "BR5876c3__2022-04-29T20_47_20-Measurement 1/Images/r11c22f08p01-ch3sk1fk1fl1.tiff"
    assert listed and all(listed.values())
    assert f"cpg0016-jump/source_3/images/CP60/images/{key}" in listed


def test_known_bad_list_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.tsv: no such list of known bad objects"):
        read_known_bad(tmp_path / "none.tsv")
    (tmp_path / "bad.tsv").write_text("name,why\nx,y\n")
    with pytest.raises(ConfigError, match=r"bad\.tsv, line 1: no column key, reason"):
        read_known_bad(tmp_path / "bad.tsv")


def test_invalid_options_are_refused() -> None:
    for wrong in (
        {"workers": 0},
        {"max_bad_share": 1.5},
        {"endpoint_url": "localhost:9"},
        {"read_timeout_s": 0.0},
        {"bucket": ""},
    ):
        with pytest.raises(CampfireError, match=next(iter(wrong))):
            S3Options(**wrong)  # type: ignore[arg-type]
