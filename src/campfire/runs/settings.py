"""Which options decide a result and which only say how a machine computes it."""

from collections.abc import Callable, Mapping
from typing import Any

S3_SOURCE = frozenset({"bucket", "prefix", "folder"})
EXECUTION_OPTIONS: Mapping[str, Callable[[str], bool]] = {
    "s3": lambda name: name not in S3_SOURCE,
    "nuclei": frozenset({"device", "batch_size", "sites_per_batch"}).__contains__,
    "embed": frozenset({"batch_size"}).__contains__,
    "transfer.head": frozenset({"checkpoint_every"}).__contains__,
}
"""Section -> whether an option of it leaves results unchanged. Sections that are not listed have no such option."""


def result_options(section: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that decide the result, with keys in order: a change of one reruns what it affects."""
    leaves_unchanged = EXECUTION_OPTIONS.get(section, lambda name: False)
    chosen: dict[str, Any] = in_order({name: value for name, value in options.items() if not leaves_unchanged(name)})
    return chosen


def execution_options(section: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that only say how a machine does the work: a change of one reruns nothing."""
    return {name: value for name, value in options.items() if EXECUTION_OPTIONS[section](name)}


def in_order(value: Any) -> Any:
    """A value whose mappings list their keys in order, so that their order in the config does not count."""
    if isinstance(value, Mapping):
        return {key: in_order(value[key]) for key in sorted(value)}
    return value
