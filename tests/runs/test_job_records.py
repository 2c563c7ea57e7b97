"""What each job notes about itself, and the sum by stage in provenance.json."""

import json
from pathlib import Path

import pytest

from campfire.runs import cost, job_records


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two finished downloads, one whose output is gone, one that was killed, one probe."""
    records = tmp_path / "records"
    for plate in ("P1", "P2", "P3"):
        output = tmp_path / f"download/{plate}.parquet"
        output.parent.mkdir(exist_ok=True)
        output.write_text(plate)
        record = job_records.begin(records, "images", {"plate": plate}, [str(output)], {"code": "code 1"})
        job_records.end(record)
    (tmp_path / "download/P3.parquet").unlink()
    job_records.begin(records, "images", {"plate": "P4"}, [], {"code": "code 0"})
    facts = {"seeds": job_records.seeds_in({"options": {"seed": 7, "subset_seed": 1, "seeds": 3}, "rows": [1]})}
    job_records.end(job_records.begin(records, "probe", {"encoder": "a", "channels": "b"}, [], facts))
    return records


def test_stages_sum_up_what_finished_and_is_there(folder: Path) -> None:
    stages = job_records.by_stage(folder)
    images = stages["images"]
    assert images["jobs"] == 2 and images["outputs"]["files"] == 2 and images["outputs"]["bytes"] == 4
    assert images["code"] == ["code 1"] and len(images["machines"]) == 1 and images["machines"][0]["cores"] >= 1
    assert images["versions"][0]["numpy"] and images["began"].endswith("Z")
    assert stages["probe"]["seeds"] == {"options.seed": 7, "options.subset_seed": 1}


def test_an_altered_output_changes_the_checksum(folder: Path) -> None:
    before = job_records.by_stage(folder)["images"]["outputs"]["sha256"]
    assert job_records.by_stage(folder)["images"]["outputs"]["sha256"] == before
    (folder.parent / "download/P1.parquet").write_text("Q1")
    assert job_records.by_stage(folder)["images"]["outputs"]["sha256"] != before


def test_earlier_attempts_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requeued after ten hours, killed without a word after five more by its log, finished in one: 16 h on 8 GPUs."""
    output, clock = tmp_path / "model", [0.0]
    monkeypatch.setattr(job_records.time, "time", lambda: clock[0])

    def attempt(hour: float, last_sign: float = 0.0) -> Path:
        clock[0] = 3600 * hour
        facts = {"gpus": 8}
        return job_records.begin(tmp_path, "pretrain_run", {"run": "a"}, [str(output)], facts, 3600 * last_sign)

    record = attempt(0)
    clock[0] = 36_000
    job_records.end(record)
    assert len(job_records.attempts_before(record)) == 1 and job_records.by_stage(tmp_path) == {}
    attempt(20)
    record = attempt(40, last_sign=25)
    output.write_text("weights")
    clock[0] = 3600 * 41
    job_records.end(record)
    stage = job_records.by_stage(tmp_path)["pretrain_run"]
    assert (stage["jobs"], stage["attempts"], stage["hours"], stage["gpu_hours"]) == (1, 3, 16, 128)
    assert stage["began"] == "1970-01-01T00:00:00Z"
    benchmark = tmp_path / "benchmark.tsv"
    benchmark.write_text("s\tcpu_time\n3600\t7200\n")
    job = cost.PlannedJob("pretrain", "pretrain_run", "a", True, "", 8, str(benchmark), record=str(record))
    (row,) = cost.estimate([job])
    assert (row.hours, row.cpu_hours, row.gpu_hours) == (16, 32, 128), "the plan counts them too"
    assert job_records.attempts_before(attempt(50)) != [] and json.loads(record.read_text())["attempts"] == []


def test_two_machines_are_both_recorded(folder: Path) -> None:
    path = folder / "images/P1.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "host": "node2"}))
    assert len(job_records.by_stage(folder)["images"]["machines"]) == 2
