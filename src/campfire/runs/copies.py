"""Restoring the times of results in a copy of a finished project, so that the copy is not recomputed.

`cp -r`, a restored backup or another file system gives every file a new time, in the order of copying. Snakemake keeps
the time of each result in its records (`.snakemake/metadata`); from them the original order is restored. Contents do
not matter here: `campfire verify` compares them with their checksums, and Snakemake compares those of small inputs.
"""

import json
import os
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

RECORDS = Path(".snakemake/metadata")
TOLERANCE = 2.0
"""Resolution in seconds of the times in file systems."""


@dataclass(frozen=True)
class Made:
    """A result as Snakemake recorded it, and its file's modification time."""

    path: Path
    recorded: float
    modified: float

    @property
    def moved(self) -> bool:
        """Whether the time of the file differs from the recorded one."""
        return abs(self.modified - self.recorded) > TOLERANCE


def read_made(folder: str | Path = ".") -> Iterator[Made]:
    """The results of a folder that Snakemake has recorded; unreadable records are skipped."""
    root = Path(folder) / RECORDS
    for path in root.rglob("*"):
        if not path.is_file():
            continue
        coded = "".join(part.removeprefix("@") for part in path.relative_to(root).parts)
        try:
            name = urlsafe_b64decode(coded).decode()
            recorded = float(json.loads(path.read_text(encoding="utf-8"))["endtime"])
            result = Path(folder) / name
            if result.is_file():
                yield Made(result, recorded, result.stat().st_mtime)
        except (OSError, ValueError, KeyError, TypeError):
            continue


def restore_times(folder: str | Path = ".") -> int:
    """Restore the times of results in a copied folder; returns the number of files, 0 if it is not a copy.

    A folder counts as copied when more than half of its results have another time than recorded: a single altered
    result keeps its new time, and everything derived from it is remade. Only results are touched, never inputs.
    """
    made = list(read_made(folder))
    moved = [result for result in made if result.moved]
    if 2 * len(moved) <= len(made):
        return 0
    for result in moved:
        os.utime(result.path, (result.recorded, result.recorded))
    return len(moved)
