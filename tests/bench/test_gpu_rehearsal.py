"""The benchmark of a GPU, rehearsed on a CPU: no part may fail for a silly reason on the day."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("part", ["tests", "step", "profile", "graphs", "variants", "embed", "decoders", "unet"])
def test_a_part_runs_and_leaves_its_figures(part: str, repository: Path, tmp_path: Path) -> None:
    command = [sys.executable, repository / "bench/gpu.py", "--rehearse", "--out", tmp_path, "--only", part]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    report = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    outcome = report["parts"][part]
    assert done.returncode == 0, "\n".join([*outcome["printed"], done.stderr])
    assert report["rehearsal"] and report["machine"]["commit"]
    assert ("figures" in outcome) == (part != "tests")
    assert f"## {part}: " in (tmp_path / "gpu.md").read_text(encoding="utf-8")


def test_a_part_that_is_too_slow_is_cut_and_the_others_kept(repository: Path, tmp_path: Path) -> None:
    command = [sys.executable, repository / "bench/gpu.py", "--rehearse", "--out", tmp_path, "--minutes", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    report = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert done.returncode == 1
    assert {part.get("skipped") for part in report["parts"].values()} == {"no time left"}
