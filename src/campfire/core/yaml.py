"""YAML files and the mappings that they hold."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from campfire.core.errors import ConfigError


def read_yaml(path: str | Path) -> Any:
    """Read a YAML file; an unreadable one raises a ConfigError that names the file and line."""
    try:
        with open(path, encoding="utf-8") as handle:
            # The C parser where PyYAML has it: every job of the workflow reads the config.
            return yaml.load(handle, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes` laid over it: mappings merge key by key, anything else is replaced (as Snakemake does)."""
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged
