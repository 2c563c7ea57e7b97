"""`campfire verify` compares the files of the folder that it is given: a copy, a moved run, an unpacked bundle."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from campfire.core.errors import DataError
from campfire.runs import job_records, provenance_file
from campfire.runs.bundle import check_unpacked, pack, unpack
from campfire.runs.verify import find_damage, inspect, main

CONFIG: dict[str, Any] = {"split": {"seed": 1}, "sample": {"seed": 2}, "pretrain": {"runs": {}}}
TABLE, SCORES = "tables/gaps.md", "probes/a/DNA/scores.txt"


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of one probe and one table; provenance.json names the table, the job of the probe its scores."""
    monkeypatch.chdir(tmp_path)
    folder = Path("results/run")
    for number, name in enumerate((TABLE, SCORES)):
        path = folder / name
        path.parent.mkdir(parents=True)
        record = job_records.begin(folder / "state/provenance", f"rule{number}", {}, [str(path)], {})
        path.write_text("made")
        job_records.end(record)
    facts = provenance_file.facts(folder, CONFIG, {}, [str(folder / TABLE)])
    (folder / "provenance.json").write_text(json.dumps(facts))
    return folder


def damaged(folder: Path) -> list[str]:
    return [str(damage.files[0]) for damage in find_damage(folder)]


def test_an_altered_copy_is_compared_itself_not_the_run_that_it_was_copied_from(results: Path) -> None:
    copy = Path("results/copy")
    shutil.copytree(results, copy)
    assert damaged(copy) == []
    (copy / TABLE).write_text("altered")
    assert damaged(copy) == [str(copy / TABLE)] and damaged(results) == []
    (results / TABLE).write_text("altered")
    (copy / TABLE).write_text("made")
    assert damaged(copy) == [] and damaged(results) == [str(results / TABLE)]


def test_a_moved_run_is_found_from_any_folder(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.move(results, "elsewhere")
    (there := Path("there")).mkdir()
    monkeypatch.chdir(there)
    assert damaged(Path("../elsewhere")) == []
    os.remove(Path("../elsewhere") / TABLE)
    assert damaged(Path("../elsewhere")) == [f"../elsewhere/{TABLE}"]


def test_what_only_a_job_recorded_is_compared_too(results: Path) -> None:
    assert inspect(results).compared == 2
    (results / SCORES).write_text("better scores")
    assert damaged(results) == [str(results / SCORES)]
    os.remove(results / SCORES)
    assert damaged(results) == [], "an intermediate file may be deleted"


def test_a_record_without_its_root_is_understood(results: Path) -> None:
    path = results / "provenance.json"
    facts = json.loads(path.read_text())
    del facts["results"]
    facts["files"][str(results / "findings.html")] = "0" * 64
    path.write_text(json.dumps(facts))
    assert damaged(results) == [str(results / "findings.html")]


def test_an_unpacked_bundle_is_compared_with_its_manifest(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (sheet := Path("plates.tsv")).write_text("a sheet")
    config = {"results": str(results), "sheet": str(sheet), "transfer": {"sheet": None}}
    pack("bundle.tar", results, [results / SCORES], config, {})
    unpack("bundle.tar", here := tmp_path / "here")
    assert set(check_unpacked(here)) >= {SCORES} and damaged(here) == []
    (here / SCORES).write_text("better scores")
    with pytest.raises(DataError, match=r"scores\.txt: was altered .*--overwrite"):
        check_unpacked(here)
    assert main([str(here)]) == 1
    shown = capsys.readouterr().out
    assert "scores.txt: has other bytes than its bundle held" in shown
    assert "unpack the bundle again" in shown and "snakemake" not in shown
    os.remove(here / SCORES)
    with pytest.raises(DataError, match=r"scores\.txt: is gone"):
        check_unpacked(here)
    with pytest.raises(DataError, match=r"name a bundle, or the folder"):
        check_unpacked(tmp_path)
