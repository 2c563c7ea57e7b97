"""Starting processes from a script that has no `__main__` guard, as Snakemake's scripts."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def main_hidden() -> Iterator[None]:
    """Keep processes that start in the block from running the caller's script once more.

    A spawned process imports the main module, which for a script without a `__main__` guard does all its work again.
    Nothing of it is needed by functions that live in modules.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
