"""provenance.json follows every target, and `campfire verify` tells results made anew from altered ones."""

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from campfire.runs import job_records, provenance_file
from campfire.runs.verify import find_damage


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two tables with their record, made by jobs."""
    monkeypatch.chdir(tmp_path)
    folder = Path("results")
    (folder / "tables").mkdir(parents=True)
    for name in ("gaps", "ranking"):
        make(name, "first")
    facts = provenance_file.facts(folder, CONFIG, {}, ["results/tables/gaps.md", "results/tables/ranking.md"])
    (folder / "provenance.json").write_text(json.dumps(facts))
    return folder


CONFIG: dict[str, Any] = {"split": {"seed": 1}, "sample": {"seed": 2}, "pretrain": {"runs": {"a": {"seed": 3}}}}


def make(name: str, text: str) -> None:
    """Make a table as a job does: with a record of what it was."""
    path = Path(f"results/tables/{name}.md")
    record = job_records.begin("results/state/provenance", "table", {"table": name}, [str(path)], {})
    path.write_text(text)
    job_records.end(record)


def damaged(results: Path) -> list[str]:
    return [str(damage.files[0]) for damage in find_damage(results)]


def test_what_a_job_made_anew_is_no_damage(results: Path) -> None:
    assert damaged(results) == []
    make("gaps", "made anew with other options")
    assert damaged(results) == []


def test_what_was_altered_afterwards_is_damage(results: Path) -> None:
    make("gaps", "made anew")
    Path("results/tables/gaps.md").write_text("altered")
    assert damaged(results) == ["results/tables/gaps.md"]
    Path("results/tables/ranking.md").write_text("altered")
    assert len(damaged(results)) == 2


def test_a_job_that_was_killed_vouches_for_nothing(results: Path) -> None:
    job_records.begin("results/state/provenance", "table", {"table": "gaps"}, ["results/tables/gaps.md"], {})
    Path("results/tables/gaps.md").write_text("half")
    assert damaged(results) == ["results/tables/gaps.md"]
    (Path("results/state/provenance/table") / "gaps.json").write_text("{")
    assert damaged(results) == ["results/tables/gaps.md"], "an unreadable record is no record"


def followed(monkeypatch: pytest.MonkeyPatch, touch: bool = False) -> None:
    files = SimpleNamespace(provenance="results/provenance.json", results="results")
    run = SimpleNamespace(files=files, counted_config=lambda: CONFIG)
    fake: Any = SimpleNamespace(run=run, digests=lambda: {"table gaps": "code 2"})
    recorded = ["results/tables/gaps.md", "results/tables/ranking.md", "results/tables/not_made.md"]
    monkeypatch.setattr(provenance_file, "recorded_files", lambda _: recorded)
    provenance_file.follow(SimpleNamespace(touch=touch), fake)


def record() -> dict[str, Any]:
    return dict(json.loads(Path("results/provenance.json").read_text()))


def test_provenance_follows_a_target_that_made_a_table(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = record()
    make("gaps", "made anew")
    later = Path("results/provenance.json").stat().st_mtime + 5
    os.utime("results/tables/gaps.md", (later, later))
    followed(monkeypatch, touch=True)
    assert record() == before
    followed(monkeypatch)
    now = record()
    assert now["files"]["results/tables/gaps.md"] != before["files"]["results/tables/gaps.md"]
    assert now["files"]["results/tables/ranking.md"] == before["files"]["results/tables/ranking.md"]
    assert set(now["files"]) == set(before["files"]), "what is not made yet is not recorded"
    assert now["code"] == {"table gaps": "code 2"} and damaged(results) == []


def test_provenance_is_left_alone_when_nothing_was_made(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stamp = Path("results/provenance.json").stat().st_mtime + 5
    os.utime("results/provenance.json", (stamp, stamp))
    before = record()
    followed(monkeypatch)
    assert record() == before and Path("results/provenance.json").stat().st_mtime == stamp
