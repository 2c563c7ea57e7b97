"""The table of stages: a part's rows, shares that are above 1 where ours is better, files written."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest


def test_share_is_above_one_where_ours_is_better(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(repository / "bench"))
    stage = runpy.run_path(str(repository / "bench/stages.py"))["Stage"]
    assert stage("download", "objects/s", "", 10.0, 20.0).over(10.0) == 2
    assert stage("nuclei", "s per field", "", 1.0, 0.5, less_is_better=True).over(1.0) == 2
    assert stage("probe", "us", "", None, 0.5).over(None) is None


def test_parts_are_measured_and_written(repository: Path, tmp_path: Path) -> None:
    command = [sys.executable, repository / "bench/stages.py", "--quick", "--only", "nuclei,codecs", "--out", tmp_path]
    subprocess.run(command, check=True, timeout=300, capture_output=True)
    facts = json.loads((tmp_path / "stages.json").read_text())
    assert [row["stage"] for row in facts["nuclei"]["stages"]] == ["nuclei, classical", "nuclei beside debris"]
    stores = {row["store"]: row["share"] for row in facts["codecs"]["facts"]["stores"]}
    assert stores["uint16 (default)"] == 1 and stores["uint8 (tiles.dtype)"] == 0.5
    assert all(share < 1 for name, share in stores.items() if "default" not in name), "lossless, and smaller"
    table = (tmp_path / "stages.md").read_text()
    assert "| nuclei, classical | s per field |" in table and "| JPEG-LS | " in table
