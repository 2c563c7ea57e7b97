"""Encoders by configuration alone: tiles in, one embedding per tile out."""

from campfire.encoders.base import Encoder
from campfire.encoders.load import load, load_table, resolve_device
from campfire.encoders.registry import KINDS, licence_of, register

__all__ = ["KINDS", "Encoder", "licence_of", "load", "load_table", "register", "resolve_device"]
