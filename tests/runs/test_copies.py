"""Times of copied results are put back; those of results that were altered one by one are not."""

import json
import os
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest

from campfire.runs.copies import read_made, restore_times

LONG_AGO = 1_600_000_000


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """Five results with Snakemake's records, a broken record and one of a file that is gone."""
    records = tmp_path / ".snakemake/metadata"
    records.mkdir(parents=True)
    (tmp_path / "results").mkdir()
    for number in range(5):
        name = f"results/{number}.txt"
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, (LONG_AGO + number, LONG_AGO + number))
        record(records, name, {"endtime": LONG_AGO + number})
    record(records, "results/gone.txt", {"endtime": LONG_AGO})
    (records / "no-record").write_text("{")
    return tmp_path


def record(folder: Path, name: str, values: dict[str, float]) -> None:
    (folder / urlsafe_b64encode(name.encode()).decode()).write_text(json.dumps(values))


def times(folder: Path) -> list[float]:
    return [made.modified - LONG_AGO for made in sorted(read_made(folder), key=lambda made: made.path)]


def test_a_finished_folder_is_left_alone(finished: Path) -> None:
    assert restore_times(finished) == 0
    os.utime(finished / "results/3.txt")
    os.utime(finished / "results/4.txt", (LONG_AGO + 5.5, LONG_AGO + 5.5))  # within what file systems round
    altered = times(finished)
    assert restore_times(finished) == 0
    assert times(finished) == altered and altered[3] > 1000


def test_the_times_of_a_copy_are_put_back(finished: Path) -> None:
    for number in (3, 1, 0, 4, 2):
        os.utime(finished / f"results/{number}.txt")
    assert restore_times(finished) == 5
    assert times(finished) == [0, 1, 2, 3, 4]
    assert restore_times(finished) == 0


def test_a_folder_without_records_is_left_alone(tmp_path: Path) -> None:
    assert restore_times(tmp_path) == 0


def test_a_long_name_is_found(tmp_path: Path) -> None:
    """Snakemake splits the coded name of a record where the file system's limit is."""
    name = f"results/{'x' * 200}.txt"
    (tmp_path / "results").mkdir()
    (tmp_path / name).write_text("")
    coded = urlsafe_b64encode(name.encode()).decode()
    folder = tmp_path / ".snakemake/metadata" / f"@{coded[:254]}"
    folder.mkdir(parents=True)
    (folder / coded[254:]).write_text(json.dumps({"endtime": LONG_AGO}))
    assert [made.path for made in read_made(tmp_path)] == [tmp_path / name]
    assert restore_times(tmp_path) == 1
