"""The table of all options in config/README.md, written from the option classes: `campfire options`."""

import argparse
import sys
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from campfire.core.errors import in_one_line
from campfire.core.mistakes import chosen
from campfire.core.options import Options, about
from campfire.core.text import markdown_table
from campfire.encoders import KINDS
from campfire.runs.config.model import Config

INTRODUCTION = """# The config

`config.yaml` is the paper's run and is always read. A file given with `--configfile` is laid over it: mappings merge
key by key, lists are replaced. `--config key=value` is laid over both. A wrong key or value stops the plan with a
message that names its file and line and the nearest right one; all mistakes are listed at once.

| file | what it is |
|---|---|
| config.yaml | the paper's run, with the source of each value |
| demo.yaml, demo-screen.yaml | the demo, and the screen that is simulated for it |
| smoke.yaml, smoke-screen.yaml | every rule on the smallest possible screen |
| two-labs.yaml, two-labs-screen.yaml | laid over smoke.yaml: two laboratories, masked tiles, single unseen channels |
| paper.yaml | the run that follows the paper's text where the released code differs |
| compare.yaml | laid over demo.yaml: Campfire beside its relatives, three seeds each (docs/encoders.md) |
| sceptic.yaml | the paper's run beside a random CNN, simple baselines and the plain ImageNet MAE (docs/encoders.md) |
| strict.yaml, strict-against-release.yaml | the run without known leakage, and its comparison (docs/strict.md) |
| pilot.yaml, nf1.yaml | one real JUMP field; a real screen of other cells |
| plates.tsv, known_bad.tsv, ablations/ | the paper's plates, corrupt objects, the rows of Tables 2.3 to 2.5 |

A value that follows another is filled in automatically, and a contradicting value is refused: set only `tiles.size`,
and the model and the nuclei follow. Options marked *execution* only control how the work is executed; changing them
reruns nothing.

# Options

Written by `make config-table` from the option classes (`Options` in src/campfire/*/options.py); do not edit below.
"""


WORDS = {
    int: "whole number",
    float: "number",
    str: "text",
    bool: "true, false",
    type(None): "null",
    Any: "any value",
}
"""Plain types in words."""


def readme() -> str:
    """The text of config/README.md."""
    sections = list(_sections())
    return "\n".join([INTRODUCTION, *(_render(title, summary, rows) for title, summary, rows in sections)])


def _sections() -> Iterator[tuple[str, str, list[list[str]]]]:
    """(title, summary, rows) of each section: the top level, then every class below it."""
    top = [name for name, field in Config.model_fields.items() if _options_in(field.annotation) is None]
    yield "Top level", "", [_row(Config, name, name) for name in top if name != "encoders"]
    for name, field in Config.model_fields.items():
        if name == "encoders":
            for kind, found in KINDS.items():
                yield f"encoders.NAME, kind {kind}", _summary(found.options), list(_rows(found.options, "", ("kind",)))
        elif (kind_of := _options_in(field.annotation)) is not None:
            yield from _below(kind_of, name + _key(field.annotation))


def _below(kind: type[BaseModel], title: str) -> Iterator[tuple[str, str, list[list[str]]]]:
    """A class's own table, then those of the classes that it holds."""
    inner = {name: field.annotation for name, field in kind.model_fields.items() if _options_in(field.annotation)}
    rows = list(_rows(kind, "", tuple(inner)))
    if rows:
        yield title, _summary(kind), rows
    for name, annotation in inner.items():
        found = _options_in(annotation)
        assert found is not None
        yield from _below(found, f"{title}.{name}{_key(annotation)}")


def _rows(kind: type[BaseModel], prefix: str, leave_out: Sequence[str]) -> Iterator[list[str]]:
    for name in kind.model_fields:
        if name not in leave_out and not about(kind, name).get("internal"):
            yield _row(kind, name, prefix + name)


def _row(kind: type[BaseModel], name: str, shown: str) -> list[str]:
    """One row of a table: option, values, default, meaning."""
    field, details = kind.model_fields[name], about(kind, name)
    notes = [f"follows `{details['follows']}`"] if details.get("follows") else []
    notes += ["*execution*"] if details.get("execution") else []
    notes += [f"[{details['source']}]"] if details.get("source") else []
    meaning = " ".join([str(field.description), *notes])
    cells = [f"`{shown}`", _values(field, str(details.get("unit", ""))), _default(field), meaning]
    return [cell.replace("|", "/") for cell in cells]


def _render(title: str, summary: str, rows: Sequence[list[str]]) -> str:
    head = [f"## {title}", ""] + ([summary, ""] if summary else [])
    return "\n".join([*head, markdown_table(("option", "values", "default", "meaning"), rows), ""])


def _summary(kind: type[BaseModel]) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]


def _options_in(annotation: Any) -> type[BaseModel] | None:
    """The option class that a section is, or that its entries are; None for plain values and unions of classes."""
    kind = chosen(annotation, None)
    if isinstance(kind, type) and issubclass(kind, Options):
        return None if kind is Options else kind
    if typing.get_origin(kind) in (Mapping, Sequence, dict, list) or _is_collection(kind):
        arguments = [argument for argument in typing.get_args(kind) if argument is not Ellipsis]
        return _options_in(arguments[-1]) if arguments else None
    return None


def _is_collection(kind: Any) -> bool:
    origin = typing.get_origin(kind)
    return isinstance(origin, type) and issubclass(origin, Mapping | Sequence)


def _key(annotation: Any) -> str:
    """How entries of a mapping or list of sections are addressed."""
    origin = typing.get_origin(chosen(annotation, None))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return ".NAME"
    return "[]" if isinstance(origin, type) and issubclass(origin, Sequence) else ""


def _values(field: FieldInfo, unit: str) -> str:
    """What may be given: type or choices, range, unit."""
    limits = []
    for rule in field.metadata:
        for sign, name in (("≥", "ge"), (">", "gt"), ("≤", "le"), ("<", "lt"), ("multiple of", "multiple_of")):
            if (value := getattr(rule, name, None)) is not None:
                limits.append(f"{sign} {value}")
    return ", ".join(filter(None, [_type(field.annotation), *limits])) + (f" ({unit})" if unit else "")


def _type(annotation: Any) -> str:
    """A type in words."""
    if typing.get_origin(annotation) is typing.Annotated:
        return _type(typing.get_args(annotation)[0])
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return ", ".join(str(value).lower() if isinstance(value, bool) else str(value) for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type(argument) for argument in arguments)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"mapping to {_type(arguments[1])}"
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return f"list of {_type(arguments[0])}"
    return WORDS.get(annotation, "options")


def _default(field: FieldInfo) -> str:
    """The default as YAML writes it."""
    if field.is_required():
        return "required"
    return f"`{_written(field.default)}`"


def _written(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_written, value)) + "]"
    return str(value) if value != "" else '""'


@in_one_line
def main(arguments: list[str] | None = None) -> int:
    """Write the README; returns the exit code."""
    parser = argparse.ArgumentParser(prog="campfire options", description="Write the table of all options.")
    parser.add_argument("file", type=Path, nargs="?", help="Markdown file to write (default: standard output)")
    given = parser.parse_args(arguments)
    if given.file is None:
        print(readme())
    else:
        given.file.write_text(readme(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
