"""A local folder laid out as the bucket, read through the three calls that the rest of the package makes of S3."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from campfire.core.errors import ConfigError

PAGE = 1000


class FolderClient:
    """Objects are files below `root`, their keys the relative paths. Safe to share between threads."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise ConfigError(f"s3.folder: there is no folder {self.root}; give the folder that holds the images")

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        """Body and length of an object; a ClientError like S3's where there is none."""
        path = self._path(Key)
        return {"ContentLength": path.stat().st_size, "Body": _Body(open(path, "rb"))}

    def head_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        """Length of an object."""
        return {"ContentLength": self._path(Key).stat().st_size}

    def list_objects_v2(self, Bucket: str, Prefix: str, ContinuationToken: str = "0") -> dict[str, Any]:
        """Keys and sizes below a prefix, a thousand at a time, sorted."""
        folder = self.root / Prefix.rpartition("/")[0]
        files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
        keys = [(path.relative_to(self.root).as_posix(), path) for path in files]
        chosen = [(key, path) for key, path in keys if key.startswith(Prefix)]
        start = int(ContinuationToken)
        page = chosen[start : start + PAGE]
        answer: dict[str, Any] = {"Contents": [{"Key": key, "Size": path.stat().st_size} for key, path in page]}
        if start + PAGE < len(chosen):
            answer |= {"IsTruncated": True, "NextContinuationToken": str(start + PAGE)}
        return answer

    def _path(self, key: str) -> Path:
        from botocore.exceptions import ClientError

        path = self.root / key
        if not path.is_file() or ".." in Path(key).parts:
            raise ClientError({"Error": {"Code": "NoSuchKey", "Message": f"no file {path}"}}, "GetObject")
        return path


class _Body:
    """A file as the stream that S3 returns."""

    def __init__(self, handle: BinaryIO) -> None:
        self.handle = handle

    def iter_chunks(self, size: int) -> Iterator[bytes]:
        """The bytes in pieces; the file is closed at the end."""
        with self.handle:
            while block := self.handle.read(size):
                yield block
