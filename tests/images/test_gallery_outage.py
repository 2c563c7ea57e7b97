"""Throttling for minutes and a network that stalls for an hour: the download waits, within bounds, and says so."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from campfire.core.errors import DataError
from campfire.images.gallery import fetch_plate, outage, plan_download
from campfire.images.gallery.client import list_objects
from campfire.images.gallery.connect import connect
from support.gallery_bucket import BATCH, CHANNELS, PLATE, ROOT, SOURCE, Bucket
from support.gallery_fetch import assert_holds, fetch, no_finished_or_partial_file
from support.gallery_proxy import Proxy

HOUR = 3600.0


class Clock:
    """Stands for `time` in the waiting: a pause passes at once and may mend the network."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self.mend_at: tuple[float, Callable[[], object]] = (float("inf"), lambda: None)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.pauses.append(seconds)
        if self.now >= self.mend_at[0]:
            self.mend_at[1]()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(outage, "time", clock)
    return clock


@pytest.mark.parametrize(
    ("kind", "lasts"), [("503", 300.0), ("hang", HOUR), ("reset", HOUR)], ids=["503 for 5 min", "stalled", "cut off"]
)
def test_an_outage_is_waited_for(
    intact: tuple[Bucket, str], proxy: Proxy, tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture,
    kind: str, lasts: float,
) -> None:  # fmt: skip
    caplog.set_level("INFO", logger="campfire")
    bucket, _ = intact
    options = bucket.options(proxy.url, read_timeout_s=10)
    plan, _ = plan_download(connect(options), options, SOURCE, BATCH, PLATE, bucket.wells, CHANNELS)
    proxy.fault(kind, ".tiff", times=None)
    clock.mend_at = (lasts, proxy.faults.clear)
    options = options.changed(attempts=2, workers=4, read_timeout_s=0.2, patience_s=2 * HOUR)
    record = fetch_plate(connect(options), plan, tmp_path, options)
    assert set(record["status"]) == {"ok"}
    assert_holds(bucket, tmp_path)
    assert len(clock.pauses) == lasts / 60, "one request a minute"
    asked = len(proxy.gets(".tiff"))
    assert asked < 3 * 18 + 2 * 18 + len(clock.pauses) + 2, f"{asked} requests for 18 objects"
    lines = [record.message for record in caplog.records if "delivers nothing" in record.message]
    assert 1 <= len(lines) <= 1 + lasts / 600 and "for up to 2 h 00 min more (s3.patience_s)" in lines[0]
    assert "delivers again after" in caplog.text


@pytest.mark.slow
def test_two_minutes_of_503_by_the_real_clock(
    intact: tuple[Bucket, str], proxy: Proxy, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The same without a clock that stands in: every image request is refused for 130 s."""
    caplog.set_level("INFO", logger="campfire")
    bucket, _ = intact
    options = bucket.options(proxy.url, read_timeout_s=10)
    plan, _ = plan_download(connect(options), options, SOURCE, BATCH, PLATE, bucket.wells, CHANNELS)
    proxy.fault("503", ".tiff", times=None)
    mend = threading.Timer(130, proxy.faults.clear)
    mend.start()
    try:
        options = options.changed(attempts=2, workers=4, patience_s=HOUR)
        record = fetch_plate(connect(options), plan, tmp_path, options)
    finally:
        mend.cancel()
    assert set(record["status"]) == {"ok"}
    assert_holds(bucket, tmp_path)
    assert "S3 delivers nothing" in caplog.text and "delivers again after" in caplog.text


def test_patience_ends(intact: tuple[Bucket, str], proxy: Proxy, tmp_path: Path, clock: Clock) -> None:
    bucket, _ = intact
    proxy.fault("reset", ".tiff", times=None)
    with pytest.raises(
        DataError, match=r"plate .*S3 did not deliver .*and 1 h 00 min of waiting.*0 verified .*run again"
    ):
        fetch(bucket, proxy.url, tmp_path, attempts=2, workers=4, patience_s=HOUR)
    assert sum(clock.pauses) == HOUR
    no_finished_or_partial_file(tmp_path)


def test_one_object_that_never_comes_is_no_outage(
    intact: tuple[Bucket, str], proxy: Proxy, tmp_path: Path, clock: Clock
) -> None:
    bucket, _ = intact
    proxy.fault("500", "c02f01p01-ch3", times=None)
    with pytest.raises(DataError, match="S3 did not deliver 1 or more of 18"):
        fetch(bucket, proxy.url, tmp_path, attempts=2, read_timeout_s=10, patience_s=HOUR)
    assert not clock.pauses and len(list(tmp_path.glob("*.tiff"))) == 17


def test_a_listing_is_waited_for(intact: tuple[Bucket, str], proxy: Proxy, clock: Clock) -> None:
    bucket, _ = intact
    proxy.fault("503", "", times=None)
    clock.mend_at = (600.0, proxy.faults.clear)
    options = bucket.options(proxy.url, attempts=2, read_timeout_s=10, patience_s=HOUR)
    assert list(list_objects(connect(options), options, f"{ROOT}/workspace"))
    assert len(clock.pauses) == 10
