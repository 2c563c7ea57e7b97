"""The file and line of each value of the config."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from campfire.core.mistakes import Path as Place
from campfire.core.mistakes import step_into


class Places:
    """Where values of a merged config come from."""

    def __init__(self, files: Iterable[str | Path], values: Mapping[str, Any]) -> None:
        self._values = values
        self._files = [read for path in files if (read := _read(path)) is not None]

    def of(self, path: Place) -> str:
        """`file, line N: ` of the value at a path, or of the section above it; `config: ` if it is in no file."""
        for length in range(len(path), 0, -1):
            part = path[:length]
            for name, node, content in reversed(self._files):
                found = _node(node, part)
                if found is not None and (length < len(path) or _at(content, part) == _at(self._values, part)):
                    return f"{name}, line {found.start_mark.line + 1}: "
            if length == len(path) and _at(self._values, part) is not None:
                return "config: "  # given by --config
        return "config: "


def repeated_keys(path: str | Path) -> list[str]:
    """A line for each key that a YAML file has twice in one mapping: YAML silently takes the last."""
    read = _read(path)
    return [] if read is None else [f"{read[0]}, {text}" for text in _repeated(read[1])]


def _repeated(node: yaml.Node, above: str = "") -> Iterator[str]:
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _repeated(item, f"{above}{number}.")
    if not isinstance(node, yaml.MappingNode):
        return
    first: dict[str, int] = {}
    for key, value in node.value:
        line, name = key.start_mark.line + 1, str(key.value)
        if name in first and name != "<<":
            yield f"line {line}: {above}{name}: is already given on line {first[name]}; YAML takes the last; keep one"
        first.setdefault(name, line)
        yield from _repeated(value, f"{above}{name}.")


def _read(path: str | Path) -> tuple[str, yaml.Node, Any] | None:
    """Name, syntax and content of a file; None if it is no YAML mapping."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        node, content = yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text)
    except (OSError, yaml.YAMLError):
        return None
    return (_short(path), node, content) if isinstance(node, yaml.MappingNode) else None


def _short(path: str | Path) -> str:
    """A path relative to the working folder where it lies below it."""
    try:
        return str(Path(path).resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _at(content: Any, path: Place) -> Any:
    for step in path:
        content = step_into(content, step)
    return content


def _node(node: Any, path: Place) -> Any:
    """The node of the key, or of the list item, at a path; None where there is none."""
    place = node
    for step in path:
        place = None
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(step):
                    place, node = key, value
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            place = node = node.value[step]
        if place is None:
            return None
    return place
