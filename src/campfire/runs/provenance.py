"""Provenance of a result: versions, hardware, commit, checksums."""

import os
import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = [
    *("numpy", "scipy", "pandas", "pyarrow", "torch", "timm", "cellpose", "scikit-image", "scikit-learn", "tifffile"),
    *("boto3", "matplotlib", "snakemake", "copairs"),
]


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Installed versions of the packages that a result may depend on."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """The machine as far as it is known without importing torch: processor, cores, memory, GPUs."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    facts: dict[str, Any] = {"processor": model, "cores": len(os.sched_getaffinity(0)), "system": platform.platform()}
    memory = Path("/proc/meminfo")
    if memory.is_file():
        facts["memory_gib"] = round(int(memory.read_text(encoding="utf-8").split()[1]) / 2**20, 1)
    try:
        query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
        gpus = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout.splitlines()
        facts["gpus"] = [gpu.strip() for gpu in gpus if gpu.strip()]
    except (OSError, subprocess.SubprocessError):
        facts["gpus"] = []
    return facts


def git_commit(folder: str | Path) -> str:
    """The checkout's commit, with `+changes` when tracked files differ; `unknown` outside a checkout."""
    try:
        git = ["git", "-C", str(folder)]
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        status = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("+changes" if status.strip() else "")
