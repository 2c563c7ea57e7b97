"""Messages about wrong options: location, mistake and remedy, with the nearest valid key or value."""

import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

Path = tuple[str | int, ...]

EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "sequence_str": "a list",
    "list_type": "a list",
    "tuple_type": "a list",
    "mapping_type": "a mapping of keys to values",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of options",
    "model_attributes_type": "a mapping of options",
}
"""pydantic's name of a type error -> the expected value."""

LIMITS = {
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "too_short": "needs at least {min_length} of them",
    "too_long": "takes at most {max_length} of them",
    "string_too_short": "must not be empty",
}
"""pydantic's name of a range error -> the limit that must hold."""


@dataclass(frozen=True)
class Mistake:
    """One mistake: its location, and what is wrong with the remedy."""

    path: Path
    text: str
    spoils: Path | None = None
    """The paths that are unreliable because of it, if not only the option at `path`."""

    def line(self, section: str = "") -> str:
        """`section.path: text`."""
        place = ".".join([*filter(None, [section]), *map(str, self.path)])
        return f"{place}: {self.text}" if place else self.text


def find_mistakes(options: type[BaseModel], values: Mapping[str, Any], error: ValidationError) -> list[Mistake]:
    """Every mistake that pydantic found in `values` for the class `options`, in the order of the class."""
    return [mistake for details in error.errors(include_url=False) for mistake in _explain(options, values, details)]


def nearest(word: object, known: Sequence[object]) -> str:
    """`did you mean X?`, or what is known where nothing is near."""
    names = [str(name) for name in known]
    near = get_close_matches(str(word), names, n=1, cutoff=0.5)
    return f"did you mean `{near[0]}`?" if near else f"known: {', '.join(names) or 'none'}"


def kind_at(options: type[BaseModel], values: Any, path: Path) -> tuple[Any, FieldInfo | None]:
    """The type at the end of a path into `values`, and the last field on the way."""
    kind, field = chosen(options, values), None
    for step in path:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            field = kind.model_fields.get(str(step))
            kind = field.annotation if field else None
        else:
            arguments = [argument for argument in typing.get_args(kind) if argument is not Ellipsis]
            kind = arguments[-1] if arguments else None
        values = step_into(values, step)
        kind = chosen(kind, values)
    return kind, field


def chosen(kind: Any, values: Any) -> Any:
    """A type without Annotated and null; of several option classes that of the `kind` that the values name."""
    while typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    if typing.get_origin(kind) not in (typing.Union, types.UnionType):
        return kind
    branches = [chosen(branch, values) for branch in typing.get_args(kind) if branch is not type(None)]
    wanted = values.get("kind") if isinstance(values, Mapping) else None
    for branch in branches:
        named = branch.model_fields.get("kind") if isinstance(branch, type) and issubclass(branch, BaseModel) else None
        if named and wanted in typing.get_args(named.annotation):
            return branch
    return branches[0] if len(branches) == 1 else None


def step_into(values: Any, step: str | int) -> Any:
    """The value below a key or position; None where there is none."""
    if isinstance(values, BaseModel):
        return getattr(values, str(step), None)
    if isinstance(values, Mapping):
        return values.get(step)
    if isinstance(step, int) and isinstance(values, Sequence) and not isinstance(values, str):
        return values[step] if step < len(values) else None
    return None


def _holds(values: Any, step: str | int) -> bool:
    if isinstance(values, Mapping):
        return step in values
    if isinstance(values, BaseModel):
        return isinstance(step, str) and step in type(values).model_fields
    return isinstance(step, int) and isinstance(values, Sequence) and not isinstance(values, str)


def _path(values: Any, details: ErrorDetails) -> Path:
    """The keys of an error's location, without the marks that pydantic sets between them for unions and validators."""
    path: list[str | int] = []
    for position, step in enumerate(details["loc"]):
        last = position == len(details["loc"]) - 1
        if _holds(values, step) or (last and details["type"] == "missing"):
            path.append(step)
            values = step_into(values, step)
    return tuple(path)


