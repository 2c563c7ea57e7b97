"""What each job notes about itself, and the sum by stage in provenance.json."""

import json
from pathlib import Path

import pytest

from campfire.runs import job_records


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


def test_two_machines_are_both_told(folder: Path) -> None:
    path = folder / "images/P1.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "host": "node2"}))
    assert len(job_records.by_stage(folder)["images"]["machines"]) == 2
