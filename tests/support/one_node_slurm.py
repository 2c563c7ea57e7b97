"""A real Slurm of one or several nodes for tests, and the workflow on it with the profile that a lab edits."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

SIZE = {"CPUS": "128", "MEM_MB": "1000000", "GPUS": "4"}
"""What the node claims to have, so that jobs of the paper's size are scheduled."""


ONE_NODE = Path("/tmp/one-node-slurm")


def start(repository: Path, folder: Path = ONE_NODE, **size: str) -> subprocess.CompletedProcess[str]:
    """Start what does not run yet of the cluster in `folder`; `size` is laid over SIZE, e.g. NODES="3"."""
    script = repository.parent / "shared/slurm/start-slurm.sh"
    environment = {**os.environ, **SIZE, **size}
    return subprocess.run([script, folder], env=environment, capture_output=True, text=True)


@contextmanager
def one_node_slurm(repository: Path, folder: Path = ONE_NODE, **size: str) -> Iterator[None]:
    """Start the cluster, stop it at the end; skips where it cannot run."""
    scripts = repository.parent / "shared/slurm"
    if not (scripts / "start-slurm.sh").is_file():
        pytest.skip(f"no start-slurm.sh in {scripts}")
    if os.geteuid() != 0:
        pytest.skip("Slurm needs root here")
    done = start(repository, folder, **size)
    if done.returncode:
        if os.environ.get("CI"):
            pytest.fail(f"Slurm did not start: {done.stderr}")
        pytest.skip(f"Slurm did not start: {done.stderr.strip().splitlines()[-1:]}")
    try:
        yield
    finally:
        subprocess.run([scripts / "stop-slurm.sh", folder], check=True, capture_output=True)


def site_profile(repository: Path, folder: Path, gpus: int) -> Path:
    """The shipped profile as a site would edit it, for a node with few GPUs; checks for finished jobs more often.

    Pretraining gets one thread per process, as the tests have: sums depend on it in their last bits.
    """
    profile = yaml.safe_load((repository / "profiles/slurm/config.yaml").read_text())
    profile["set-resources"]["pretrain_run"]["gpu"] = gpus
    profile["set-threads"]["pretrain_run"] = 1
    profile["slurm-init-seconds-before-status-checks"] = 1
    profile["seconds-between-status-checks"] = 2
    profile["latency-wait"] = 5
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(profile))
    return folder


def change_profile(folder: Path, pretrain_run: Mapping[str, object] | None = None, **settings: object) -> Path:
    """Lay options of the rule `pretrain_run`, and settings of the whole profile, over the profile in `folder`."""
    path = folder / "config.yaml"
    profile = yaml.safe_load(path.read_text())
    profile["set-resources"]["pretrain_run"] |= pretrain_run or {}
    path.write_text(yaml.safe_dump(profile | settings))
    return folder


def snakemake(*arguments: str | Path) -> list[str]:
    """The command of a run."""
    return [sys.executable, "-m", "snakemake", "--nocolor", *map(str, arguments)]


def jobs() -> list[dict[str, str]]:
    """Every job that Slurm remembers, as `scontrol` shows it."""
    text = subprocess.run(["scontrol", "-o", "show", "jobs"], capture_output=True, text=True, check=True).stdout
    rows = [line for line in text.splitlines() if line.startswith("JobId=")]
    return [dict(word.split("=", 1) for word in row.split() if "=" in word) for row in rows]


def wait_for(what: Any, seconds: float, every: float = 0.5) -> Any:
    """The first true value of `what()`; fails the test after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = what()
        if value:
            return value
        time.sleep(every)
    return pytest.fail(f"waited {seconds:.0f} s in vain")


def workplace(repository: Path, folder: Path, screen: Path) -> Path:
    """A folder to run in: the config by a link, and the simulated screen where the config looks for it."""
    (folder / "results").mkdir(parents=True)
    (folder / "config").symlink_to(repository / "config")
    (folder / "from_s3.yaml").write_text("s3: {folder: null}\n")
    shutil.copytree(screen, folder / "results/smoke-screen", symlinks=True)
    return folder
