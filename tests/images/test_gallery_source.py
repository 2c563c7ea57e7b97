"""The real field through a local S3 server, illumination functions, digests, the preflight, and the server itself."""

import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from campfire.core.columns import CHANNELS as ALL_CHANNELS
from campfire.core.errors import DataError
from campfire.images.gallery import S3Options, check_source, fetch_plate, plan_download, read_index, render_check
from campfire.images.gallery.client import list_objects, read_object
from campfire.images.gallery.connect import connect
from campfire.images.gallery.verify import BadObjectError, check_function
from campfire.simulate import serve
from support.gallery_bucket import BATCH, CHANNELS, PLATE, SOURCE, Bucket, make_bucket

REAL = ("source_4", "2021_04_26_Batch1", "BR00117035")
SHEET_COLUMNS = ["Metadata_Source", "Metadata_Batch", "Metadata_Plate"]


def test_the_real_field_byte_for_byte(shared: Path, tmp_path: Path) -> None:
    mirror = shared / "data/images/s3_mirror"
    reference = next((shared / "data/images/reference").glob("*/gallery_counts_and_md5.json"))
    digests = json.loads(reference.read_text())["MD5Digest"]
    with serve(mirror) as url:
        options = S3Options(endpoint_url=url, disk_reserve_gb=0)
        client = connect(options)
        plan, summary = plan_download(client, options, *REAL, ["A01"], ALL_CHANNELS)
        record = fetch_plate(client, plan, tmp_path, options)
    assert summary["objects"] == 5 and summary["bytes"] == 11_818_982 and summary["whole_plate"]["objects"] == 8
    assert list(record["status"]) == ["ok"] * 5
    for row in record.to_dict("records"):
        assert row["md5"] == digests[f"Orig{row['channel']}"]
        body = (tmp_path / f"A01_s1_{row['channel']}.tiff").read_bytes()
        assert hashlib.md5(body).hexdigest() == row["md5"]
        assert len(body) == row["bytes"]
    sites = pd.read_parquet(tmp_path / "sites.parquet")
    assert list(sites.columns) == [
        *("Metadata_Plate", "Metadata_Well", "Metadata_Site"),
        *(f"path_{channel}" for channel in ALL_CHANNELS),
    ]


def test_digests_of_the_gallery_decide(tmp_path: Path) -> None:
    """Image.csv gives the MD5 of each TIFF; one altered since then is corrupt though it decodes."""
    bucket = make_bucket(tmp_path / "s3", "digest-bucket")
    for well, site in bucket.sites:
        row = {
            f"MD5Digest_Orig{channel}": hashlib.md5(bucket.path(well, site, channel).read_bytes()).hexdigest()
            for channel in CHANNELS
        }
        key = f"cpg0016-jump/{SOURCE}/workspace/analysis/{BATCH}/{PLATE}/analysis/{PLATE}-{well}-{site}/Image.csv"
        if (well, site) != ("A03", "2"):  # one site without a table
            bucket.put(key, pd.DataFrame([{"ImageNumber": 1, **row}]).to_csv(index=False).encode())
    bucket.path("A01", "2", "AGP").write_bytes(bucket.path("A03", "1", "AGP").read_bytes())
    with serve(tmp_path / "s3") as url:
        options = bucket.options(url, digests=True)
        client = connect(options)
        plan, _ = plan_download(client, options, SOURCE, BATCH, PLATE, bucket.wells, CHANNELS)
        assert (plan["md5"] != "").sum() == 15
        record = fetch_plate(client, plan, tmp_path / "out", options)
    bad = record[record["status"] == "corrupt"]
    assert list(bad["key"]) == [bucket.key("A01", "2", "AGP")]
    assert "is not the gallery's" in bad["reason"].iloc[0]
    assert (record["status"] == "ok").sum() == 15


