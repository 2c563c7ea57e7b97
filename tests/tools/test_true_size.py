"""A rehearsal of the true-size stand-ins: two plates through all stages."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_two_plates_of_true_size_go_through_all_stages(repository: Path, shared: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(repository / "tools/true_size.py"), "--metadata", str(shared / "data/metadata")]
    command += ["--plates", "2", "--folder", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")][2:]
    stages = ["make", "sample", "one process", "node", "checksums", "checkpoint", "embeddings"]
    stages += ["probe input", "layouts", "page"]
    assert [row[0] for row in rows] == [f"| {stage}" for stage in stages], done.stdout
    assert all(float(row[3]) < 8 for row in rows), "no stage needs more memory than a laptop has"
    facts = {row[0].removeprefix("| "): row[7] for row in rows}
    assert facts["node"].startswith("2 processes") and "1 plates" not in facts["page"]
    assert not list(tmp_path.iterdir()), "stand-ins are removed"
