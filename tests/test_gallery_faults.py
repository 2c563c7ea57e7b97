"""Every fault of a download, each made between boto3 and a local S3 server: the right images or the right message."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from gallery_bucket import BATCH, CHANNELS, PLATE, SOURCE, Bucket, make_bucket, tiff
from gallery_proxy import Proxy, proxy_before

from campfire.errors import CampfireError, DataError
from campfire.files import atomic_path
from campfire.gallery import S3Options, connect, fetch_plate, plan_download, read_known_bad, transfer
from campfire.gallery.retry import Backoff, Pace, StoppedError
from campfire.simulate import serve

ODD = ("A02", "1")
"""The site that the faults of one site are made at."""

Fetch = Callable[..., pd.DataFrame]


@contextmanager
def served(bucket: Bucket) -> Iterator[Proxy]:
    with serve(bucket.root) as url, proxy_before(url) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Bucket, str]]:
    """A bucket nobody alters, served once; faults come from each test's own proxy."""
    bucket = make_bucket(tmp_path_factory.mktemp("intact"), "intact-bucket")
    with serve(bucket.root) as url:
        yield bucket, url


@pytest.fixture
def proxy(intact: tuple[Bucket, str]) -> Iterator[Proxy]:
    with proxy_before(intact[1]) as proxy:
        yield proxy


def fetch(
    screen: Bucket, url: str, destination: Path, known_bad: dict[str, str] | None = None, **changes: object
) -> pd.DataFrame:
    options = screen.options(url, **changes)
    client = connect(options)
    plan, _ = plan_download(client, options, SOURCE, BATCH, PLATE, screen.wells, CHANNELS)
    return fetch_plate(client, plan, destination, options, known_bad)


def assert_holds(bucket: Bucket, destination: Path, without: tuple[tuple[str, str], ...] = ()) -> None:
    """The folder holds exactly the images of all sites but `without`, byte for byte, and a table of them."""
    sites = [site for site in bucket.sites if site not in without]
    table = pd.read_parquet(destination / "sites.parquet")
    assert list(zip(table["Metadata_Well"], table["Metadata_Site"], strict=True)) == sites
    names = set()
    for row in table.to_dict("records"):
        for channel in CHANNELS:
            name = row[f"path_{channel}"]
            names.add(name)
            expected = bucket.path(row["Metadata_Well"], row["Metadata_Site"], channel).read_bytes()
            assert (destination / name).read_bytes() == expected
    assert len(names) == len(sites) * len(CHANNELS)
    assert set(os.listdir(destination)) == names | {"sites.parquet", ".verified.jsonl"}


def statuses(record: pd.DataFrame, site: tuple[str, str] = ODD) -> dict[str, str]:
    rows = record[(record["Metadata_Well"] == site[0]) & (record["Metadata_Site"] == site[1])]
    return dict(zip(rows["channel"], rows["status"], strict=True))


def reason(record: pd.DataFrame, channel: str, site: tuple[str, str] = ODD) -> str:
    rows = record[(record["Metadata_Well"] == site[0]) & (record["Metadata_Site"] == site[1])]
    return str(rows.set_index("channel")["reason"][channel])


def no_finished_or_partial_file(destination: Path) -> None:
    assert not (destination / "sites.parquet").exists()
    assert not list(destination.glob("*.partial*")) and not list(destination.glob(".*.partial*"))


# Faults that pass: the download ends as if nothing had been.


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


def test_pauses_grow_and_end_when_told_to_stop() -> None:
    stop = threading.Event()
    backoff = Backoff(S3Options(attempts=3, backoff_s=0.01), stop)
    started = time.monotonic()
    backoff.wait()
    assert time.monotonic() - started >= 0.005 and not backoff.spent
    backoff.wait()
    assert backoff.spent
    stop.set()
    with pytest.raises(StoppedError):
        Backoff(S3Options(backoff_s=60), stop).wait()


# Faults that stay, at S3 as a whole: the plate fails, and a later run goes on.


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


def test_s3_gone_in_mid_plate_ends_soon(intact: tuple[Bucket, str], proxy: Proxy, tmp_path: Path) -> None:
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


# Faults of one site: recorded with a reason, the site is left out as a whole.


