"""The benchmark of a GPU, rehearsed on a CPU: no part may fail for a silly reason on the day."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def rehearse(repository: Path, out: Path, *options: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """`bench/gpu.py --rehearse` as it ended, and the report that it left in `out`."""
    command = [sys.executable, repository / "bench/gpu.py", "--rehearse", "--out", out, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    return done, json.loads((out / "gpu.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def rehearsal(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the results of all parts."""
    out = tmp_path_factory.mktemp("rehearsal")
    done, report = rehearse(repository, out, "--minutes", "14")
    failed = {name: part["printed"] for name, part in report["parts"].items() if part["code"]}
    assert done.returncode == int(bool(failed)), done.stderr
    return out


@pytest.mark.parametrize("part", ["tests", "step", "profile", "graphs", "variants", "embed", "decoders", "unet"])
def test_a_part_runs_and_leaves_its_figures(part: str, rehearsal: Path) -> None:
    report = json.loads((rehearsal / "gpu.json").read_text(encoding="utf-8"))
    outcome = report["parts"][part]
    assert outcome["code"] == 0, "\n".join(outcome["printed"])
    assert report["rehearsal"] and report["machine"]["commit"]
    assert ("figures" in outcome) == (part != "tests")
    assert f"## {part}: " in (rehearsal / "gpu.md").read_text(encoding="utf-8")


def test_a_part_that_is_too_slow_is_cut_and_the_others_kept(repository: Path, tmp_path: Path) -> None:
    done, report = rehearse(repository, tmp_path, "--minutes", "0")
    assert done.returncode == 1
    assert {part.get("skipped") for part in report["parts"].values()} == {"no time left"}
