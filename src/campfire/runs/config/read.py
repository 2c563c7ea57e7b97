"""Reading a config: fills in values that follow others and lists all mistakes at once, each with its line."""

import typing
from collections import Counter
from collections.abc import Iterable, Mapping, MutableMapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from campfire.core.errors import ConfigError
from campfire.core.mistakes import Mistake, chosen, find_mistakes, kind_at, step_into
from campfire.core.mistakes import Path as Place
from campfire.core.options import about
from campfire.encoders import KINDS
from campfire.runs.config.checks import check_together
from campfire.runs.config.model import Config
from campfire.runs.config.places import Places

RENAMED: Mapping[str, str] = {"ablation": "trials"}
"""Keys of earlier versions -> their current names."""


def read(values: Mapping[str, Any], files: Iterable[str | Path] = ()) -> Config:
    """See Config.read."""
    files = list(files)
    given: dict[str, Any] = deepcopy(_plain(values))
    mistakes = list(_renamed(given))
    _forget_runs(given)
    original = deepcopy(given)
    config = _build(given, mistakes)
    if config is not None:
        spoilt = [mistake.path if mistake.spoils is None else mistake.spoils for mistake in mistakes]
        mistakes += [
            mistake for mistake, sections in check_together(config, original) if not _touches(spoilt, sections)
        ]
    if mistakes or config is None:
        places = Places(files, values)
        retyped = _retyped(values, places) if files else values
        if retyped != values:
            return read(retyped, files)
        lines = dict.fromkeys(f"{places.of(mistake.path)}{mistake.line()}" for mistake in mistakes)
        raise ConfigError("\n".join(lines))
    return config


