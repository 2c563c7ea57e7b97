"""Journal of a plate's verified objects, from which an interrupted download resumes with the missing ones.

One JSON line per verified object is appended after its file has been renamed into place. On a restart, a file
is reused only if its line names the same key and its bytes still have the length and MD5 of that line.
"""

import hashlib
import json
import logging
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from campfire.images.gallery.client import same_version

log = logging.getLogger(__name__)

NAME = ".verified.jsonl"


@dataclass(frozen=True)
class Entry:
    """A verified object: its local file name, key, length, MD5 and image shape (H, W) in px."""

    file: str
    key: str
    bytes: int
    md5: str
    shape: tuple[int, int]
    listed: int = -1
    """Length as S3 listed it, which differs from the file's where the object is stored as gzip."""
    version: str = ""
    """As S3 listed or sent it (its ETag, or the time of its last change); "" where it gave none."""
    dtype: str = ""
    picture: str = ""
    """Digest of the pixels; "" for an illumination function, and in journals written before it was kept."""


class Journal:
    """The verified objects of one destination folder; `add` may be called from several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / NAME
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self._read()

    def _read(self) -> None:
        if not self._path.exists():
            return
        lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
        for line in lines:
            try:
                row = json.loads(line)
                row["shape"] = (row["shape"][0], row["shape"][1])
                entry = Entry(**row)
            except (ValueError, KeyError, IndexError, TypeError):
                continue  # the line that the job was writing when it was killed
            if Path(entry.file).name == entry.file:
                self._entries[entry.file] = entry
        if lines and not lines[-1].endswith("\n"):
            with open(self._path, "a", encoding="utf-8") as handle:
                handle.write("\n")

    def find(self, file: str, key: str, size: int = -1, version: str = "") -> Entry | None:
        """The entry of `file` if it was verified for this key and is unchanged since, here and at the source.

        `size` and `version` are those that S3 lists now, -1 and "" where it does not say.
        """
        entry = self._entries.get(file)
        if entry is None or entry.key != key:
            return None
        if size not in (-1, entry.bytes, entry.listed) or not same_version(version, entry.version):
            log.info("%s: changed at its source since it was fetched; fetching it again", key)
            return None
        try:
            with open(self._folder / file, "rb") as handle:
                digest = hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        except OSError:
            return None
        return entry if digest == entry.md5 else None

    def add(self, entry: Entry) -> None:
        line = json.dumps(asdict(entry)) + "\n"
        with self._lock:
            self._entries[entry.file] = entry
            with open(self._path, "a", encoding="utf-8") as handle:
                handle.write(line)

    def sweep(self, keep: set[str]) -> None:
        """Delete the folder's verified files that are not in `keep`."""
        for file in set(self._entries) - keep:
            (self._folder / file).unlink(missing_ok=True)

    def size_on_disk(self, files: set[str]) -> int:
        """Bytes of the entries of `files` that lie in the folder, whole by their length."""
        total = 0
        for file in files & set(self._entries):
            path = self._folder / file
            if path.exists() and path.stat().st_size == self._entries[file].bytes:
                total += self._entries[file].bytes
        return total


def remove_partials(folder: Path) -> int:
    """Delete the temporary files of a killed writer; returns their number."""
    partials = [path for path in folder.glob(".*.partial*") if path.is_file()]
    for path in partials:
        path.unlink(missing_ok=True)
    if partials:
        log.info("%s: %d half-written files of an earlier attempt removed", folder, len(partials))
    return len(partials)
