"""Jobs submitted per minute to a Slurm, as single jobs, groups and arrays: python tools/slurm_submissions.py --jobs 40.

Runs a workflow of jobs that take no time three times on the Slurm of this machine, with the submission settings of
profiles/slurm, and prints a Markdown table: Slurm jobs, seconds from the first to the last submission, jobs of the
workflow submitted per minute between them, and the wall time of the whole run. Needs squeue, sbatch and scontrol.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from campfire.core.text import markdown_table

REPOSITORY = Path(__file__).resolve().parents[1]
SNAKEFILE = REPOSITORY / "tests/support/slurm_many.smk"
COLUMNS = ["submission", "workflow jobs", "Slurm jobs", "first to last (s)", "workflow jobs a minute", "whole run (s)"]


@dataclass(frozen=True)
class Rate:
    """How fast a run was submitted. slurm_jobs: an array counts once; span: first to last submission (s)."""

    slurm_jobs: int
    span: float
    wall: float


def measure(folder: Path, jobs: int, partition: str, account: str, more: Sequence[str]) -> Rate:
    """Run the workflow in `folder` with `more` options and read from Slurm when its jobs were submitted."""
    command = [
        sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE), "--directory", str(folder), "--nocolor",
        "--executor", "slurm", "--jobs", str(jobs), "--latency-wait", "30", "--slurm-status-command", "squeue",
        "--slurm-init-seconds-before-status-checks", "5", "--seconds-between-status-checks", "10",
        "--default-resources", f"slurm_partition={partition}", f"slurm_account={account}", "mem_mb=1000", "runtime=5",
        *more, "--config", f"jobs={jobs}",
    ]  # fmt: skip
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wall = time.monotonic() - began
    run = re.search(r"SLURM run ID: (\S+)", done.stdout + done.stderr)
    if done.returncode or run is None:
        raise SystemExit(f"the run failed:\n{(done.stdout + done.stderr)[-3000:]}")
    shown = subprocess.run(["scontrol", "-o", "show", "jobs"], capture_output=True, text=True, check=True).stdout
    own = [line for line in shown.splitlines() if run[1] in line]
    times = [datetime.fromisoformat(match[1]) for line in own if (match := re.search(r"SubmitTime=(\S+)", line))]
    arrays = {match[1] for line in own if (match := re.search(r"ArrayJobId=(\d+)", line))}
    singles = {line.split()[0].removeprefix("JobId=") for line in own if "ArrayJobId=" not in line}
    return Rate(len(arrays | singles), (max(times) - min(times)).total_seconds(), wall)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=40, help="jobs of the workflow (40)")
    parser.add_argument("--group", type=int, default=10, help="jobs of a group, each on a core of one node (10)")
    parser.add_argument("--partition", default="cpu", help="partition (cpu)")
    parser.add_argument("--account", default="lab", help="account (lab)")
    given = parser.parse_args()
    forms: dict[str, list[str]] = {
        "single jobs": [],
        f"groups of {given.group}": ["--groups", "one=many", "--group-components", f"many={given.group}"],
        "an array": ["--slurm-array-jobs", "one"],
    }
    rows = []
    for name, more in forms.items():
        with tempfile.TemporaryDirectory() as folder:
            rate = measure(Path(folder), given.jobs, given.partition, given.account, more)
        # The first submission needs no waiting, so it does not count; one submission has no rate.
        submitted = given.jobs * (rate.slurm_jobs - 1) / rate.slurm_jobs
        per_minute = f"{60 * submitted / rate.span:.0f}" if rate.span else "all at once"
        rows.append([name, given.jobs, rate.slurm_jobs, f"{rate.span:.0f}", per_minute, f"{rate.wall:.0f}"])
    print(markdown_table(COLUMNS, rows))


if __name__ == "__main__":
    main()
