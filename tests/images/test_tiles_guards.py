"""The tile store's guards: what is cut short, altered or half-written is noticed or leaves nothing."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import campfire.images.tiles.store as store
from campfire.core.errors import DataError
from campfire.core.files import read_table, read_table_metadata
from campfire.images.tiles import open_plate, write_plate
from support.tile_plates import CHANNELS, make_plate


def change_byte(path: Any, offset: Any) -> None:
    with open(path, "r+b") as handle:
        handle.seek(offset)
        byte = handle.read(1)
        handle.seek(offset)
        handle.write(bytes([byte[0] ^ 1]))


def test_cut_short_is_detected(plate: tuple[Any, ...]) -> None:
    os.truncate(plate[0], plate[0].stat().st_size - 1)
    with pytest.raises(DataError, match=r"P1\.npy: cut short: .* run the tiles step"):
        open_plate(plate[0])


def test_altered_is_detected(plate: tuple[Any, ...]) -> None:
    path, size = plate[0], plate[0].stat().st_size
    change_byte(path, size - 1)  # in the last tile, which the quick check reads
    with pytest.raises(DataError, match=r"tile 43 \(well B02\) differs"):
        open_plate(path)
    change_byte(path, size - 1)
    open_plate(path)
    change_byte(path, 128 + 1 * 2 * 112 * 112 * 2 + 7)  # in tile 1, which it does not
    open_plate(path)
    with pytest.raises(DataError, match=r"tile 1 \(well A01\) differs"):
        open_plate(path, verify="full")


def test_damaged_header_is_detected(plate: tuple[Any, ...]) -> None:
    change_byte(plate[0], 2)
    with pytest.raises(DataError, match="header is damaged"):
        open_plate(plate[0])


def test_array_beside_another_index_is_detected(plate: tuple[Any, ...], tmp_path: Path) -> None:
    """The same plate cut again from other images has the same size: a torn pair shows in the checksums."""
    make_plate(tmp_path / "other/P1", seed=1)
    other = tmp_path / "other.npy"
    write_plate(other, tmp_path / "other/P1", plate[2], CHANNELS)
    assert other.stat().st_size == plate[0].stat().st_size
    os.replace(other, plate[0])
    with pytest.raises(DataError, match="differs from its index"):
        open_plate(plate[0])


def test_index_and_array_must_agree(plate: tuple[Any, ...]) -> None:
    index = plate[0].with_suffix(".parquet")
    table, metadata = read_table(index), read_table_metadata(index)
    for change, message in (
        (table.iloc[:-1], "43 rows"),
        (table.iloc[::-1], "out of order"),
        (table.assign(crc32=table["crc32"] ^ 1), "checksums differ"),
        (table.drop(columns="row"), "no column row"),
    ):
        store.write_table(change, index, metadata)
        with pytest.raises(DataError, match=message):
            open_plate(plate[0])
    store.write_table(table, index, {})
    with pytest.raises(DataError, match="not a tile index"):
        open_plate(plate[0])
    index.unlink()
    with pytest.raises(DataError, match=r"P1\.parquet: no such file"):
        open_plate(plate[0])


def left_over(folder: Any) -> Any:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_failure_leaves_nothing(tmp_path: Path) -> None:
    _, nuclei = make_plate(tmp_path / "P1", n_sites=3)
    damaged = tmp_path / "P1/B02_2_ER.tiff"
    damaged.write_bytes(damaged.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"B02_2_ER\.tiff: damaged TIFF: its pixel data lie beyond its end"):
        write_plate(tmp_path / "out/P1.npy", tmp_path / "P1", nuclei, CHANNELS)
    assert left_over(tmp_path / "out") == []


def test_failure_keeps_the_earlier_store(plate: tuple[Any, ...], tmp_path: Path) -> None:
    before = plate[0].read_bytes()
    (tmp_path / "images/P1/B02_2_ER.tiff").write_bytes(b"")
    with pytest.raises(DataError):
        write_plate(plate[0], tmp_path / "images/P1", plate[2], CHANNELS)
    assert plate[0].read_bytes() == before and left_over(plate[0].parent) == ["P1.npy", "P1.parquet"]
    open_plate(plate[0], verify="full")


def test_full_disk_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, nuclei = make_plate(tmp_path / "P1", n_sites=3)
    real, calls = store._write_all, []

    def full(handle: Any, tiles: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle, tiles)

    monkeypatch.setattr(store, "_write_all", full)
    with pytest.raises(DataError, match=r"the disk is full; free 602\.1 kB for plate P1"):
        write_plate(tmp_path / "out/P1.npy", tmp_path / "P1", nuclei, CHANNELS)
    assert left_over(tmp_path / "out") == []


def test_too_small_a_disk_is_said_before_the_first_tile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, nuclei = make_plate(tmp_path / "P1", n_sites=1)
    usage = type("Usage", (), {"free": 2**16})
    monkeypatch.setattr(store.shutil, "disk_usage", lambda path: usage)
    monkeypatch.setattr(store, "iterate_sites", lambda *a, **k: pytest.fail("an image was read"))
    with pytest.raises(DataError, match=r"plate P1 needs 200\.7 kB, the disk has 65\.5 kB left"):
        write_plate(tmp_path / "out/P1.npy", tmp_path / "P1", nuclei, CHANNELS)


def test_killed_job_is_cleaned_up_by_the_next(tmp_path: Path) -> None:
    _, nuclei = make_plate(tmp_path / "P1", n_sites=3)
    nuclei.to_parquet(tmp_path / "nuclei.parquet")
    script = f"""
        import os, signal
        import pandas as pd
        import campfire.images.tiles.store as store
        real, calls = store._write_all, []
        def kill(handle, tiles):
            real(handle, tiles)
            calls.append(1)
            if len(calls) == 3:
                os.kill(os.getpid(), signal.SIGKILL)
        store._write_all = kill
        nuclei = pd.read_parquet({str(tmp_path / "nuclei.parquet")!r})
        store.write_plate({str(tmp_path / "out/P1.npy")!r}, {str(tmp_path / "P1")!r}, nuclei, ["DNA", "ER"])
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert all(".partial" in name for name in left_over(tmp_path / "out")) and left_over(tmp_path / "out")
    write_plate(tmp_path / "out/P1.npy", tmp_path / "P1", nuclei, CHANNELS)
    assert left_over(tmp_path / "out") == ["P1.npy", "P1.parquet"]
    assert len(open_plate(tmp_path / "out/P1.npy", verify="full")) == nuclei["kept"].sum()
