"""A simulated JUMP-like screen, and the local S3 server that serves it.

Names are resolved on first use, so that importing the package loads neither moto nor the image libraries.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from campfire.simulate.screen import ScreenOptions, write_screen
    from campfire.simulate.server import serve

__all__ = ["ScreenOptions", "serve", "write_screen"]

_MODULES = {
    "ScreenOptions": "campfire.simulate.screen",
    "write_screen": "campfire.simulate.screen",
    "serve": "campfire.simulate.server",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
