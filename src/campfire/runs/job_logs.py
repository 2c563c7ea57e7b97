"""What the end of a job's log says: its last error, its last lines."""

import re
from pathlib import Path

ERROR = re.compile(r"(?:ERROR|unexpected error) after \d+ s(?:: (?P<text>.*))?$")
HEAD = re.compile(r"^\d\d:\d\d:\d\d \w+(?:\[[^\]]*\])?: ")
"""What begins each line: time, rule and wildcards."""
LAST_BYTES = 100_000


def last_lines(log: str | Path, count: int, most_bytes: int = LAST_BYTES) -> list[str]:
    """The last lines of a job's log without empty ones; [] where there is no log."""
    try:
        with open(log, "rb") as file:
            file.seek(max(0, Path(log).stat().st_size - most_bytes))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    return [line.rstrip() for line in lines if line.strip()][-count:]


def last_line(log: str | Path) -> str:
    """The last line of a job's log without time and rule; "" where there is none."""
    lines = last_lines(log, 1, 2000) if log else []
    return HEAD.sub("", lines[0]) if lines else ""


def last_error(log: str | Path) -> str:
    """The last error in a job's log; "" without one: the job was killed, or never started."""
    lines = last_lines(log, LAST_BYTES)
    for number, line in reversed(list(enumerate(lines))):
        if match := ERROR.search(line):
            return match["text"] or lines[-1].strip() or "unexpected error"  # a traceback ends with what it is
        if number < len(lines) - 1 and line.startswith("Traceback"):
            return lines[-1].strip()
    return ""
