"""Registry of encoder kinds: options and factory of each. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from campfire.core.errors import ConfigError
from campfire.core.options import Options
from campfire.core.text import some

if TYPE_CHECKING:
    from campfire.encoders.base import Encoder

COMMON = ("kind", "name")
"""Keys of a spec that every kind takes beside its own options."""


@dataclass(frozen=True)
class Source:
    """Where a published encoder comes from and what may be done with it."""

    repository: str
    code_licence: str
    weights_licence: str
    where: str
    """Where to get its weights."""

    @property
    def licence(self) -> str:
        """The licence as tables show it."""
        return f"code {self.code_licence}; weights {self.weights_licence}"


O = TypeVar("O", bound=Options)  # noqa: E741
Make = Callable[[O, str, str], "Encoder"]
"""Options, the encoder's name and a device to an encoder."""


@dataclass(frozen=True)
class Kind:
    """A kind of encoder."""

    options: type[Options]
    make: Callable[[Any, str, str], Encoder]
    source: Source | None


class Kinds(Mapping[str, Kind]):
    """The registered kinds by name."""

    def __init__(self) -> None:
        self._kinds: dict[str, Kind] = {}

    def __getitem__(self, kind: str) -> Kind:
        return self._kinds[kind]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)

    def register(self, kind: str, options: type[O], source: Source | None = None) -> Callable[[Make[O]], Make[O]]:
        """A decorator that registers a function as the factory of encoders of this kind."""

        def keep(make: Make[O]) -> Make[O]:
            if kind in self._kinds:
                raise ConfigError(f"encoder kind {kind!r} is registered twice; give one of them another name")
            self._kinds[kind] = Kind(options, make, source)
            return make

        return keep


KINDS = Kinds()
register = KINDS.register


def options_of(spec: Mapping[str, Any]) -> tuple[Kind, Options, str]:
    """The kind of the encoder that `spec` describes, its checked options, its name. ConfigError lists all mistakes."""
    kind = str(spec.get("kind"))
    if kind not in KINDS:
        raise ConfigError(f"encoder kind {kind!r} is not one of {', '.join(KINDS)}")
    name = str(spec.get("name", kind))
    found = KINDS[kind]
    try:
        options = found.options(**{key: value for key, value in spec.items() if key not in COMMON})
    except ConfigError as error:
        raise ConfigError("\n".join(f"encoder {name}: {line}" for line in str(error).splitlines())) from None
    return found, options, name


def licence_of(spec: Mapping[str, Any]) -> str:
    """The licence of an encoder's published code and weights, or of a table, as tables show it; "" without one."""
    kind = KINDS.get(str(spec.get("kind")))
    return kind.source.licence if kind is not None and kind.source is not None else str(spec.get("licence") or "")


def known_channels(order: Sequence[str], channels: Sequence[str], name: str) -> list[int]:
    """Positions of `channels` in an encoder's own `order`; ConfigError names those that it does not know."""
    unknown = [channel for channel in channels if channel not in order]
    if unknown:
        raise ConfigError(
            f"encoder {name}: it knows no channel {some(unknown)}; its channel_order is {', '.join(order)}. Embed a "
            "channel set of these, or set channel_order by your channels' names"
        )
    return [list(order).index(channel) for channel in channels]
