"""Servers that are not quite S3, and what of the user's surroundings an unsigned reader uses."""

import logging
import time
from pathlib import Path

import pandas as pd
import pytest

from campfire.core.errors import CampfireError, ConfigError, DataError
from campfire.images.gallery import fetch_plate, plan_download
from campfire.images.gallery.client import list_objects, read_object
from campfire.images.gallery.connect import connect
from campfire.images.gallery.faults import ListingError
from support.gallery_bucket import BATCH, CHANNELS, PLATE, SOURCE, Bucket, make_bucket, tiff
from support.gallery_fetch import assert_holds, fetch
from support.odd_s3 import odd_server


@pytest.fixture
def bucket(tmp_path: Path) -> Bucket:
    return make_bucket(tmp_path / "s3", "odd-bucket")


def planned(bucket: Bucket, url: str, **changes: object) -> pd.DataFrame:
    options = bucket.options(url, **changes)
    plan, _ = plan_download(connect(options), options, SOURCE, BATCH, PLATE, bucket.wells, CHANNELS)
    return plan


@pytest.mark.parametrize(
    ("quirks", "sizes"),
    [
        (("ignores token",), False),
        (("ignores token", "no token"), False),
        (("empty pages",), False),
        (("plus",), True),
        (("no sizes",), False),
        (("no token",), True),
    ],
)
def test_odd_listings_end_and_the_plate_is_fetched(
    bucket: Bucket, tmp_path: Path, caplog: pytest.LogCaptureFixture, quirks: tuple[str, ...], sizes: bool
) -> None:
    with odd_server(bucket.folder, *quirks, page=4) as server:
        options = bucket.options(server.url)
        plan, _ = plan_download(connect(options), options, SOURCE, BATCH, PLATE, bucket.wells, CHANNELS)
        assert (plan["bytes"] > 0).all() if sizes else (plan["bytes"] == -1).all()
        assert len(server.requests) < 20
        fetch_plate(connect(options), plan, tmp_path / "out", options)
    assert_holds(bucket, tmp_path / "out")
    assert ("sizes stay unknown" in caplog.text) == (not sizes and quirks != ("no sizes",))


def test_a_listing_that_repeats_itself_names_the_server(bucket: Bucket) -> None:
    with odd_server(bucket.folder, "ignores token", page=2) as server:
        options = bucket.options(server.url)
        with pytest.raises(ListingError, match=rf"{server.url}.* sends the same page of its listing again"):
            list(list_objects(connect(options), options, "cpg0016-jump/"))


@pytest.mark.parametrize(
    ("quirk", "words"),
    [
        ("moved", r"the bucket is in us-west-2: set s3.region: us-west-2"),
        ("other region", r"the bucket is in us-west-2: set s3.region: us-west-2"),
        ("bad request", r"S3 answers InvalidRequest .*check s3.bucket, s3.prefix, s3.region"),
        ("clock", r"the clock of this machine is wrong"),
        ("web page", r"a web page answers instead of S3.*open http://127"),
        ("etag", r"came twice with the same bytes.*set s3.check_etag: false"),
    ],
)
def test_permanent_errors_are_not_retried(bucket: Bucket, quirk: str, words: str) -> None:
    with odd_server(bucket.folder, quirk) as server:
        started = time.monotonic()
        with pytest.raises(CampfireError, match=words):
            planned(bucket, server.url, attempts=8, backoff_s=0.2)
        assert len(server.requests) <= 4
    assert time.monotonic() - started < 5


def test_etags_that_are_not_md5s_are_ignored_on_request(bucket: Bucket, tmp_path: Path) -> None:
    with odd_server(bucket.folder, "etag") as server:
        fetch(bucket, server.url, tmp_path / "out", check_etag=False)
    assert_holds(bucket, tmp_path / "out")


def test_compressed_responses_are_unpacked(bucket: Bucket, tmp_path: Path) -> None:
    with odd_server(bucket.folder, "gzip") as server:
        fetch(bucket, server.url, tmp_path / "out")
    assert_holds(bucket, tmp_path / "out")


