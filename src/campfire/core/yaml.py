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
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not text in UTF-8 ({error.reason}); save it as UTF-8") from error
    except (IsADirectoryError, PermissionError) as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except yaml.YAMLError as error:
        raise ConfigError(explain(path, error)) from error


def explain(path: str | Path, error: yaml.YAMLError) -> str:
    """What is wrong with a YAML file, and in which line, in one line."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    what = " ".join(str(part) for part in (getattr(error, "context", ""), getattr(error, "problem", "")) if part)
    if mark is None:
        return f"{path}: not valid YAML ({' '.join(str(error).split())})"
    line = _line(path, mark.line)
    hint = "; indent with blanks, not tabs" if "\t" in line[: len(line) - len(line.lstrip())] else ""
    shown = f" `{line.strip()[:60]}`" if line.strip() else ""
    return f"{path}, line {mark.line + 1}: not valid YAML:{shown} ({what}){hint or '; check indentation and brackets'}"


def _line(path: str | Path, number: int) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()[number]
    except (OSError, ValueError, IndexError):
        return ""


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `changes` laid over it: mappings merge key by key, anything else is replaced (as Snakemake does)."""
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged
