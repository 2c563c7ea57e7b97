"""Faults of the network and of S3: they pass and leave no trace, or stay and fail the plate, never a site."""

import time
from pathlib import Path

import pytest

from campfire.core.errors import CampfireError, DataError
from campfire.images.gallery import fetch_plate, plan_download
from campfire.images.gallery.connect import connect
from campfire.images.gallery.pace import Pace
from support.gallery_bucket import BATCH, CHANNELS, PLATE, SOURCE, Bucket
from support.gallery_fetch import assert_holds, fetch, no_finished_or_partial_file
from support.gallery_proxy import Proxy, proxy_before


@pytest.mark.parametrize("kind", ["503", "500", "reset", "hang", "hang-body", "truncate", "empty", "wrong"])
def test_a_passing_fault_leaves_no_trace(intact: tuple[Bucket, str], proxy: Proxy, tmp_path: Path, kind: str) -> None:
    bucket, _ = intact
    match = "c02f01p01" if kind.startswith("hang") else ".tiff"  # a hang costs its time-out each time
    proxy.fault(kind, match, times=2)
    record = fetch(bucket, proxy.url, tmp_path)
    assert set(record["status"]) == {"ok"} and len(record) == 18
    assert len(proxy.gets(".tiff")) > 18
    assert_holds(bucket, tmp_path)


def test_wrong_bytes_without_an_etag_are_found_by_decoding(
    intact: tuple[Bucket, str], proxy: Proxy, tmp_path: Path
) -> None:
    bucket, _ = intact
    proxy.fault("no-etag-wrong", "ch1", times=1)
    options = bucket.options(proxy.url)
    client = connect(options)
    plan, _ = plan_download(client, options, SOURCE, BATCH, PLATE, bucket.wells, CHANNELS)
    compressed = [tiff_is_compressed(bucket.folder / key) for key in plan["key"]]
    record = fetch_plate(client, plan[compressed].reset_index(drop=True), tmp_path, options)
    assert set(record["status"]) == {"ok"}
    for row in record.to_dict("records"):
        name = f"{row['Metadata_Well']}_s{row['Metadata_Site']}_{row['channel']}.tiff"
        if (tmp_path / name).exists():
            assert (tmp_path / name).read_bytes() == (bucket.folder / row["key"]).read_bytes()


def tiff_is_compressed(path: Path) -> bool:
    import tifffile

    with tifffile.TiffFile(path) as handle:
        return handle.pages.first.compression != 1


def test_load_data_survives_faults(intact: tuple[Bucket, str], proxy: Proxy, tmp_path: Path) -> None:
    bucket, _ = intact
    for kind in ("500", "reset", "truncate", "empty", "wrong"):
        proxy.fault(kind, "load_data_with_illum.csv", times=1)
    fetch(bucket, proxy.url, tmp_path, attempts=6)
    assert_holds(bucket, tmp_path)
    assert len(proxy.gets("load_data_with_illum.csv")) == 6


def test_a_long_burst_of_slow_down_slows_the_download_for_a_while(
    intact: tuple[Bucket, str], proxy: Proxy, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="campfire")
    bucket, _ = intact
    proxy.fault("503", ".tiff", times=4)
    record = fetch(bucket, proxy.url, tmp_path, attempts=6, backoff_s=0.05)
    assert set(record["status"]) == {"ok"} and len(proxy.gets(".tiff")) == 18 * 5
    assert "S3 asks to slow down: 2 requests in flight" in caplog.text
    assert_holds(bucket, tmp_path)


def test_pace_halves_once_per_second_and_recovers(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    pace = Pace(16)
    assert pace.slow_down() and pace.limit == 8
    assert not pace.slow_down() and pace.limit == 8
    for _ in range(10):
        now[0] += 2
        pace.slow_down()
    assert pace.limit == 1
    with pace.turn():
        pass
    for _ in range(200):
        pace.succeeded()
    assert pace.limit == 16


# Faults that stay: the plate fails, and a later run goes on.


@pytest.mark.parametrize("kind", ["503", "500", "reset", "hang", "truncate"])
def test_a_lasting_fault_of_s3_fails_the_plate_and_excludes_nothing(
    intact: tuple[Bucket, str], proxy: Proxy, tmp_path: Path, kind: str
) -> None:
    bucket, url = intact
    proxy.fault(kind, "c02f01p01-ch3", times=None)
    with pytest.raises(
        DataError, match=rf"plate {PLATE}.*S3 did not deliver 1 or more of 18.*well A02, site 1, DNA.*run again"
    ):
        fetch(bucket, proxy.url, tmp_path, attempts=2)
    no_finished_or_partial_file(tmp_path)
    assert len(list(tmp_path.glob("*.tiff"))) == 17
    with proxy_before(url) as second:
        record = fetch(bucket, second.url, tmp_path)
        assert len(second.gets(".tiff")) == 1
    assert set(record["status"]) == {"ok"}
    assert_holds(bucket, tmp_path)


def test_losing_s3_mid_plate_ends_the_download_soon(intact: tuple[Bucket, str], proxy: Proxy, tmp_path: Path) -> None:
    bucket, _ = intact
    proxy.fault("reset", ".tiff", times=None)
    started = time.monotonic()
    with pytest.raises(DataError, match="S3 did not deliver"):
        fetch(bucket, proxy.url, tmp_path, workers=2, attempts=2)
    assert len(set(proxy.gets(".tiff"))) < 18
    assert time.monotonic() - started < 30


def test_refused_everywhere(intact: tuple[Bucket, str], proxy: Proxy, tmp_path: Path) -> None:
    bucket, _ = intact
    proxy.fault("403", "", times=None)
    with pytest.raises(DataError, match=rf"{PLATE}.*no usable load_data.*refused.*s3\.bucket"):
        fetch(bucket, proxy.url, tmp_path)
    assert not list(tmp_path.iterdir())


def test_host_name_that_does_not_resolve(intact: tuple[Bucket, str], tmp_path: Path) -> None:
    bucket, _ = intact
    with pytest.raises(DataError, match=r"no-such-host\.invalid.*check the network and s3\.endpoint_url"):
        fetch(bucket, "http://no-such-host.invalid:9", tmp_path, attempts=2)


def test_bucket_that_does_not_exist(intact: tuple[Bucket, str], tmp_path: Path) -> None:
    bucket, url = intact
    with pytest.raises(CampfireError, match=r"no-such-bucket.*check s3\.bucket"):
        fetch(bucket, url, tmp_path, bucket="no-such-bucket")


def test_one_object_always_empty_though_s3_lists_bytes(
    intact: tuple[Bucket, str], proxy: Proxy, tmp_path: Path
) -> None:
    bucket, _ = intact
    proxy.fault("empty", "c02f01p01-ch2", times=None)
    with pytest.raises(DataError, match=r"S3 did not deliver 1 .*empty object"):
        fetch(bucket, proxy.url, tmp_path)