def _explain(options: type[BaseModel], values: Mapping[str, Any], details: ErrorDetails) -> Iterator[Mistake]:
    """A pydantic error as our messages; each contradiction of one class is a separate mistake."""
    path, kind, given = _path(values, details), details["type"], details["input"]
    context: Mapping[str, Any] = details.get("ctx", {})
    if kind == "contradictions":
        for name, text in context["found"]:
            yield Mistake((*path, *name.split(".")) if name else path, text, spoils=path)
        return
    if kind == "extra_forbidden":
        holder, _ = kind_at(options, values, path[:-1])
        yield Mistake(path, f"no such option; {nearest(path[-1], _keys(holder))}")
        return
    expected, field = kind_at(options, values, path)
    sentence = _sentence(kind, given, context, details["msg"]) + _meaning(field, expected)
    yield Mistake(path, sentence, spoils=path[:-1] if kind == "missing" else None)


def _keys(holder: Any) -> list[str]:
    """The keys that the config may have in an option class."""
    fields: Mapping[str, FieldInfo] = getattr(holder, "model_fields", {})
    extras = {name: field.json_schema_extra for name, field in fields.items()}
    return [name for name, extra in extras.items() if not (isinstance(extra, Mapping) and extra.get("internal"))]


def _sentence(kind: str, given: Any, context: Mapping[str, Any], message: str) -> str:
    """Say what is wrong with a value and what to give instead."""
    if kind == "missing":
        return "is missing"
    if kind in ("value_error", "assertion_error"):
        return str(context.get("error", message))
    if kind == "literal_error":
        allowed = context["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        near = get_close_matches(str(given), allowed, n=1)
        hint = f"; did you mean `{near[0]}`?" if near else ""
        return f"{given!r} is not one of {', '.join(allowed)}{hint}{_yaml_hint('string_type', given)}"
    if kind == "union_tag_invalid":
        allowed = context["expected_tags"].replace("'", "").split(", ")
        return (
            f"unknown {context['discriminator'].strip(chr(39))} {context['tag']!r}; {nearest(context['tag'], allowed)}"
        )
    if kind == "union_tag_not_found":
        return f"{_tag_name(context)} is missing"
    if kind in LIMITS:
        return f"{given!r} {LIMITS[kind].format(**context)}"
    if kind == "string_pattern_mismatch":
        return f"the name {given!r} may have only letters, digits, dot, dash and underscore, and starts with no mark"
    if kind in EXPECTED:
        empty = "nothing is given" if given is None else f"{given!r} is not valid"
        return f"{empty}; expected {EXPECTED[kind]}{_yaml_hint(kind, given)}"
    return f"{given!r}: {message}"


def _tag_name(context: Mapping[str, Any]) -> str:
    """The key by which pydantic chooses among option classes."""
    return str(context["discriminator"]).strip("'")


def _yaml_hint(kind: str, given: Any) -> str:
    """Explain why YAML read a value as another type, and how to write the intended one."""
    if kind == "string_type" and isinstance(given, bool):
        return " (YAML reads NO, yes, on and off as true or false: put the word in quotes)"
    if kind == "string_type" and isinstance(given, int | float):
        return f" (put it in quotes: '{given}')"
    if kind in ("int_type", "float_type") and isinstance(given, str):
        try:
            number = float(given)
        except ValueError:
            return ""
        written = f"{int(number)}" if number == int(number) and abs(number) < 1e15 else f"{number}"
        return f" (YAML reads it as text: write {written}, without quotes)"
    if kind in ("int_type", "int_from_float") and isinstance(given, float) and given == int(given):
        return f" (write {int(given)})"
    if kind in ("sequence_str", "list_type", "tuple_type"):
        return f" (write [{given}])"
    return ""


def _meaning(field: FieldInfo | None, expected: Any) -> str:
    """What an option is, in brackets behind the sentence."""
    described = field.description if field else None
    if typing.get_origin(expected) is Literal and described is None:
        return ""
    return f" ({described})" if described else ""
