"""campfire: out-of-distribution evaluations of channel-agnostic masked autoencoders in fluorescence microscopy."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("campfire-workflow")
except PackageNotFoundError:  # used from a source tree on PYTHONPATH
    __version__ = "0+source"