def _retyped(value: Any, places: Places, path: Place = ()) -> Any:
    """The config with nested values of --config parsed as YAML: Snakemake passes them as text."""
    if isinstance(value, Mapping):
        return {key: _retyped(item, places, (*path, key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_retyped(item, places, (*path, number)) for number, item in enumerate(value)]
    is_switch = isinstance(value, str) and value.lower() in ("true", "false")
    if isinstance(value, str) and (len(path) > 1 or is_switch) and places.of(path) == "config: ":
        try:
            scalar = yaml.safe_load(value)
        except yaml.YAMLError:
            return value
        return scalar if scalar is None or isinstance(scalar, bool | int | float) else value
    return value


def _forget_runs(values: Mapping[str, Any]) -> None:
    """Remove `run` from encoders whose kind has none: the default config's entry, overridden with another kind."""
    encoders = values.get("encoders")
    for encoder in encoders.values() if isinstance(encoders, Mapping) else ():
        kind = KINDS.get(str(encoder.get("kind"))) if isinstance(encoder, dict) else None
        if kind is not None and "run" not in kind.options.model_fields:
            encoder.pop("run", None)


def _plain(value: Any) -> Any:
    """Mappings as dicts and sequences as lists."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _touches(spoilt: Iterable[Place], sections: Iterable[str]) -> bool:
    """Whether a value that a check needs could not be read."""
    looked_at = [tuple(section.split(".")) for section in sections]
    return any(path[: len(section)] == section[: len(path)] for path in spoilt for section in looked_at)


def _renamed(values: MutableMapping[str, Any]) -> Iterable[Mistake]:
    """Report keys of earlier versions with their current names, and remove them."""
    for old, new in RENAMED.items():
        *above, key = old.split(".")
        holder: Any = values
        for step in above:
            holder = step_into(holder, step)
        if isinstance(holder, MutableMapping) and key in holder:
            del holder[key]
            yield Mistake((*above, key), f"this option is called `{new}` now; rename it")


def _build(values: dict[str, Any], mistakes: list[Mistake]) -> Config | None:
    """The config built from the valid values; mistakes are added to the list. None if too much is wrong."""
    seen: Counter[Mistake] = Counter()
    for _ in range(50):
        _add(mistakes, _fill_in(Config, values, values))
        _set_defaults(values)
        try:
            return Config.model_validate(values)
        except ValidationError as error:
            found = find_mistakes(Config, values, error)
        _add(mistakes, found)
        for mistake in found:
            path = mistake.path if mistake.spoils is None else mistake.spoils
            # A mistake that recurs because defaults contradict another option removes its whole section.
            path = path[: len(path) - seen[mistake]]
            if not path:
                return None
            _take_out(values, path)
            seen[mistake] += 1
    return None


def _add(mistakes: list[Mistake], found: Iterable[Mistake]) -> None:
    """Add mistakes that are not in the list yet."""
    mistakes += [mistake for mistake in dict.fromkeys(found) if mistake not in mistakes]


def _take_out(values: dict[str, Any], path: Place) -> None:
    """Remove the value at a path, so that the rest can be checked; for a list item, the whole list."""
    while path and isinstance(path[-1], int):
        path = path[:-1]
    holder: Any = values
    for step in path[:-1]:
        holder = step_into(holder, step)
    if isinstance(holder, dict):
        holder.pop(path[-1], None)


def _fill_in(kind: Any, values: Any, root: Mapping[str, Any], path: Place = ()) -> list[Mistake]:
    """Fill in options that follow others; a contradicting value, or an option that is not a key, is a mistake."""
    if not isinstance(values, dict):
        return []
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [
            mistake
            for name, field in kind.model_fields.items()
            for mistake in _fill_in_field(kind, name, field.annotation, values, root, path)
        ]
    arguments = typing.get_args(kind)
    if not arguments:
        return []
    found: list[Mistake] = []
    for key, value in values.items():
        found += _fill_in(chosen(arguments[-1], value), value, root, (*path, key))
    return found


def _fill_in_field(
    kind: type[BaseModel], name: str, annotation: Any, values: dict[str, Any], root: Mapping[str, Any], path: Place
) -> list[Mistake]:
    """One option of `_fill_in`; options below it are filled in as well."""
    details = about(kind, name)
    if details.get("internal"):
        if name in values:
            del values[name]
            return [Mistake((*path, name), "the workflow sets this itself; remove it")]
        return []
    if source := details.get("follows"):
        wanted = _value_at(root, source)
        given = values.get(name, wanted)
        values[name] = wanted
        contradicts = f"{given!r} contradicts {source} ({wanted!r}), which it follows; remove it"
        return [] if given == wanted else [Mistake((*path, name), contradicts)]
    below = values.get(name, {}) if name in values or _is_options(annotation, values.get(name)) else None
    found = _fill_in(chosen(annotation, below), below, root, (*path, name))
    if below and name not in values:
        values[name] = below
    return found


def _is_options(annotation: Any, value: Any) -> bool:
    kind = chosen(annotation, value)
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _value_at(root: Mapping[str, Any], source: str) -> Any:
    """The value of the option at a dotted path: as given, else its default."""
    path = tuple(source.split("."))
    value: Any = root
    for step in path:
        value = step_into(value, step)
    if value is not None:
        return value
    _, field = kind_at(Config, root, path)
    return field.default if field else None


def _set_defaults(values: dict[str, Any]) -> None:
    """Defaults that another option gives, and that may be overridden: a run's channels, the negative controls."""
    runs = step_into(step_into(values, "pretrain"), "runs")
    if "training_channels" in values and isinstance(runs, Mapping):
        for run in runs.values():
            if isinstance(run, dict):
                run.setdefault("channels", values["training_channels"])
    split = step_into(values, "split")
    named, controls = step_into(split, "negative_controls"), step_into(split, "controls")
    profiles = values.setdefault("profiles", {})
    negatives = named or (controls[:1] if isinstance(controls, list) else None)
    if isinstance(profiles, dict) and isinstance(negatives, list) and negatives:
        profiles.setdefault("negative_controls", negatives)
