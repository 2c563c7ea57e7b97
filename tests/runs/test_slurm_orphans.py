"""What a lock means, and which Slurm jobs a dead run left; a real Slurm is in test_slurm_faults.py."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from campfire.runs.slurm import explain_lock, main

LIVE, DEAD, AWAY = (f"{digit * 8}-1111-2222-3333-444444444444" for digit in "abc")
HOLDER = "import sys, time; log = open(sys.argv[1], 'a'); print(flush=True); time.sleep(60)"


def log_of(folder: Path, run: str, host: str = socket.gethostname()) -> Path:
    path = folder / f".snakemake/log/{run[:4]}.snakemake.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"  Host: {host}\nSLURM run ID: {run}\n")
    return path


def test_a_lock_is_explained(tmp_path: Path) -> None:
    log = log_of(tmp_path, LIVE)
    assert explain_lock(tmp_path) == ""
    (tmp_path / ".snakemake/locks").mkdir()
    (tmp_path / ".snakemake/locks/0.output.lock").touch()
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(log)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline()
        assert f"another run is active here (process {holder.pid}, {log.name})" in explain_lock(tmp_path)
        holder.kill()
    killed = explain_lock(tmp_path)
    assert "make slurm-orphans" in killed and "snakemake --unlock" in killed and socket.gethostname() in killed


def test_only_jobs_of_dead_runs_are_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stand-in for squeue lists a job of a live run, a dead one, one of another host and one of another folder."""
    place, tools = tmp_path / "place", tmp_path / "bin"
    live = log_of(place, LIVE)
    log_of(place, DEAD)
    log_of(place, AWAY, "elsewhere")
    tools.mkdir()
    rows = [(1, LIVE, place), (2, DEAD, place), (3, AWAY, place), (4, DEAD, tmp_path)]
    listed = "\n".join(f"{n}|{run}|RUNNING|1:00|rule_embed_wildcards_x|{where}" for n, run, where in rows)
    (tools / "squeue").write_text(f'#!/bin/sh\ncase "$*" in *--jobs=*) ;; *) cat <<E\n{listed}\nE\n;; esac\n')
    (tools / "scancel").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/cancelled\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(live)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline()
        assert main(["--folder", str(place)]) == 0
        said = capsys.readouterr().out
        assert "3 jobs were submitted from here, 1 of them by dead runs" in said and "rule_embed x" in said
        assert "its run began on elsewhere: look there" in said
        assert main(["--folder", str(place), "--cancel"]) == 0
        assert (tmp_path / "cancelled").read_text() == "2\n"
        assert main(["--folder", str(place), "--cancel", "--run", AWAY]) == 0
        assert (tmp_path / "cancelled").read_text() == "2\n2 3\n"
        holder.kill()
