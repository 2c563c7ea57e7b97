"""Places of a screen as the config writes them: PLATE, PLATE/WELL or PLATE/WELL/SITE."""

from collections.abc import Mapping
from typing import Any

from campfire.screen.names import name_problem
from campfire.screen.wells import well_name


def read_entries(values: Any) -> Any:
    """Entries from YAML: places normalised (`br1/a1` -> `br1/A01`), a missing reason as "", a list as a mapping.

    ValueError for a place that cannot be one.
    """
    if isinstance(values, list | tuple):
        values = dict.fromkeys(values)
    if not isinstance(values, Mapping):
        return values
    return {_place(str(place)): "" if reason is None else reason for place, reason in values.items()}


def _place(text: str) -> str:
    plate, *below = text.strip().split("/")
    if problem := name_problem("plate", plate):
        raise ValueError(f"{text!r}: plate {plate!r} {problem}")
    if len(below) > 2:
        raise ValueError(f"{text!r}: write PLATE, PLATE/WELL or PLATE/WELL/SITE")
    if below and (name := well_name(below[0])) is None:
        raise ValueError(f"{text!r}: {below[0]!r} is no well; write it as in {plate}/A01")
    if len(below) == 2 and not below[1].strip():
        raise ValueError(f"{text!r}: names no site; write it as in {plate}/{name}/1")
    return "/".join([plate, *([str(name)] if below else []), *(part.strip() for part in below[1:])])


def plate_of(place: str) -> str:
    """The plate of an entry."""
    return place.partition("/")[0]
