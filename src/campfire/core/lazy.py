"""Packages whose names are imported when they are first used, so that reading options loads no torch."""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any


def lazy(package: str, homes: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """A package's `__getattr__`: `homes` lists the names that come from each of its modules; modules have their own.

    Beside it the package imports the same names under TYPE_CHECKING, for editors, mypy and the code fingerprints. A
    name that is also the name of a module cannot be had this way: once imported, the module takes its place.
    """
    home = {name: module for module, names in homes.items() for name in names}

    def get(name: str) -> Any:
        if name in home:
            return getattr(import_module(f"{package}.{home[name]}"), name)
        if name.startswith("_") or find_spec(f"{package}.{name}") is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return import_module(f"{package}.{name}")

    return get
