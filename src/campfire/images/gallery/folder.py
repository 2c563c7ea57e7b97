"""A local folder laid out as the bucket, behind the three S3 calls that this package makes."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from campfire.core.errors import ConfigError, DataError

PAGE = 1000


class FolderClient:
    """Objects are files below `root`, their keys the relative paths. Safe to share between threads."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise ConfigError(f"s3.folder: no such folder {self.root}; give the folder that holds the images")

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        """Body and length of an object; a ClientError like S3's where there is none."""
        path = self._path(Key)
        try:
            handle = open(path, "rb")  # noqa: SIM115 (the body closes it)
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}); make the file readable") from error
        state = os.fstat(handle.fileno())
        return {"ContentLength": state.st_size, "ETag": _version(state), "Body": _Body(handle, path)}

    def head_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        """Length of an object."""
        return {"ContentLength": self._path(Key).stat().st_size}

    def list_objects_v2(self, Bucket: str, Prefix: str, ContinuationToken: str = "0") -> dict[str, Any]:
        """Keys, sizes and versions below a prefix, a thousand at a time, sorted; links are followed."""
        folder = self.root / Prefix.rpartition("/")[0]
        files = (Path(parent, name) for parent, _, names in os.walk(folder, followlinks=True) for name in names)
        keys = sorted((path.relative_to(self.root).as_posix(), path) for path in files if path.is_file())
        chosen = [(key, path) for key, path in keys if key.startswith(Prefix)]
        start = int(ContinuationToken)
        states = [(key, path.stat()) for key, path in chosen[start : start + PAGE]]
        contents = [{"Key": key, "Size": state.st_size, "ETag": _version(state)} for key, state in states]
        answer: dict[str, Any] = {"Contents": contents}
        if start + PAGE < len(chosen):
            answer |= {"IsTruncated": True, "NextContinuationToken": str(start + PAGE)}
        return answer

    def _path(self, key: str) -> Path:
        from botocore.exceptions import ClientError

        path = self.root / key
        if path.is_symlink() and not path.exists():
            raise DataError(
                f"{path}: leads to {os.readlink(path)}, which does not exist; mount its disk, or arrange them again "
                "from where they are now"
            )
        if not path.is_file() or ".." in Path(key).parts or Path(key).is_absolute():
            raise ClientError({"Error": {"Code": "NoSuchKey", "Message": f"no file {path}"}}, "GetObject")
        return path


def _version(state: os.stat_result) -> str:
    """A substitute for a file's ETag: it changes with the file's length and modification time."""
    return f"{state.st_mtime_ns:x}.{state.st_size:x}"


class _Body:
    """A file as the stream that S3 returns."""

    def __init__(self, handle: BinaryIO, path: Path) -> None:
        self.handle = handle
        self.path = path

    def iter_chunks(self, size: int) -> Iterator[bytes]:
        """The bytes in chunks; closes the file at the end. Raises ConnectionError if it changes meanwhile."""
        with self.handle:
            before = _version(os.fstat(self.handle.fileno()))
            while block := self.handle.read(size):
                yield block
            if _version(os.fstat(self.handle.fileno())) != before:
                raise ConnectionError("the file changed while it was read")
