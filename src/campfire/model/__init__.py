"""Campfire, the channel-agnostic masked autoencoder: architecture, initial values and weight files."""

from campfire.model.autoencoder import MaskedAutoencoder, Output
from campfire.model.config import SIZES, ModelConfig
from campfire.model.encoder import patchify, unpatchify
from campfire.model.weights import load_weights, read_header, save_weights, weights_digest

__all__ = [
    "SIZES",
    "MaskedAutoencoder",
    "ModelConfig",
    "Output",
    "load_weights",
    "patchify",
    "read_header",
    "save_weights",
    "unpatchify",
    "weights_digest",
]
