"""Write config.schema.yaml: the sections of the config from the library's option classes, the rest from here.

Field names, types, defaults and descriptions have one home, the option class; `make schema` carries them over and a
test fails when the two drift apart.
"""

import ast
import dataclasses
import inspect
import re
import textwrap
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union

import yaml

HERE = Path(__file__).resolve().parent
DOC_LINE = re.compile(r"^\s*(\w+(?:, \w+)*): (.*)$")
SCALARS = {int: "integer", float: "number", bool: "boolean", str: "string"}


def descriptions(options: type) -> dict[str, str]:
    """Field -> description: the text below a field, the comment beside it, or its line in the class's docstring."""
    source = textwrap.dedent(inspect.getsource(options))
    lines = source.splitlines()
    body = typing.cast(ast.ClassDef, ast.parse(source).body[0]).body
    found = docstring_lines(options)
    for node, after in zip(body, [*body[1:], None], strict=True):
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            found[node.target.id] = " ".join(str(after.value.value).split())
            continue
        comments = [line.split("  # ", 1)[1] for line in lines[node.lineno - 1 : node.end_lineno] if "  # " in line]
        if comments:
            found[node.target.id] = " ".join(comments)
    return found


def docstring_lines(options: type) -> dict[str, str]:
    """Field -> description, read from the `name: text` lines of the class's docstring."""
    names = {field.name for field in dataclasses.fields(options)}
    found: dict[str, str] = {}
    current: list[str] = []
    for line in (options.__doc__ or "").splitlines():
        match = DOC_LINE.match(line)
        if match and set(match[1].split(", ")) <= names:
            current = match[1].split(", ")
            found.update(dict.fromkeys(current, match[2].strip()))
        elif not line.strip():
            current = []
        elif current:
            found.update({name: f"{found[name]} {line.strip()}" for name in current})
    return found


def type_schema(kind: Any) -> dict[str, Any]:
    """JSON schema of a field's type."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return options_schema(typing.cast(type, kind))
    if kind in SCALARS:
        return {"type": SCALARS[kind]}
    if kind is type(None):
        return {"type": "null"}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        branches = [type_schema(argument) for argument in arguments]
        if all(set(branch) == {"type"} for branch in branches):
            return {"type": [branch["type"] for branch in branches]}
        return {"anyOf": branches}
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        return {"type": "array", "minItems": len(arguments), "maxItems": len(arguments)}
    if origin in (tuple, list, Sequence):
        return {"type": "array", "items": type_schema(arguments[0])}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": type_schema(arguments[1])}
    if kind is Any:
        return {}
    raise TypeError(f"no schema for {kind!r}; add it to type_schema")


def options_schema(options: type, leave_out: Sequence[str] = (), add: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """JSON schema of an option class; every field needs a description in its docstring."""
    text = descriptions(options)
    hints = typing.get_type_hints(options)
    properties: dict[str, Any] = {}
    for field in dataclasses.fields(options):
        if field.name in leave_out:
            continue
        if field.name not in text:
            raise TypeError(f"{options.__name__}.{field.name} has no description in the class's docstring")
        properties[field.name] = {"description": text[field.name], **type_schema(hints[field.name])}
    properties.update(add or {})
    summary = (options.__doc__ or "").strip().splitlines()[0]
    return {"type": "object", "description": summary, "additionalProperties": False, "properties": properties}


def text(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": description, **more}


def names(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "string"}, "description": description, **more}
