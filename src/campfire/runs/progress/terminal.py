"""Whether a job would write between the lines of a display of stages: an agreement between a run and its jobs."""

import os
from typing import TextIO

SHOWS_STAGES = "CAMPFIRE_SHOWS_STAGES"
"""Environment variable that names the output on which a run shows its stages."""


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
