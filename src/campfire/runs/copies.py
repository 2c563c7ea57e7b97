"""Copies of a finished project: the times of its results put back, so that a copy is not computed again.

`cp -r`, a restored backup or another file system gives every file a new time, in the order of copying. Snakemake keeps
the time of each result in its records (`.snakemake/metadata`); from them the order of making is put back. Contents do
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
"""Seconds by which file systems round the times of files."""


@dataclass(frozen=True)
class Made:
    """A result as Snakemake recorded it, and when its file was changed last."""

    path: Path
    recorded: float
    modified: float

    @property
    def moved(self) -> bool:
        """Whether its time is not the one it was made at."""
        return abs(self.modified - self.recorded) > TOLERANCE


def read_made(folder: str | Path = ".") -> Iterator[Made]:
    """The results of a folder that Snakemake has a record of; records that cannot be read are passed over."""
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
    """Put back the times of results in a folder that was copied; the number of files, 0 where it was not.

    A folder counts as copied when more than half of its results have another time than recorded: a single altered
    result keeps its new time, and what is made of it is made again. Only results are touched, never inputs.
    """
    made = list(read_made(folder))
    moved = [result for result in made if result.moved]
    if 2 * len(moved) <= len(made):
        return 0
    for result in moved:
        os.utime(result.path, (result.recorded, result.recorded))
    return len(moved)
