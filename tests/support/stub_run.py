"""The default run with all its jobs and without its work: the real sheet, split and plan; each job makes its files."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from campfire.core.yaml import merge

REAL = ("metadata", "split")
"""Scripts that run as they are: they take seconds, and every plate's wells follow from them."""
CHANGES: dict[str, Any] = {
    "large_run": True,
    "nuclei": {"method": "classical"},
    "s3": {"endpoint_url": "http://127.0.0.1:9"},
    "pretrain": {"runs": {"campfire": {"imagenet": ""}}},
    "encoders": {"dino_vits8": {"weights": "random"}, "dinov2_vitl14": {"weights": "random"}},
}
STUB = """#!/bin/sh
# stub.sh LOG OUTPUT...: what a job leaves behind; a job whose log is listed in `broken` fails as a script does.
log=$1; shift
if grep -qxF "$log" "@FOLDER@/broken"; then
    echo "12:00:00 stub: ERROR after 3 s: $log: cannot be read" > "$log"
    exit 1
fi
for path; do
    case ${path##*/} in
        *.*) echo "$path" > "$path" ;;
        *) mkdir -p "$path" ;;
    esac
done
"""


@dataclass
class StubRun:
    """A checkout whose rules make their files at once."""

    folder: Path

    def fail(self, logs: Iterable[str]) -> None:
        """Have the jobs with these logs fail, and no others."""
        (self.folder / "broken").write_text("".join(f"{log}\n" for log in logs))

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Lay changes over the run's config."""
        path = self.folder / "run.yaml"
        path.write_text(yaml.safe_dump(merge(yaml.safe_load(path.read_text()), dict(changes)), sort_keys=False))

    def snakemake(self, *arguments: str, timeout: int = 600) -> subprocess.CompletedProcess[str]:
        """Snakemake as users call it, with the local profile."""
        command = [sys.executable, "-m", "snakemake", "--profile", "profiles/local", "--nocolor", "--quiet", "rules"]
        command += ["--configfile", "run.yaml", "--cores", "8", *arguments]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=timeout)

    def times(self) -> dict[str, int]:
        """Modification times of all results by their path."""
        results = self.folder / "results"
        return {str(p.relative_to(results)): p.stat().st_mtime_ns for p in results.rglob("*") if p.is_file()}


def stub_run(repository: Path, metadata: Path, folder: Path) -> StubRun:
    """The default run in `folder`, with the real sheet and `metadata` (a folder with JUMP's tables)."""
    for name in ("workflow", "config", "src", "profiles", "envs"):
        shutil.copytree(repository / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(repository / "Snakefile", folder / "Snakefile")
    (folder / "stub.sh").write_text(STUB.replace("@FOLDER@", str(folder)))
    script = re.compile(rf'script:\n(\s+)"\.\./scripts/(?!(?:{"|".join(REAL)})\.py)\w+\.py"')
    for path in (folder / "workflow/rules").glob("*.smk"):
        path.write_text(script.sub(rf'shell:\n\1"sh {folder}/stub.sh {{log:q}} {{output:q}}"', path.read_text()))
    addresses = {name: {"address": str(metadata / f"{name}.csv.gz"), "sha256": None} for name in ("plate", "well")}
    run = StubRun(folder)
    (folder / "run.yaml").write_text(yaml.safe_dump({**CHANGES, "metadata": addresses}, sort_keys=False))
    run.fail(())
    return run
