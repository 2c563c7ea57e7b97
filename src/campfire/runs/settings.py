"""Which options decide a result and which only control how it is computed."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from campfire.core.mistakes import kind_at
from campfire.core.options import Options, is_execution
from campfire.runs.config import Config


@cache
def _execution(section: str) -> frozenset[str]:
    """The options of a section that leave results unchanged: those whose class declares them so."""
    kind, _ = kind_at(Config, {}, tuple(section.split(".")))
    if not (isinstance(kind, type) and issubclass(kind, Options)):
        return frozenset()
    return frozenset(name for name in kind.model_fields if is_execution(kind, name))


def result_options(section: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that decide the result, with keys in order: changing one reruns what it affects."""
    chosen: dict[str, Any] = in_order(
        {name: value for name, value in options.items() if name not in _execution(section)}
    )
    return chosen


def execution_options(section: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that only control how the work is executed: changing one reruns nothing."""
    return {name: value for name, value in options.items() if name in _execution(section)}


def in_order(value: Any) -> Any:
    """A value whose mappings list their keys in order, so that their order in the config does not count."""
    if isinstance(value, Mapping):
        return {key: in_order(value[key]) for key in sorted(value)}
    return value
