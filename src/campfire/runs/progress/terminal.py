"""What a run that shows its stages and its jobs agree on: where not to print, and where to leave warnings instead."""

import os
from collections.abc import Iterator
from logging import FileHandler
from pathlib import Path
from tempfile import mkstemp
from typing import TextIO

SHOWS_STAGES = "CAMPFIRE_SHOWS_STAGES"
"""Environment variable that names the output on which a run shows its stages."""
WARNINGS = "CAMPFIRE_WARNINGS"
"""Environment variable that names the file in which jobs leave warnings for the run to print."""


def identity(stream: TextIO) -> str:
    """What identifies the file or terminal behind a stream, the same in all processes of a machine; "" for none."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return ""
    return f"{status.st_dev}:{status.st_ino}"


def shows_stages(stream: TextIO) -> bool:
    """Whether a run shows its stages where this stream of a job ends; a job of a cluster has an output of its own."""
    shown = os.environ.get(SHOWS_STAGES, "")
    return bool(shown) and shown == identity(stream)


def warnings_handler() -> list[FileHandler]:
    """The handler that leaves a job's warnings to the run; none where no run reads them."""
    path = os.environ.get(WARNINGS, "")
    return [FileHandler(path, mode="a", encoding="utf-8")] if path and Path(path).is_file() else []


class Warnings:
    """The warnings that jobs leave, line by line; a new file below the folder for temporary files."""

    def __init__(self) -> None:
        handle, name = mkstemp(prefix="campfire-", suffix=".warnings")
        os.close(handle)
        self.path, self.read = Path(name), 0
        self.said: set[str] = set()
        self.repeated = 0
        """Warnings held back because another job had said the same."""
        os.environ[WARNINGS] = name

    def new(self) -> Iterator[str]:
        """Whole lines that were not read before, without those that another job has said word for word."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self.read)
                text = file.read()
        except OSError:
            return
        whole = text[: text.rfind(b"\n") + 1]
        self.read += len(whole)
        for line in whole.decode(errors="replace").splitlines():
            message = line.partition(": ")[2] or line  # without the time and the job
            if message in self.said:
                self.repeated += 1
            else:
                self.said.add(message)
                yield line

    def close(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)
