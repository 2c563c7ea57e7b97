"""Creation of encoders from specs of the config."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from campfire.core.errors import ConfigError
from campfire.encoders.registry import options_of

if TYPE_CHECKING:
    from campfire.encoders.base import Encoder
    from campfire.encoders.cell_table import TableEncoder

# Registers the kinds. Not by an import statement, so that an edit of one kind reruns the embeddings of its own encoders
# alone: the code that a job depends on (campfire.runs.fingerprint) follows imports and gets the kind's factory
# separately.
import_module(".kinds", __package__)


def resolve_device(device: str = "auto") -> str:
    """`auto` is the GPU where there is one, else the CPU."""
    if device != "auto":
        return device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def load_table(spec: Mapping[str, Any]) -> TableEncoder:
    """The table of embeddings made elsewhere that a spec of kind `table` describes."""
    from campfire.encoders.cell_table import TableEncoder

    found = load(spec, "cpu")
    if not isinstance(found, TableEncoder):
        raise ConfigError(f"encoder {found.name}: kind {spec['kind']} embeds tiles; it is no table of embeddings")
    return found


def load(spec: Mapping[str, Any], device: str = "auto") -> Encoder:
    """The encoder that `spec` describes; `kind` chooses, `name` (default: the kind) labels it.

    The kinds and their options are in `campfire.encoders.kinds`. Raises ConfigError for what it does not know,
    WeightsError for weights that are missing or do not fit.
    """
    kind, options, name = options_of(spec)
    return kind.make(options, name, resolve_device(device))