@pytest.mark.parametrize("name", ["s3://my-bucket", "my bucket", "my-bucket/folder", "x", "arn:aws:s3:::my-bucket"])
def test_invalid_bucket_names_are_reported_at_once(bucket: Bucket, name: str) -> None:
    with pytest.raises(ConfigError, match=r"s3.bucket.*no name of a bucket"):
        bucket.options("http://127.0.0.1:1", bucket=name)


# Current with its source.


def test_an_object_that_changed_since_it_was_fetched_is_fetched_again(bucket: Bucket, tmp_path: Path) -> None:
    path = bucket.path("A02", "1", "AGP")
    with odd_server(bucket.folder) as server:
        fetch(bucket, server.url, tmp_path / "out")
        (tmp_path / "out/sites.parquet").unlink()
        path.write_bytes(tiff(999, compression=None))
        server.requests.clear()
        fetch(bucket, server.url, tmp_path / "out")
        assert [request for request in server.requests if request.endswith(".tiff")] == [
            request for request in server.requests if "c02f01p01-ch1" in request
        ]
    assert_holds(bucket, tmp_path / "out")


def test_an_object_that_changes_while_it_is_fetched_fails(bucket: Bucket, tmp_path: Path) -> None:
    with odd_server(bucket.folder) as server:
        plan = planned(bucket, server.url)
        bucket.path("A02", "1", "AGP").write_bytes(tiff(999, compression=None))
        options = bucket.options(server.url)
        with pytest.raises(DataError, match=r"well A02, site 1, AGP: .* changed after it was listed.*run again"):
            fetch_plate(connect(options), plan, tmp_path / "out", options)
    assert not (tmp_path / "out/sites.parquet").exists()


def test_a_file_of_a_folder_that_changed_is_read_again(bucket: Bucket, tmp_path: Path) -> None:
    fetch(bucket, "http://unused", tmp_path / "out", folder=str(bucket.folder))
    bucket.path("A02", "1", "AGP").write_bytes(tiff(999, compression=None))
    fetch(bucket, "http://unused", tmp_path / "out", folder=str(bucket.folder))
    assert_holds(bucket, tmp_path / "out")


# The user's surroundings.


def test_none_of_the_users_aws_files_is_read(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "config"
    for text in ("[default\nregion", "[default]\nendpoint_url = http://127.0.0.1:9\nsso_session = gone\n"):
        broken.write_text(text)
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            monkeypatch.setenv(name, str(broken))
        monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
        with odd_server(bucket.folder) as server, caplog.at_level(logging.INFO):
            monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
            options = bucket.options("http://unused").model_copy(update={"endpoint_url": None})
            assert read_object(connect(options), options, bucket.load_data_key())
            assert f"using S3 at {server.url}, set in the environment (AWS_ENDPOINT_URL_S3" in caplog.text


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("HTTPS_PROXY", "socks5://proxy:1080", r"HTTPS_PROXY is .*must be http://host:port"),
        ("HTTPS_PROXY", "http://", r"HTTPS_PROXY is .*must be http://host:port"),
        ("AWS_CA_BUNDLE", "/no/such/bundle.pem", r"AWS_CA_BUNDLE is '/no/such/bundle.pem', but there is no"),
        ("AWS_CA_BUNDLE", "", r"AWS_CA_BUNDLE"),
        ("REQUESTS_CA_BUNDLE", "/no/such/bundle.pem", r"REQUESTS_CA_BUNDLE is"),
        ("AWS_ENDPOINT_URL", "minio:9000", r"AWS_ENDPOINT_URL_S3 is 'minio:9000'; it must start with http"),
    ],
)
def test_variables_that_cannot_work_are_named_before_the_first_request(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    for other in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "https_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=words):
        connect(bucket.options("http://unused").model_copy(update={"endpoint_url": None}))
