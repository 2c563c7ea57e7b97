"""Out-of-distribution evaluations of channel-agnostic masked autoencoders in fluorescence microscopy.

The names below are what most users need; each is imported when it is first used, so that `import campfire` is quick
and loads no torch. Everything else is in the rooms `campfire.core`, `screen`, `images`, `model`, `training`,
`encoders`, `evaluation`, `report`, `runs` and `simulate` (docs/architecture.md).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from campfire.encoders import Encoder
    from campfire.encoders import load as load_encoder
    from campfire.encoders.embed import embed_plate
    from campfire.evaluation.probes.evaluate import evaluate
    from campfire.evaluation.profiles import replicate_retrieval
    from campfire.evaluation.statistics import bootstrap_accuracy
    from campfire.evaluation.zprime import zprime
    from campfire.images.nuclei import segment
    from campfire.images.tiles import open_plate
    from campfire.model import MaskedAutoencoder, ModelConfig
    from campfire.model import load_weights as load_model
    from campfire.model.released_checkpoint import load_checkpoint
    from campfire.screen.split import SplitOptions, make_split
    from campfire.simulate import serve, write_screen

__version__ = "0.1.0"

__all__ = [
    "Encoder",
    "MaskedAutoencoder",
    "ModelConfig",
    "SplitOptions",
    "bootstrap_accuracy",
    "embed_plate",
    "evaluate",
    "load_checkpoint",
    "load_encoder",
    "load_model",
    "make_split",
    "open_plate",
    "replicate_retrieval",
    "segment",
    "serve",
    "write_screen",
    "zprime",
]

_HOME = {
    "Encoder": ("campfire.encoders", "Encoder"),
    "MaskedAutoencoder": ("campfire.model", "MaskedAutoencoder"),
    "ModelConfig": ("campfire.model", "ModelConfig"),
    "SplitOptions": ("campfire.screen.split", "SplitOptions"),
    "bootstrap_accuracy": ("campfire.evaluation.statistics", "bootstrap_accuracy"),
    "embed_plate": ("campfire.encoders.embed", "embed_plate"),
    "evaluate": ("campfire.evaluation.probes.evaluate", "evaluate"),
    "load_checkpoint": ("campfire.model.released_checkpoint", "load_checkpoint"),
    "load_encoder": ("campfire.encoders", "load"),
    "load_model": ("campfire.model", "load_weights"),
    "make_split": ("campfire.screen.split", "make_split"),
    "open_plate": ("campfire.images.tiles", "open_plate"),
    "replicate_retrieval": ("campfire.evaluation.profiles", "replicate_retrieval"),
    "segment": ("campfire.images.nuclei", "segment"),
    "serve": ("campfire.simulate", "serve"),
    "write_screen": ("campfire.simulate", "write_screen"),
    "zprime": ("campfire.evaluation.zprime", "zprime"),
}
"""Where each public name is defined, and what it is called there."""


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'campfire' has no attribute {name!r}; it has {', '.join(__all__)}")
    module, attribute = _HOME[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
