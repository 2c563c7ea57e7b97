"""The image files below a folder, through links, and the files that are skipped, by kind."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SUFFIXES = (".tif", ".tiff", ".png")
_SIDE_FOLDERS = ("@eadir", "__macosx", "thumbs", "thumbnails")
_PREVIEW = re.compile(r"(^|[^a-z])(thumb|thumbnail|preview)s?([^a-z]|$)")
LONGEST_LINK = 1024
"""Bytes of a link's text."""
_SYSTEM_FILES = ("thumbs.db", "desktop.ini")


@dataclass
class Walk:
    """The files below a folder, as sorted paths relative to it with slashes."""

    images: list[str] = field(default_factory=list)
    passed_over: dict[str, list[str]] = field(default_factory=dict)
    """Skipped files: their kind, as text, to the paths."""


def walk(folder: Path, leave_out: Path | None = None) -> Walk:
    """The TIFFs and PNGs below `folder`, through links to files and folders, without `leave_out`.

    Skipped: hidden files (also `._*` of macOS), thumbnails and previews, broken links, other kinds of files. A folder
    that links reach twice is read once.
    """
    result = Walk()
    for path in _files(folder, leave_out):
        name = path.relative_to(folder).as_posix()
        kind = _kind(path, name)
        if kind:
            result.passed_over.setdefault(kind, []).append(name)
        else:
            result.images.append(name)
    result.images.sort()
    for paths in result.passed_over.values():
        paths.sort()
    return result


def _files(folder: Path, leave_out: Path | None) -> Iterator[Path]:
    entered: set[Path] = set() if leave_out is None else {leave_out.resolve()}
    for parent, folders, names in os.walk(folder, followlinks=True):
        here = Path(parent).resolve()
        if here in entered:
            folders.clear()
            continue
        entered.add(here)
        folders.sort()
        yield from (Path(parent, name) for name in names)


def _kind(path: Path, name: str) -> str:
    """The kind of a file that is skipped; "" for an image."""
    parts = name.lower().split("/")
    if any(part.startswith(".") for part in parts) or parts[-1] in _SYSTEM_FILES:
        return "hidden files, such as macOS and Windows leave"
    if any(part in _SIDE_FOLDERS for part in parts[:-1]) or any(_PREVIEW.search(part) for part in parts):
        return "thumbnails and previews"
    if path.is_symlink() and not path.exists():
        return "links to nothing"
    if path.suffix.lower() not in SUFFIXES:
        return f"files of other kinds ({path.suffix.lower() or 'no suffix'})"
    if _is_text_of_link(path):
        return "links stored as text, as a copy from another system leaves (copy the images themselves)"
    return ""


def _is_text_of_link(path: Path) -> bool:
    """Whether a file holds nothing but the path of an image."""
    try:
        if path.stat().st_size > LONGEST_LINK:
            return False
        text = path.read_bytes().decode("ascii")
    except (OSError, UnicodeDecodeError):
        return False
    return text.strip().lower().endswith(SUFFIXES) and "\n" not in text.strip()
