"""Packages whose names are imported when they are first used, so that reading options loads no torch."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A package's `__getattr__`: `homes` says which of its modules defines a name.

    Beside it the package imports the same names under TYPE_CHECKING, for editors, mypy and the code fingerprints.
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return get
