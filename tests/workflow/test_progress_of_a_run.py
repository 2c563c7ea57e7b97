"""Snakemake with `--logger campfire`: what reaches the terminal of a run, a failed run and a dry run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.workflow

SNAKEFILE = """
rule all:
    input: "a", "b"

rule table:
    output: "a"
    log: "a.log"
    shell: "touch a"

rule images:
    output: "b"
    log: "b.log"
    shell: "{command}"
"""
FAILS = "echo '10:00:00 images: ERROR after 1 s: plate P1: no images; check the sheet' > b.log; exit 1"


@pytest.mark.parametrize(("command", "failed"), [("touch b", False), (FAILS, True)])
def test_a_run_shows_its_stages_and_its_failures(command: str, failed: bool, repository: Path, tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(SNAKEFILE.replace("{command}", command))
    words = [sys.executable, "-m", "snakemake", "--cores", "1", "--keep-going", "--logger", "campfire"]
    environment = {**os.environ, "PYTHONPATH": str(repository / "src"), "TMPDIR": str(tmp_path)}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert bool(done.returncode) == failed, done.stderr
    said = done.stderr
    assert re.search(r"^Tables and figures +1/1 ", said, re.MULTILINE), said
    assert not re.search("DAG|Select jobs|RuleException|Job stats|Traceback|jobid", said), said
    if failed:
        assert "FAILED images: plate P1: no images; check the sheet (b.log)\n" in said
        assert re.search(r"1 of 2 jobs done in \d+ s, 1 failed.\n$", said), said
    else:
        assert re.search(r"^Images +1/1 ", said, re.MULTILINE) and re.search(r"2 of 2 jobs done in \d+ s.\n$", said), (
            said
        )
    assert not list(tmp_path.glob("*.warnings")), "the file of warnings is removed"


def test_a_dry_run_prints_what_snakemake_prints(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(SNAKEFILE.replace("{command}", "touch b"))
    words = [sys.executable, "-m", "snakemake", "-n", "--logger", "campfire"]
    environment = {**os.environ, "PYTHONPATH": str(repository / "src")}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "rule table:" in done.stdout and "This was a dry-run" in done.stdout, done.stderr
