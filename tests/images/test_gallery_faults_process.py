"""Faults of the machine that downloads: a full disk, a kill, files altered between runs."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from campfire.core.errors import DataError
from campfire.core.files import atomic_path
from campfire.images.gallery import transfer
from support.gallery_bucket import CHANNELS, PLATE, Bucket
from support.gallery_fetch import assert_holds, fetch, no_finished_or_partial_file
from support.gallery_proxy import Proxy


def test_a_small_disk_is_reported_before_fetching(
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
from campfire.images.gallery import (S3Options, fetch_plate, plan_download)
from campfire.images.gallery.connect import connect
from support.gallery_bucket import BATCH, CHANNELS, PLATE, SOURCE, Bucket
bucket = Bucket(Path("."), sys.argv[1], [])
options = bucket.options(sys.argv[2])
client = connect(options)
plan, _ = plan_download(client, options, SOURCE, BATCH, PLATE, sys.argv[4].split(), CHANNELS)
fetch_plate(client, plan, sys.argv[3], options)
"""


def test_a_killed_download_resumes(intact: tuple[Bucket, str], proxy: Proxy, tmp_path: Path) -> None:
    bucket, _ = intact
    destination = tmp_path / "state"
    proxy.delay_s = 0.1
    job = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(JOB), bucket.name, proxy.url, str(destination), " ".join(bucket.wells)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    deadline = time.monotonic() + 60
    while len(list(destination.glob("[!.]*.tiff"))) < 5 and time.monotonic() < deadline:
        assert job.poll() is None
        time.sleep(0.005)
    job.send_signal(signal.SIGKILL)
    job.wait()
    originals = {bucket.path(w, s, c).read_bytes() for w, s in bucket.sites for c in CHANNELS}
    here = list(destination.glob("[!.]*.tiff"))
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
