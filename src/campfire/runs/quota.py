"""How much a quota still allows on a disk: asked of Lustre's `lfs` or the system's `quota`, where there is one."""

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

ASKED_S = 10.0
"""Longest time that a server of quotas may take."""
BLOCK = 1024
"""Bytes of a block in both commands' output."""


def quota_left(folder: str | Path) -> float | None:
    """Bytes that the quotas of this user and group still allow under a folder; None without one, or where none answers.

    The disk may have more or less room; GPFS and other systems with commands of their own are not asked.
    """
    place = existing(folder)
    left = [room for line in [*_lustre(place), *_system(place)] if (room := _room(line)) is not None]
    return min(left, default=None)


def existing(folder: str | Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    place = Path(folder).resolve()
    while not place.exists():
        place = place.parent
    return place


def _lustre(place: Path) -> Iterable[list[str]]:
    """Lines of `lfs quota` for user and group: file system, blocks used, soft and hard limit, ..."""
    for kind, number in (("-u", os.getuid()), ("-g", os.getgid())):
        yield from _lines("lfs", "quota", "-q", kind, str(number), str(place))


def _system(place: Path) -> Iterable[list[str]]:
    """Lines of `quota` about the device that the folder is on."""
    device = _device(place)
    return (words for words in _lines("quota", "-w", "-p", "-u", "-g") if words[0] == device)


def _device(place: Path) -> str:
    """What is mounted where the folder is, e.g. /dev/sda1 or server:/home."""
    try:
        mounts = [line.split()[:2] for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return ""
    above = [(len(point), device) for device, point in mounts if place.is_relative_to(point.replace("\\040", " "))]
    return max(above, default=(0, ""))[1]


def _lines(*command: str) -> list[list[str]]:
    """The words of each line that a command prints; none where it is missing or does not answer."""
    if shutil.which(command[0]) is None:
        return []
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ASKED_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [words for line in done.stdout.splitlines() if len(words := line.split()) >= 4]


def _room(words: list[str]) -> float | None:
    """Bytes left by a line of file system, blocks used (with a `*` when over), soft and hard limit; None: no limit."""
    try:
        used, soft, hard = (float(word.rstrip("*")) for word in words[1:4])
    except ValueError:
        return None
    limits = [limit for limit in (soft, hard) if limit]
    return max(0.0, min(limits) - used) * BLOCK if limits else None
