"""The base of every option class: one description per option, validated on creation, immutable afterwards.

A component declares its options once, as a subclass of `Options`; type, default, range, unit, source and meaning stand
there and nowhere else. The config (`campfire.runs.config`) nests these classes, and the table of options in
config/README.md is made from them.

class ProbeOptions(Options):
    section: ClassVar[str] = "probe"
    epochs: int = option(100, "most passes over the training cells", source="paper 3.2", ge=1)
    threads: int = option(1, "threads that share the fits", execution=True, ge=1)
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from campfire.core.errors import ConfigError

Names = Annotated[Sequence[str], AfterValidator(tuple)]
"""A list of texts, kept as a tuple."""
Counts = Annotated[Sequence[int], AfterValidator(tuple)]
"""A list of whole numbers, kept as a tuple."""
Numbers = Annotated[Sequence[float], AfterValidator(tuple)]
"""A list of numbers, kept as a tuple."""

TILE_SIZE = 112
"""Side of a tile in px by default (paper, section 2: tiles of size (112, 112)); in a run it is `tiles.size`."""
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
"""Seed of a generator (NumPy's legacy generator takes 32 bits)."""


def option(
    default: Any,
    description: str,
    *,
    unit: str = "",
    source: str = "",
    execution: bool = False,
    follows: str = "",
    internal: bool = False,
    **limits: Any,
) -> Any:
    """A field of an option class; `...` as default means that it must be given.

    unit, source: of the value, where it has any; the source is a section of the paper, `release` (the authors' code)
    or docs/decisions.md. execution: it only controls how work is executed; the result is unchanged. follows: path of
    the option elsewhere in the config that fills this one (`tiles.size`), so that a value has one home. internal: set
    by the workflow or the caller, no key of the config. limits: pydantic's ge, gt, le, lt, multiple_of, min_length, ...
    """
    known = {"unit": unit, "source": source, "execution": execution, "follows": follows, "internal": internal}
    extra: dict[str, Any] = {name: value for name, value in known.items() if value}
    return Field(default, description=description, json_schema_extra=extra or None, **limits)


class Options(BaseModel):
    """Options of one component. Invalid ones raise a ConfigError with one line per mistake.

    Subclasses override `contradictions` for options that are valid one by one and not together.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        hide_input_in_errors=False,
    )

    section: ClassVar[str] = ""
    """Where these options stand in the config, for messages."""

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            from campfire.core.mistakes import find_mistakes

            found = find_mistakes(type(self), values, error)
            raise ConfigError("\n".join(mistake.line(self.section) for mistake in found)) from None

    # Errors of nested options are collected by the outermost class; pydantic would otherwise call __init__ for each.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """(option, what is wrong and what to do) for values that do not fit together."""
        yield from ()

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        found = list(self.contradictions())
        if found:
            raise PydanticCustomError("contradictions", "values do not fit together", {"found": found})
        return self

    def values(self) -> dict[str, Any]:
        """All options as plain values, nested ones as mappings; `type(options)(**options.values()) == options`."""
        return self.model_dump()

    def changed(self, **changes: Any) -> Self:
        """A copy with some options changed, validated again."""
        return type(self)(**{**{name: getattr(self, name) for name in type(self).model_fields}, **changes})

    def result_options(self) -> dict[str, Any]:
        """The options that the result depends on, as plain values for JSON."""
        return self._part(execution=False)

    def execution_options(self) -> dict[str, Any]:
        """The options that only control how the work is executed, as plain values for JSON."""
        return self._part(execution=True)

    def _part(self, execution: bool) -> dict[str, Any]:
        """Options of one of the two kinds, those of nested classes included."""
        dumped = self.model_dump(mode="json")
        found: dict[str, Any] = {}
        for name in type(self).model_fields:
            if is_execution(type(self), name):
                if execution:
                    found[name] = dumped[name]
                continue
            part = _part_of(getattr(self, name), dumped[name], execution)
            if part is not None:
                found[name] = part[0]
        return found


def _part_of(value: Any, dumped: Any, execution: bool) -> tuple[Any] | None:
    """The wanted part of a result option that may hold further options; None where there is nothing of that kind."""
    if isinstance(value, Options):
        part = value._part(execution)
        return (part,) if part or not execution else None
    if isinstance(value, Mapping) and any(isinstance(item, Options) for item in value.values()):
        parts = {key: _part_of(item, dumped[key], execution) for key, item in value.items()}
        kept = {key: part[0] for key, part in parts.items() if part is not None}
        return (kept,) if kept or not execution else None
    return None if execution else (dumped,)


def about(options: type[BaseModel], name: str) -> Mapping[str, Any]:
    """What `option` stored about a field besides its description: unit, source, execution, follows, internal."""
    extra = options.model_fields[name].json_schema_extra
    return extra if isinstance(extra, Mapping) else {}


def is_execution(options: type[BaseModel], name: str) -> bool:
    """Whether an option only controls how the work is executed."""
    return bool(about(options, name).get("execution"))


def plausible_pixel_size(value: float) -> float:
    """Return a pixel size in micrometres; an implausible one raises a ValueError that guesses its unit."""
    if 0.05 <= value <= 20:
        return value
    for factor, unit in ((1e-3, "nanometres"), (1e6, "metres"), (1e3, "millimetres")):
        if value > 0 and 0.05 <= value * factor <= 20:
            raise ValueError(f"{value:g} looks like {unit}; give micrometres: {value * factor:g}")
    raise ValueError(f"{value:g} um is not a plausible pixel size; give micrometres, from 0.05 to 20")


PixelSize = Annotated[float, AfterValidator(plausible_pixel_size)]
"""Edge of a pixel in the specimen, micrometres."""
