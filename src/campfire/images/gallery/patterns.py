"""Reading plate, well, site and channel from the names of image files with a regular expression.

A pattern may match anywhere in a path, but its groups must capture whole values: a pattern that reads site 1 from s12,
or channel Cy from Cy5, is refused with the name that it truncates.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from campfire.core.errors import ConfigError, DataError

PATTERNS = {
    "phenix": (
        r"r(?P<row>\d+)c(?P<column>\d+)f(?P<site>\d+)p(?P<plane>\d+)-ch(?P<channel>\d+)"
        r"(sk(?P<time>\d+))?(fk\d+)?(fl\d+)?[.]tiff?$"
    ),
    "imagexpress": (
        r"(TimePoint_(?P<time>\d+)/)?(ZStep_(?P<plane>\d+)/)?[^/]*_(?P<well>[A-Z]{1,2}\d\d)(_s(?P<site>\d+))?"
        r"_w(?P<channel>\d)([0-9A-F]{8}-[0-9A-F-]+)?[.](tiff?|TIF)$"
    ),
    "cellvoyager": (
        r"_(?P<well>[A-Z]{1,2}\d\d)_T(?P<time>\d+)F(?P<site>\d+)L\d+A\d+Z(?P<plane>\d+)C(?P<channel>\d+)[.](tiff?|png)$"
    ),
    "row-column": (
        r"(?i:r(ow)?)[_-]?(?P<row>\d+|[A-Z])[_-]?(?i:c(ol(umn)?)?)[_-]?(?P<column>\d+)[_-]"
        r"(?i:f(ield)?|s(ite)?)?[_-]?(?P<site>\d+)[_-](?P<channel>[A-Za-z0-9]+)[.](tiff?|png)$"
    ),
    "well-site": (r"(?P<well>[A-Z]{1,2}\d{1,2})_[sf]?(?P<site>\d+)_(?P<channel>[A-Za-z0-9]+)[.](tiff?|png)$"),
}
"""Patterns of common file names by instrument: r02c04f01p01-ch1sk1fk1fl1.tiff (Opera Phenix and Operetta),
P1_B02_s1_w1<id>.tif (ImageXpress), P1_B02_T0001F001L01A01Z01C01.tif (CellVoyager), Row2_Col4_Field1_DAPI.tif,
B02_1_DAPI.tif."""

EXAMPLES = {
    "phenix": "r02c04f01p01-ch1sk1fk1fl1.tiff (Opera Phenix, Operetta)",
    "imagexpress": "P1_B04_s1_w1A1B2….tif (ImageXpress)",
    "cellvoyager": "P1_B04_T0001F001L01A01Z01C01.tif (CellVoyager)",
    "row-column": "Row2_Col4_Field1_DAPI.tif",
    "well-site": "B04_1_DAPI.tif",
}
GROUPS = ("plate", "well", "row", "column", "site", "channel", "plane", "time")

LONGEST_NUMBER = 4
"""Up to this many digits after a captured number belong to it; more are an identifier, as in ImageXpress names."""


class Reading(NamedTuple):
    """Values that a pattern reads from a path, one per group; "" if a group matches nothing."""

    plate: str
    well: str
    row: str
    column: str
    site: str
    channel: str
    plane: str
    time: str


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """The regular expression of a pattern or of a name in PATTERNS; ConfigError if it lacks a group."""
    pattern = PATTERNS.get(pattern, pattern)
    try:
        regex = re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"the pattern {pattern!r} is no regular expression ({error}); correct it, or name one of "
            f"{', '.join(PATTERNS)}"
        ) from error
    groups = set(regex.groupindex)
    if "channel" not in groups or not ({"well"} <= groups or {"row", "column"} <= groups):
        raise ConfigError(
            f"the pattern {pattern!r} needs the groups `channel` and `well`, or `row` and `column`; or name one of "
            f"{', '.join(PATTERNS)}"
        )
    unknown = sorted(groups - set(GROUPS))
    if unknown:
        raise ConfigError(f"the pattern has an unknown group `{unknown[0]}`; there are {', '.join(GROUPS)}")
    return regex


def read_path(regex: re.Pattern[str], path: str) -> Reading | None:
    """The values in a path; None if the pattern does not match, DataError if a group captures only part of a name."""
    match = regex.search(path)
    if match is None:
        return None
    for group in regex.groupindex:
        if whole := _cut(match, group, path):
            raise DataError(
                f"{path}: the pattern reads {group} {match[group]!r} out of {whole!r}; let the group capture the whole "
                "number or name"
            )
    found = match.groupdict()
    return Reading(*((found.get(group) or "") for group in GROUPS))


def _cut(match: re.Match[str], group: str, path: str) -> str:
    """The longer name of which a group captures a part; "" if it captures all of it."""
    start, end = match.span(group)
    if start < 0 or start == end:
        return ""
    others = [match.span(name) for name in match.re.groupindex if name != group]
    after = _run(path[end : min([s for s, _ in others if s >= end], default=len(path))])
    before = _run(path[max([e for _, e in others if e <= start], default=0) : start][::-1])[::-1]
    taken = path[start:end]
    if after and taken[-1].isalnum() and (end == match.end() or _continues(taken, after)):
        return taken + after
    if before and taken[0].isalnum() and (start == match.start() or _begins(group, taken, before)):
        digits = before[len(before.rstrip("0123456789")) :]
        return (digits if taken[0].isdigit() and digits else before) + taken
    return ""


def _continues(taken: str, after: str) -> bool:
    """Whether letters and digits that the pattern skips after a group belong to the captured value."""
    if taken[-1].isdigit():
        return after.isdigit() and len(after) <= LONGEST_NUMBER
    return bool(after.strip("0"))


def _begins(group: str, taken: str, before: str) -> bool:
    """Whether letters and digits that the pattern skips before a group belong to the captured value."""
    if taken[0].isdigit():
        digits = before[len(before.rstrip("0123456789")) :]
        return bool(digits.strip("0"))
    return group in ("well", "row") and before.upper() == "A"


def _run(text: str) -> str:
    """The leading letters and digits of a text."""
    match = re.match(r"[^\W_]*", text)
    return match[0] if match else ""


def guess(paths: Iterable[str]) -> tuple[str, int]:
    """The name in PATTERNS that reads most of `paths`, and how many; ("", 0) if none reads four in five."""
    paths = list(paths)
    counts = {name: sum(_reads(re.compile(pattern), path) for path in paths) for name, pattern in PATTERNS.items()}
    best = max(counts, key=lambda name: counts[name])
    return (best, counts[best]) if paths and counts[best] >= 0.8 * len(paths) else ("", 0)


def _reads(regex: re.Pattern[str], path: str) -> bool:
    try:
        return read_path(regex, path) is not None
    except DataError:
        return False


def describe(paths: Sequence[str], name: str) -> str:
    """A few lines that show how a pattern of PATTERNS reads the first `paths`, for the user to confirm."""
    regex = re.compile(PATTERNS[name])
    lines = []
    for path in paths[:3]:
        reading = read_path(regex, path)
        if reading is not None:
            parts = [f"{group} {value}" for group, value in reading._asdict().items() if value]
            lines.append(f"  {path}: {', '.join(parts)}")
    return "\n".join(lines)