@pytest.mark.parametrize(("kind", "why"), [("404", "no such object"), ("403", "refused")])
def test_one_object_missing(intact: tuple[Bucket, str], proxy: Proxy, tmp_path: Path, kind: str, why: str) -> None:
    bucket, _ = intact
    proxy.fault(kind, "c02f01p01-ch1", times=None)
    record = fetch(bucket, proxy.url, tmp_path)
    assert statuses(record) == {"DNA": "excluded", "AGP": "missing", "Mito": "excluded"}
    assert why in reason(record, "AGP")
    assert (record["status"] == "ok").sum() == 15
    assert_holds(bucket, tmp_path, (ODD,))


def _corrupt(body: bytes) -> bytes:
    middle = len(body) // 2
    return body[:middle] + np.random.default_rng(0).bytes(200) + body[middle + 200 :]


def _stack(body: bytes) -> bytes:
    import io

    import tifffile

    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.stack([tifffile.imread(io.BytesIO(body))] * 2))
    return buffer.getvalue()


def _eight_bit(body: bytes) -> bytes:
    import io

    import tifffile

    buffer = io.BytesIO()
    tifffile.imwrite(buffer, (tifffile.imread(io.BytesIO(body)) // 8).astype(np.uint8))
    return buffer.getvalue()


def _flat(_body: bytes) -> bytes:
    import io

    import tifffile

    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.full((48, 40), 7, np.uint16))
    return buffer.getvalue()


def _half_zero(_body: bytes) -> bytes:
    plain = tiff(5, compression=None)
    return plain[: len(plain) - 1500] + bytes(1500)


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (_corrupt, "not a readable TIFF"),
        (lambda body: bytes(len(body)), "zero-filled"),
        (_half_zero, "zero-filled"),
        (lambda _body: b"", "empty object"),
        (lambda body: body[: len(body) // 2], "TIFF"),
        (lambda _body: tiff(1, (24, 40)), "is 24x40 px, the plate's images are 48x40"),
        (_flat, "constant image: every pixel is 7"),
        (_stack, "not one 2-D image"),
        (_eight_bit, "uint8, not uint16"),
    ],
)
def test_one_object_is_bad_at_the_source(tmp_path: Path, damage: Callable[[bytes], bytes], why: str) -> None:
    bucket = make_bucket(tmp_path / "s3", "damaged-bucket")
    path = bucket.path(*ODD, "Mito")
    path.write_bytes(damage(path.read_bytes()))
    with served(bucket) as proxy:
        record = fetch(bucket, proxy.url, tmp_path / "out")
        tries = len(proxy.gets(path.name))
    assert statuses(record) == {"DNA": "excluded", "AGP": "excluded", "Mito": "corrupt"}
    assert why in reason(record, "Mito")
    assert tries == 1 or why == "empty object"
    assert_holds(bucket, tmp_path / "out", (ODD,))


def test_bytes_that_never_match_their_etag_are_corrupt(
    intact: tuple[Bucket, str], proxy: Proxy, tmp_path: Path
) -> None:
    bucket, _ = intact
    proxy.fault("wrong", "c02f01p01-ch2", times=None)
    record = fetch(bucket, proxy.url, tmp_path)
    assert statuses(record)["Mito"] == "corrupt" and "ETag" in reason(record, "Mito")
    assert len(proxy.gets("c02f01p01-ch2sk1fk1fl1.tiff")) == 4
    assert_holds(bucket, tmp_path, (ODD,))


def test_one_object_always_empty_though_s3_lists_bytes(
    intact: tuple[Bucket, str], proxy: Proxy, tmp_path: Path
) -> None:
    bucket, _ = intact
    proxy.fault("empty", "c02f01p01-ch2", times=None)
    with pytest.raises(DataError, match=r"S3 did not deliver 1 .*empty object"):
        fetch(bucket, proxy.url, tmp_path)


def test_a_channel_missing_at_one_site(tmp_path: Path) -> None:
    bucket = make_bucket(tmp_path / "s3", "gap-bucket")
    table = bucket.url_table()
    table.loc[table["Metadata_Well"].eq(ODD[0]) & table["Metadata_Site"].eq(ODD[1]), "URL_OrigMito"] = ""
    bucket.write_load_data(table)
    with served(bucket) as proxy:
        record = fetch(bucket, proxy.url, tmp_path / "out")
        assert len(proxy.gets(".tiff")) == 15
    assert statuses(record) == {"DNA": "excluded", "AGP": "excluded", "Mito": "missing"}
    assert "no Mito image" in reason(record, "Mito")
    assert_holds(bucket, tmp_path / "out", (ODD,))


def test_known_bad_objects_are_not_asked_for(intact: tuple[Bucket, str], proxy: Proxy, tmp_path: Path) -> None:
    bucket, _ = intact
    listing = tmp_path / "known_bad.tsv"
    listing.write_text(f"# found before\nkey\treason\n{bucket.key(*ODD, 'AGP')}\tcorrupt, issue #76\n")
    record = fetch(bucket, proxy.url, tmp_path / "out", read_known_bad(listing), max_bad_share=0.0)
    assert set(statuses(record).values()) == {"excluded"}
    assert reason(record, "AGP") == "known bad: corrupt, issue #76"
    assert not proxy.gets("c02f01p01-ch3sk1fk1fl1.tiff")
    assert_holds(bucket, tmp_path / "out", (ODD,))


# Too much is bad.


def test_too_many_bad_sites_fail_the_plate_with_the_list(
    intact: tuple[Bucket, str], proxy: Proxy, tmp_path: Path
) -> None:
    bucket, url = intact
    proxy.fault("404", "c02f0", times=None)
    with pytest.raises(DataError, match=r"2 of 6 sites are missing or corrupt.*0\.2 allows.*A02 site 1 DNA missing"):
        fetch(bucket, proxy.url, tmp_path, max_bad_share=0.2)
    assert not (tmp_path / "sites.parquet").exists()
    listed = pd.read_csv(tmp_path / "problems.tsv", sep="\t", dtype=str)
    assert len(listed) == 6 and set(listed["Metadata_Well"]) == {"A02"}
    assert set(fetch(bucket, url, tmp_path, max_bad_share=0.2)["status"]) == {"ok"}
    assert_holds(bucket, tmp_path)


def test_wells_that_load_data_lacks_count_as_bad(tmp_path: Path) -> None:
    bucket = make_bucket(tmp_path / "s3", "partial-bucket")
    bucket.write_load_data(bucket.url_table().query("Metadata_Well != 'A03'"))
    with served(bucket) as proxy:
        with pytest.raises(DataError, match=r"2 of 6 sites.*A03 site all  ?missing \(load_data has no row"):
            fetch(bucket, proxy.url, tmp_path / "out", max_bad_share=0.2)
        record = fetch(bucket, proxy.url, tmp_path / "out", max_bad_share=0.4)
    assert statuses(record, ("A03", "")) == {"": "missing"}
    assert_holds(bucket, tmp_path / "out", (("A03", "1"), ("A03", "2")))


# The machine: disk and kill.


def test_disk_too_small_is_said_before_fetching(
    intact: tuple[Bucket, str], proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket, _ = intact
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(10**9, 10**9 - 1000, 1000))  # type: ignore[attr-defined]
    with pytest.raises(DataError, match=rf"plate {PLATE}.*still to come.*has 1\.0 kB.*make room"):
        fetch(bucket, proxy.url, tmp_path)
    assert not proxy.gets(".tiff")


def test_disk_full_while_writing(intact: tuple[Bucket, str], proxy: Proxy, tmp_path: Path) -> None:
    """A real full disk: a tmpfs with room for a few of the images."""
    bucket, _ = intact
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", str(disk)]).returncode:
        pytest.skip("a small file system can only be mounted by root")
    real = shutil.disk_usage
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(shutil, "disk_usage", lambda _path: real("/"))  # another job fills it after the check
            with pytest.raises(DataError, match=r"the disk is full.*run again"):
                fetch(bucket, proxy.url, disk / "state")
        no_finished_or_partial_file(disk / "state")
        images = list((disk / "state").glob("*.tiff"))
        assert 0 < len(images) < 18
        originals = {bucket.path(w, s, c).read_bytes() for w, s in bucket.sites for c in CHANNELS}
        assert all(image.read_bytes() in originals for image in images)
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        asked = len(proxy.gets(".tiff"))
        fetch(bucket, proxy.url, disk / "state")
        assert len(proxy.gets(".tiff")) - asked <= 18 - len(images) + 1
        assert_holds(bucket, disk / "state")
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def test_disk_full_without_root(
    intact: tuple[Bucket, str], proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket, _ = intact
    writes = iter(range(1000))

    @contextmanager
    def full(path: Path) -> Iterator[Path]:
        with atomic_path(path) as partial:
            if next(writes) >= 5:
                partial.write_bytes(b"half")
                raise OSError(errno.ENOSPC, "No space left on device")
            yield partial

    monkeypatch.setattr(transfer, "atomic_path", full)
    with pytest.raises(DataError, match=r"the disk is full \(No space left on device"):
        fetch(bucket, proxy.url, tmp_path)
    no_finished_or_partial_file(tmp_path)
    assert len(list(tmp_path.glob("*.tiff"))) == 5
    monkeypatch.undo()
    fetch(bucket, proxy.url, tmp_path)
    assert_holds(bucket, tmp_path)


JOB = """
import sys
from pathlib import Path
from campfire.gallery import S3Options, connect, fetch_plate, plan_download
from gallery_bucket import BATCH, CHANNELS, PLATE, SOURCE, Bucket
bucket = Bucket(Path("."), sys.argv[1], [])
options = bucket.options(sys.argv[2])
client = connect(options)
plan, _ = plan_download(client, options, SOURCE, BATCH, PLATE, sys.argv[4].split(), CHANNELS)
fetch_plate(client, plan, sys.argv[3], options)
"""


def test_kill_in_mid_plate_then_restart(intact: tuple[Bucket, str], proxy: Proxy, tmp_path: Path) -> None:
    bucket, _ = intact
    destination = tmp_path / "state"
    proxy.delay_s = 0.1
    job = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(JOB), bucket.name, proxy.url, str(destination), " ".join(bucket.wells)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    deadline = time.monotonic() + 60
    while len(list(destination.glob("*.tiff"))) < 5 and time.monotonic() < deadline:
        assert job.poll() is None
        time.sleep(0.005)
    job.send_signal(signal.SIGKILL)
    job.wait()
    originals = {bucket.path(w, s, c).read_bytes() for w, s in bucket.sites for c in CHANNELS}
    here = list(destination.glob("*.tiff"))
    assert 5 <= len(here) < 18 and not (destination / "sites.parquet").exists()
    assert all(image.read_bytes() in originals for image in here)
    (destination / ".A01_s1_DNA.0123abcd.partial.tiff").write_bytes(b"what a kill leaves while writing")
    with open(destination / ".verified.jsonl", "a", encoding="utf-8") as handle:
        handle.write('{"file": "A01_s1_')  # a line cut off
    proxy.delay_s = 0.0
    asked = len(proxy.gets(".tiff"))
    record = fetch(bucket, proxy.url, destination)
    assert set(record["status"]) == {"ok"}
    assert len(proxy.gets(".tiff")) - asked <= 18 - len(here) + 4  # those renamed but not yet in the journal
    assert_holds(bucket, destination)


def test_a_file_altered_between_runs_is_fetched_again(intact: tuple[Bucket, str], proxy: Proxy, tmp_path: Path) -> None:
    bucket, _ = intact
    fetch(bucket, proxy.url, tmp_path)
    asked = len(proxy.gets(".tiff"))
    victim = tmp_path / "A01_s2_AGP.tiff"
    victim.write_bytes(bytes(victim.stat().st_size))
    (tmp_path / "A03_s1_DNA.tiff").unlink()
    fetch(bucket, proxy.url, tmp_path)
    assert len(proxy.gets(".tiff")) - asked == 2
    assert_holds(bucket, tmp_path)


def test_same_inputs_same_record(intact: tuple[Bucket, str], proxy: Proxy, tmp_path: Path) -> None:
    bucket, _ = intact
    proxy.fault("404", "c02f01p01-ch1", times=None)
    first = fetch(bucket, proxy.url, tmp_path / "a")
    proxy.fault("truncate", "c03", times=1)
    second = fetch(bucket, proxy.url, tmp_path / "b", workers=1)
    pd.testing.assert_frame_equal(first, second)
