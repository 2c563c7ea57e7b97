"""What the user's own files hold: results follow a file that was replaced by one with an older time.

Snakemake compares times. `mv plates_v2.tsv plates.tsv`, `cp -p`, `rsync -a` and a restored backup bring a file that is
older than the results made from its predecessor, and so do the images of a folder that are replaced.
"""

import ast
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

WHOLE = 16_000_000
"""Larger files (weights) count with their size, first and last bytes."""
ENDS = 1_000_000
SAMPLED = 40
"""Images of a plate whose times are looked at."""


def contents(paths: Iterable[str | Path | None]) -> list[str]:
    """Sixteen hex digits of what each file holds, as a parameter of a rule; absent files are left out."""
    found = []
    for path in (path for path in paths if path):
        with suppress(OSError):
            stat = os.stat(path)
            found.append(_digest(str(path), stat.st_size, stat.st_mtime_ns))
    return found


@cache
def _digest(path: str, size: int, time_ns: int) -> str:
    digest = hashlib.sha256(str(size).encode())
    with open(path, "rb") as file:
        if size <= WHOLE:
            digest.update(file.read())
        else:
            digest.update(file.read(ENDS))
            file.seek(-ENDS, os.SEEK_END)
            digest.update(file.read(ENDS))
    return digest.hexdigest()[:16]


def own_modules(module: Path, root: Path = Path()) -> list[Path]:
    """A user's module and those of its folder tree that it imports, directly or not, sorted.

    module: its file, relative to `root`, the folder from which it is imported
    """
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        path = waiting.pop()
        if path in found or not (root / path).is_file():
            continue
        found.add(path)
        waiting += _imported(root / path, path)
    return sorted(found)


def _imported(file: Path, path: Path) -> Iterator[Path]:
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (SyntaxError, OSError, ValueError):
        return
    package = path.parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _files(alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            above = list(package[: len(package) - node.level + 1]) if node.level else []
            base = [*above, *(node.module.split(".") if node.module else [])]
            yield from _files(base)
            for alias in node.names:
                yield from _files([*base, alias.name])


def _files(parts: list[str]) -> Iterator[Path]:
    """The files that an import of a dotted name runs: the module, and each package above it."""
    for length in range(1, len(parts) + 1):
        place = Path(*parts[:length])
        yield place / "__init__.py"
        yield Path(f"{place}.py")


def newer_images(folder: str | Path, record: str | Path) -> str:
    """An image below a plate's folder that is newer than the record of its download; "" if a sample has none.

    The folder's own time counts too: it changes when a file is replaced or added. Links are followed to their files.
    """
    try:
        made = os.path.getmtime(record)
        names = sorted(entry.path for entry in os.scandir(folder) if not entry.name.startswith("."))
    except OSError:
        return ""
    step = max(1, len(names) // SAMPLED)
    for path in [*names[::step], str(folder)]:
        with suppress(OSError):
            if os.path.getmtime(path) > made:
                return path
    return ""
