"""Encoders by configuration alone: tiles in, one embedding per tile out."""

from campfire.encoders.base import Encoder
from campfire.encoders.load import KINDS, load, resolve_device

__all__ = ["KINDS", "Encoder", "load", "resolve_device"]