def test_the_gallerys_digests_are_read_where_the_etag_is_no_md5(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = make_bucket(tmp_path, "parts-bucket", wells=2)
    in_parts = bucket.key("A02", "1", "DNA")
    listed = [(key, size, f"{etag}-2" if key == in_parts else etag) for key, size, etag in everything(bucket)]
    monkeypatch.setattr("campfire.images.gallery.plan.list_objects", lambda _client, _options, _prefix: iter(listed))
    asked = []

    def image_table(_client: object, _options: object, key: str) -> bytes:
        asked.append(key.rsplit("/", 2)[-2])
        return b"ImageNumber,MD5Digest_OrigDNA,MD5Digest_OrigAGP\n1,AB12,CD34\n"

    with serve(tmp_path) as url:
        options = bucket.options(url)
        index = read_index(connect(options), options, SOURCE, BATCH, PLATE)
        monkeypatch.setattr("campfire.images.gallery.plan.read_index", lambda *_: index)
        monkeypatch.setattr("campfire.images.gallery.plan.read_object", image_table)
        plan, _ = plan_download(connect(options), options, SOURCE, BATCH, PLATE, bucket.wells, CHANNELS)
    assert asked == [f"{PLATE}-A02-1"]
    assert dict(plan.loc[plan["md5"] != "", ["key", "md5"]].to_numpy()) == {in_parts: "ab12"}


def everything(bucket: Bucket) -> list[tuple[str, int, str]]:
    files = [path for path in bucket.folder.rglob("*") if path.is_file()]
    return [(path.relative_to(bucket.folder).as_posix(), path.stat().st_size, "0" * 32) for path in files]


def test_illumination_functions(tmp_path: Path) -> None:
    bucket = make_bucket(tmp_path / "s3", "illumination-bucket")
    with serve(tmp_path / "s3") as url:
        options = bucket.options(url)
        client = connect(options)
        plan, _ = plan_download(client, options, SOURCE, BATCH, PLATE, bucket.wells, ["DNA"], illumination=True)
        record = fetch_plate(client, plan, tmp_path / "out", options)
        assert len(record) == 7 and set(record["status"]) == {"ok"}
        stored = (bucket.folder / bucket.illumination_key("DNA")).read_bytes()
        assert (tmp_path / "out" / "illum_DNA.npy").read_bytes() == stored
        small = io.BytesIO()
        np.save(small, np.ones((24, 20), np.float32))
        (bucket.folder / bucket.illumination_key("DNA")).write_bytes(small.getvalue())
        plan, _ = plan_download(client, options, SOURCE, BATCH, PLATE, bucket.wells, ["DNA"], illumination=True)
        with pytest.raises(DataError, match=r"function of DNA is corrupt \(is 24x20 px, the images are 48x40\)"):
            fetch_plate(client, plan, tmp_path / "small", options)
        bucket.write_load_data(bucket.url_table().drop(columns=[f"URL_Illum{channel}" for channel in CHANNELS]))
        (bucket.folder / bucket.illumination_key("DNA")).write_bytes(stored)
        bare, _ = plan_download(client, options, SOURCE, BATCH, PLATE, bucket.wells, ["DNA"], illumination=True)
        fetch_plate(client, bare, tmp_path / "bare", options)
        assert (tmp_path / "bare" / "illum_DNA.npy").read_bytes() == stored
        (bucket.folder / bucket.illumination_key("DNA")).unlink()
    with serve(tmp_path / "s3") as url:
        options = bucket.options(url)
        client = connect(options)
        with pytest.raises(DataError, match="function of DNA is missing"):
            fetch_plate(client, plan, tmp_path / "gone", options)
        with pytest.raises(DataError, match=r"plate BR5867a3: the gallery has no illumination function for DNA"):
            plan_download(client, options, SOURCE, BATCH, PLATE, bucket.wells, ["DNA"], illumination=True)
    assert not (tmp_path / "gone" / "sites.parquet").exists()


@pytest.mark.parametrize(
    ("array", "why"),
    [
        (np.zeros((4, 4), np.float32), "not finite and above 0"),
        (np.full((4, 4), np.nan), "not finite and above 0"),
        (np.ones((4, 4, 2)), "not a 2-D array"),
        (np.ones((4, 4), int), "not a 2-D array"),
        (np.array([{"a": 1}], dtype=object), "not a readable"),
    ],
)
def test_invalid_illumination_functions_are_refused(array: np.ndarray, why: str) -> None:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    with pytest.raises(BadObjectError, match=why):
        check_function(buffer.getvalue())


def test_preflight_says_what_differs(tmp_path: Path) -> None:
    bucket = make_bucket(tmp_path, "preflight-bucket")
    sheet = pd.DataFrame(
        [(SOURCE, BATCH, PLATE), (SOURCE, BATCH, "another of the batch"), (SOURCE, "CP60", "BR5876c3")],
        columns=SHEET_COLUMNS,
    )
    with serve(tmp_path) as url:
        options = bucket.options(url)
        client = connect(options)
        good = check_source(client, options, sheet, CHANNELS, illumination=True, shape=(48, 40))
        bucket.write_load_data(bucket.url_table().assign(Metadata_ImageResolutionX="1.2e-06").iloc[:-1])
        (bucket.folder / bucket.illumination_key("AGP")).write_bytes(b"no array")
        poor = check_source(
            *(client, options, sheet.iloc[:1], ["AGP", "DNA", "RNA"]),
            illumination=True,
            shape=(1080, 1080),
            pixel_size_um=0.6,
        )
    assert list(good["Metadata_Plate"]) == [PLATE, "BR5876c3"]
    first = good.iloc[0]
    assert first["difference"] == "" and first["illumination"] == "yes"
    assert (first["wells"], first["sites"], first["sites_per_well"], first["first_site"]) == (3, 6, 2, "1")
    assert (first["shape"], first["dtype"], first["space_in_folder"]) == ("48x40", "uint16", "yes")
    assert "LZW" in first["compression"] and first["channels"] == "Mito, AGP, DNA"
    assert "no load_data" in good.iloc[1]["difference"]
    text = render_check(good)
    assert "1 of 2 plates are as expected." in text and "| BR5867a3 |" in text
    difference = poor.iloc[0]["difference"]
    for expected in ("no channel RNA", "1 wells have another number of sites", "1080x1080 were expected", "1.2 um"):
        assert expected in difference
    assert "illumination functions: not a readable .npy array" in difference


@pytest.mark.parametrize(
    ("wells", "words"),
    [
        (["A01", "A02"], ""),
        (["A01", "P24"], "load_data lacks 1 of the sheet's 2 wells: P24"),
        (["A02", "A03", "A04"], "the wells of load_data lie one column before those of the sheet"),
    ],
)
def test_preflight_compares_the_wells_of_the_sheet(tmp_path: Path, wells: list[str], words: str) -> None:
    bucket = make_bucket(tmp_path, "wells-bucket")
    options = bucket.options("http://unused", folder=str(bucket.folder))
    sheet = pd.DataFrame([(SOURCE, BATCH, PLATE)], columns=SHEET_COLUMNS)
    found = check_source(connect(options), options, sheet, CHANNELS, wells={PLATE: wells}).iloc[0]["difference"]
    assert words in found and bool(found) == bool(words)


def test_preflight_of_the_real_field(shared: Path) -> None:
    with serve(shared / "data/images/s3_mirror") as url:
        options = S3Options(endpoint_url=url)
        sheet = pd.DataFrame([REAL], columns=SHEET_COLUMNS)
        table = check_source(connect(options), options, sheet, ALL_CHANNELS, False, (1080, 1080), 0.597976)
    row = table.iloc[0]
    assert row["difference"] == "" and row["illumination"] == "missing"
    assert (row["shape"], row["compression"], row["style"], row["space_in_folder"]) == ("1080x1080", "LZW", "URL", "no")


# The server.


def test_server_hands_out_files_as_they_are_now(tmp_path: Path) -> None:
    folder = tmp_path / "a-bucket" / "with space & plus+"
    folder.mkdir(parents=True)
    (folder / "é.bin").write_bytes(b"first")
    for number in range(1100):
        (folder / f"{number:04d}").write_bytes(b"x")
    with serve(tmp_path) as url:
        options = S3Options(bucket="a-bucket", endpoint_url=url)
        client = connect(options)
        listed = list(list_objects(client, options, "with space"))
        assert len(listed) == 1101
        assert ("with space & plus+/é.bin", 5, hashlib.md5(b"first").hexdigest()) in listed
        assert read_object(client, options, "with space & plus+/é.bin") == b"first"
        (folder / "é.bin").write_bytes(b"second")
        assert read_object(client, options, "with space & plus+/é.bin") == b"second"
        part = client.get_object(Bucket="a-bucket", Key="with space & plus+/é.bin", Range="bytes=1-3")
        assert part["Body"].read() == b"eco"
    with serve(tmp_path) as url:  # the same bucket again, after the first server has stopped
        with pytest.raises(DataError, match="served already"), serve(tmp_path):
            pass
        options = S3Options(bucket="a-bucket", endpoint_url=url)
        assert len(list(list_objects(connect(options), options, "with space"))) == 1101


def test_server_refuses_what_it_cannot_serve(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"), serve(tmp_path / "none"):
        pass
    with pytest.raises(DataError, match="no bucket folder"), serve(tmp_path):
        pass


def test_server_command_line(tmp_path: Path) -> None:
    (tmp_path / "s3" / "a-bucket").mkdir(parents=True)
    (tmp_path / "s3" / "a-bucket" / "key").write_bytes(b"body")
    child = (
        "import os, sys, urllib.request as u;"
        "print(u.urlopen(os.environ['AWS_ENDPOINT_URL_S3'] + '/a-bucket/key').read()); sys.exit(7)"
    )
    command = [sys.executable, "-m", "campfire.simulate.server", str(tmp_path / "s3"), "--"]
    environment = {**os.environ, "http_proxy": "http://127.0.0.1:9"}  # must not stand between command and server
    done = subprocess.run([*command, sys.executable, "-c", child], capture_output=True, text=True, env=environment)
    assert done.returncode == 7, done.stderr
    assert "b'body'" in done.stdout and not done.stderr
    gone = subprocess.run([*command, "no-such-command"], capture_output=True, text=True)
    assert gone.returncode == 127 and "cannot run no-such-command" in gone.stderr


def test_credentials_and_profiles_are_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a-bucket").mkdir()
    (tmp_path / "a-bucket" / "key").write_bytes(b"body")
    import botocore.session

    def fail(self: object) -> None:
        raise AssertionError("asked for credentials")

    monkeypatch.setattr(botocore.session.Session, "get_credentials", fail)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with serve(tmp_path) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        options = S3Options(bucket="a-bucket")
        client = connect(options)
        sent: list[bool] = []
        client.meta.events.register(
            "before-send.s3", lambda request, **_: sent.append("Authorization" in request.headers)
        )
        assert read_object(client, options, "key") == b"body"
    assert sent == [False]
