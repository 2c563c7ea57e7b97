"""Slurm jobs that have outlived the run that submitted them: campfire orphans [--cancel].

A Snakemake that is killed cannot cancel its jobs, and the next one does not know them. Every job carries the id of its
run as its name, and Snakemake's logs in `.snakemake/log` say which host a run began on; a run is alive while a process
holds its log open.
"""

import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from campfire.core.errors import CampfireError, ConfigError, in_one_line

FORMAT = "%A|%j|%T|%M|%k|%Z"
"""squeue: job, name (the run's id), state, time used, comment (the rule), working directory."""
RUN_ID = re.compile(r"SLURM run ID: ([0-9a-f-]{36})")
HOST = re.compile(r"^\s*Host: (\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Job:
    """A Slurm job that a run of this folder submitted."""

    number: str
    run: str
    state: str
    elapsed: str
    rule: str


@dataclass(frozen=True)
class Run:
    """A run as its log describes it; `alive`: its Snakemake still runs (None: it began on another host)."""

    id: str
    host: str
    log: Path
    alive: bool | None


def open_logs(folder: Path) -> dict[Path, int]:
    """Snakemake logs of `folder` that another process of this host holds open, and which."""
    logs = (folder / ".snakemake" / "log").resolve()
    found = {}
    for handle in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            target = Path(os.readlink(handle))
        except OSError:  # the process or the file is gone, or another user's
            continue
        process = int(handle.parts[2])
        if target.parent == logs and target.exists() and process != os.getpid():
            found[target] = process
    return found


def explain_lock(folder: str | Path = ".") -> str:
    """What Snakemake's lock on `folder` means and what to do; empty where there is none."""
    folder = Path(folder)
    if not any((folder / ".snakemake" / "locks").glob("*.lock")):
        return ""
    held = open_logs(folder)
    if held:
        log, process = max(held.items())
        return (
            f"{folder.resolve()}: another run is active here (process {process}, {log.name}); wait for it, or stop it "
            "with Ctrl-C in its terminal"
        )
    logs = sorted((folder / ".snakemake" / "log").glob("*.snakemake.log"))
    host = HOST.search(logs[-1].read_text(encoding="utf-8", errors="replace")) if logs else None
    return (
        f"{folder.resolve()}: locked by a run that no longer works on {socket.gethostname()}"
        f"{f' (the last began on {host[1]})' if host else ''}: it was killed, or it works on another host. If it was "
        "killed: `make slurm-orphans` shows what it left on the cluster (CANCEL=1 ends that), `snakemake --unlock` "
        "frees the folder, and the same command resumes; finished work is kept"
    )


def read_runs(folder: Path) -> dict[str, Run]:
    """The Slurm runs that the logs of `folder` know, by id."""
    held, here = open_logs(folder), socket.gethostname()
    runs = {}
    for log in sorted((folder / ".snakemake" / "log").resolve().glob("*.snakemake.log")):
        text = log.read_text(encoding="utf-8", errors="replace")
        match, host = RUN_ID.search(text), HOST.search(text)
        if match:
            name = host[1] if host else here
            alive = log in held if name in (here, here.split(".")[0]) else None
            runs[match[1]] = Run(match[1], name, log, alive)
    return runs


def read_jobs(folder: Path) -> list[Job]:
    """Unfinished Slurm jobs of this user that were submitted from `folder`."""
    if shutil.which("squeue") is None:
        raise ConfigError("squeue is not here; run this on a machine from which jobs are submitted")
    command = ["squeue", "--noheader", "--me", f"--format={FORMAT}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CampfireError(f"squeue failed ({done.stderr.strip()}); see whether the cluster is up")
    jobs = []
    for line in done.stdout.splitlines():
        number, run, state, elapsed, comment, place = line.split("|", 5)
        if Path(place).resolve() == folder.resolve() and re.fullmatch(r"(.*_)?[0-9a-f-]{36}", run):
            jobs.append(Job(number, run[-36:], state, elapsed, comment.replace("_wildcards_", " ", 1)))
    return jobs


def cancel(jobs: Sequence[Job], timeout: float = 120.0) -> None:
    """Cancel jobs and wait until Slurm has ended them, so that nothing writes any more."""
    numbers = [job.number for job in jobs]
    if not numbers:
        return
    subprocess.run(["scancel", *numbers], check=True)
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        query = ["squeue", "--noheader", "--format=%A", f"--jobs={','.join(numbers)}"]
        left = subprocess.run(query, capture_output=True, text=True, check=False).stdout.split()
        if not left:
            return
        time.sleep(1)
    raise CampfireError(
        f"jobs {', '.join(left)} are still ending after {timeout:.0f} s; look with squeue, then start again"
    )


@in_one_line
def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="campfire orphans", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(), help="where Snakemake runs (default: here)")
    parser.add_argument("--cancel", action="store_true", help="cancel the jobs of dead runs and wait for their end")
    parser.add_argument("--run", default="", help="this run is dead, whatever its host: its jobs are orphans")
    options = parser.parse_args(arguments)
    jobs, runs = read_jobs(options.folder), read_runs(options.folder)
    orphans = []
    for job in jobs:
        run = runs.get(job.run)
        alive = False if job.run == options.run else run.alive if run else None
        if alive is None:
            place = f"its run began on {run.host}: look there" if run else "no log names its run"
            what = f"{place}, or say --run {job.run} if you know it dead"
        elif alive:
            what = "of a run at work"
        else:
            what = "ORPHAN"
            orphans.append(job)
        print(f"{job.number:>8}  {job.state:<10} {job.elapsed:>11}  {job.rule:<50} {what}")
    print(f"{len(jobs)} jobs were submitted from here, {len(orphans)} of them by dead runs")
    if orphans and options.cancel:
        cancel(orphans)
        print(f"cancelled {len(orphans)}; resume with: snakemake --unlock, then the run as before")
    elif orphans:
        print("cancel them with: make slurm-orphans CANCEL=1")
    return 0


if __name__ == "__main__":
    sys.exit(main())
