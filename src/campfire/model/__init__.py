"""Campfire, the channel-agnostic masked autoencoder: architecture, initial values and weight files."""

from typing import TYPE_CHECKING

from campfire.core.lazy import lazy
from campfire.model.config import SIZES, ModelConfig

if TYPE_CHECKING:
    from campfire.model.autoencoder import MaskedAutoencoder, Output
    from campfire.model.encoder import patchify, unpatchify
    from campfire.model.relatives import build_model
    from campfire.model.weights import load_weights, read_header, save_weights, weights_digest

__all__ = [
    "SIZES",
    "MaskedAutoencoder",
    "ModelConfig",
    "Output",
    "build_model",
    "load_weights",
    "patchify",
    "read_header",
    "save_weights",
    "unpatchify",
    "weights_digest",
]

__getattr__ = lazy(
    __name__,
    {
        "autoencoder": ["MaskedAutoencoder", "Output"],
        "encoder": ["patchify", "unpatchify"],
        "relatives": ["build_model"],
        "weights": ["load_weights", "read_header", "save_weights", "weights_digest"],
    },
)
