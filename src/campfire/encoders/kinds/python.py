"""Kind `python`: the user's own encoder, made by a function of theirs."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from campfire.core.errors import ConfigError
from campfire.core.mistakes import nearest
from campfire.core.options import Options, option
from campfire.encoders.registry import register

if TYPE_CHECKING:
    from campfire.encoders.base import Encoder


class PythonOptions(Options):
    """The function and what it is called with."""

    kind: Literal["python"] = "python"
    factory: str = option("", "your function that makes the encoder, as module:function")
    arguments: Mapping[str, Any] = option({}, "keyword arguments of that function")
    weights: str | None = option(None, "a weights file, passed on as `weights`")


@register("python", PythonOptions)
def make_own(options: PythonOptions, name: str, device: str) -> Encoder:
    """What the user's factory makes; modules are found in the working folder as well."""
    from campfire.encoders.base import Encoder
    from campfire.model.normalise import NORMALISATIONS

    module, _, function = options.factory.partition(":")
    if not module or not function:
        raise ConfigError(f"encoder {name}: give `factory` as module:function")
    arguments = {**options.arguments, "name": name, "device": device}
    if options.weights:
        arguments["weights"] = options.weights
    make = _find(module, function, name)
    try:
        inspect.signature(make).bind(**arguments)
    except TypeError as error:
        raise ConfigError(
            f"encoder {name}: {module}:{function} is called with {', '.join(sorted(arguments))}: {error}"
        ) from error
    encoder = make(**arguments)
    if not isinstance(encoder, Encoder):
        parts = ("name", "device", "normalisation", "digest", "dim", "embed")
        lacking = [part for part in parts if not hasattr(encoder, part)]
        raise ConfigError(f"encoder {name}: what {module}:{function} returns lacks {', '.join(lacking)}")
    if encoder.normalisation not in (known := [*NORMALISATIONS, "counts"]):
        raise ConfigError(
            f"encoder {name}: what {module}:{function} returns has the unknown normalisation "
            f"{encoder.normalisation!r}; {nearest(encoder.normalisation, known)} (`tile` and `none`: tiles as they are "
            "stored, `counts`: in counts, `plate...`: with the plate's statistics)"
        )
    return encoder


def _find(module: str, function: str, name: str) -> Any:
    sys.path.insert(0, os.getcwd())
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"encoder {name}: cannot load {module}:{function} ({error}); put it beside the run"
        ) from error
    finally:
        sys.path.remove(os.getcwd())
