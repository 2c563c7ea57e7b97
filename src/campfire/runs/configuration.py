"""Checking a configuration against its schema, with an answer to every mistake.

A wrong key is answered with the nearest right one, a wrong value with the allowed ones.
"""

import difflib
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from campfire.core.errors import ConfigError


def _place(error: ValidationError) -> str:
    path = ".".join(str(part) for part in error.absolute_path)
    return path or "the top level"


def _unknown_keys(error: ValidationError) -> str:
    schema: Any = error.schema
    instance: Any = error.instance
    allowed = sorted(schema.get("properties", {}))
    hints = []
    for key in sorted(set(instance) - set(allowed)):
        near = difflib.get_close_matches(str(key), allowed, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else f"allowed: {', '.join(allowed)}"
        hints.append(f"unknown key `{key}` in {_place(error)}; {hint}")
    return "; ".join(hints)


def _explain(error: ValidationError) -> str:
    """One sentence on one mistake."""
    if error.validator == "additionalProperties" and isinstance(error.instance, Mapping):
        return _unknown_keys(error)
    if error.validator in ("anyOf", "oneOf") and error.context:
        # The branch that got furthest is the one that the user meant.
        deepest = max(error.context, key=lambda sub: (len(sub.absolute_path), sub.validator != "type"))
        if len(deepest.absolute_path) > len(error.absolute_path):
            return _explain(deepest)
    if "propertyNames" in error.absolute_schema_path:
        return f"{_place(error)}: the name {error.instance!r} may have only letters, digits, dot, dash and underscore"
    if error.validator == "required":
        return f"{_place(error)}: {error.message}"
    schema: Any = error.schema
    value: Any = error.validator_value
    purpose = schema.get("description", "")
    expected = error.message
    if error.validator == "enum":
        near = difflib.get_close_matches(str(error.instance), [str(v) for v in value], n=1)
        expected = f"allowed: {', '.join(map(str, value))}" + (f"; did you mean `{near[0]}`?" if near else "")
    elif error.validator == "type":
        expected = f"expected {value if isinstance(value, str) else ' or '.join(value)}"
    return f"`{_place(error)}: {error.instance!r}` is not valid: {expected}" + (f" ({purpose})" if purpose else "")


def validate(config: Mapping[str, Any], schema: Mapping[str, Any], name: str = "config") -> None:
    """Raise a ConfigError with one line per mistake when `config` does not fit the JSON schema."""
    errors = sorted(Draft202012Validator(schema).iter_errors(config), key=lambda e: [str(p) for p in e.absolute_path])
    if errors:
        lines = [_explain(error) for error in errors]
        raise ConfigError("\n".join(f"{name}: {line}" for line in lines))
