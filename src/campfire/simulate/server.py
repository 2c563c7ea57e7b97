"""A local S3 server over a folder: `ROOT/<bucket>/<key...>` on disk becomes bucket and keys.

The server is moto's; its objects are read from disk on request, so its memory does not grow
with the size of the folder. Everything is readable without credentials, as the Cell Painting Gallery is.

    campfire serve ROOT -- COMMAND ARGUMENTS...

starts a server on a free port, runs the command with AWS_ENDPOINT_URL_S3 set to it, stops the server and
exits as the command did.
"""

import argparse
import hashlib
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

from campfire.core.errors import DataError, in_one_line

log = logging.getLogger(__name__)

ENDPOINT_VARIABLE = "AWS_ENDPOINT_URL_S3"
"""The environment variable from which boto3 takes the address of S3."""


def _disk_key_class() -> type:
    """moto's object, with its bytes left on disk; made in a function because moto is needed only to serve."""
    from moto.s3.models import FakeKey

    class DiskKey(FakeKey):
        __module__ = FakeKey.__module__  # moto registers its models by the service in this name

        def __init__(self, path: Path, **keywords: Any) -> None:
            self._path = path
            self._digest: tuple[tuple[int, int], str] | None = None
            super().__init__(value=b"", **keywords)

        @property
        def value(self) -> bytes:
            return self._path.read_bytes()

        @value.setter
        def value(self, new_value: bytes) -> None:
            """The constructor of the base sets a value; ours is the file."""

        @property
        def size(self) -> int:
            return self._path.stat().st_size

        @property
        def etag(self) -> str:
            """The MD5 of the bytes, quoted: what S3 gives for an object uploaded in one part."""
            stat = self._path.stat()
            state = (stat.st_mtime_ns, stat.st_size)
            if self._digest is None or self._digest[0] != state:
                with open(self._path, "rb") as handle:
                    self._digest = (state, hashlib.file_digest(handle, "md5").hexdigest())
            return f'"{self._digest[1]}"'

    return DiskKey


def _fill(root: Path, buckets: list[str]) -> None:
    """Register every file under `root` in moto's S3; the names of the buckets made are appended to `buckets`."""
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.s3.exceptions import InvalidBucketName
    from moto.s3.models import get_canned_acl, s3_backends

    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    key_class = _disk_key_class()
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        if folder.name in s3_backends.bucket_accounts:
            raise DataError(f"{folder}: a bucket of this name is being served already by this process")
        try:
            bucket = backend.create_bucket(folder.name, "us-east-1")
        except InvalidBucketName as error:
            raise DataError(f"{folder}: a bucket's name needs 3 to 63 characters; rename the folder") from error
        bucket.acl = get_canned_acl("public-read")
        buckets.append(folder.name)
        for parent, _, names in os.walk(folder, followlinks=True):
            for path in (Path(parent, name) for name in names):
                name = path.relative_to(folder).as_posix()
                key = key_class(
                    path, name=name, bucket_name=folder.name, account_id=DEFAULT_ACCOUNT_ID, region_name="us-east-1"
                )
                key.acl = get_canned_acl("public-read")
                bucket.keys[name] = key


def _empty(buckets: list[str]) -> None:
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    for name in buckets:
        bucket = backend.buckets.pop(name, None)
        s3_backends.bucket_accounts.pop(name, None)
        if bucket is not None:
            for key in bucket.keys.values():
                key.dispose()


@contextmanager
def serve(root: str | Path, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve `root/<bucket>/<key...>` over HTTP and yield the endpoint's URL; port 0 takes a free one.

    Files are listed once, at the start, and read at each request. Two servers of one process share their
    buckets (moto's state is global), so a bucket can be served only once at a time.
    Raises DataError when the folder is missing or holds no bucket folder.
    """
    try:
        from moto.server import create_backend_app
        from werkzeug.serving import make_server
    except ImportError as error:
        raise DataError(
            f"the local S3 server needs moto ({error}); install it with: pip install 'moto[s3,server]'"
        ) from error
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder to serve; it should hold one folder per bucket")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    buckets: list[str] = []
    try:
        _fill(root, buckets)
        if not buckets:
            raise DataError(f"{root}: holds no bucket folder to serve")
        # moto's own server goes through the folders of all services of AWS to find the one that a request is meant for.
        server = make_server(host, port, create_backend_app("s3"), threaded=True)
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        url = f"http://{host}:{server.port}"
        log.info("serving %s at %s (buckets: %s)", root, url, ", ".join(buckets))
        try:
            yield url
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
    finally:
        _empty(buckets)


def _child_environment(url: str) -> dict[str, str]:
    """The environment of the command: the endpoint, no proxy on the way to it, no search for credentials."""
    environment = {**os.environ, ENDPOINT_VARIABLE: url, "AWS_EC2_METADATA_DISABLED": "true"}
    for name in ("NO_PROXY", "no_proxy"):
        environment[name] = ",".join(filter(None, [os.environ.get(name, ""), "127.0.0.1", "localhost"]))
    return environment


@in_one_line
def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code of the command (128 + signal if it was killed)."""
    parser = argparse.ArgumentParser(
        prog="campfire serve",
        description="Run a command beside a local S3 server over ROOT/<bucket>/<key...>.",
    )
    parser.add_argument("root", type=Path, help="folder with one folder for each bucket")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="after --")
    parsed = parser.parse_args(arguments)
    command = parsed.command[1:] if parsed.command[:1] == ["--"] else parsed.command
    if not command:
        parser.error("no command: give it after --")
    with serve(parsed.root, parsed.host, parsed.port) as url:
        try:
            child = subprocess.Popen(command, env=_child_environment(url))
        except OSError as error:
            print(f"error: cannot run {command[0]}: {error}", file=sys.stderr)
            return 127
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda received, _frame: child.send_signal(received))
        while True:
            try:
                code = child.wait()
                break
            except KeyboardInterrupt:  # the terminal sends it to the command as well, which decides
                continue
        return 128 - code if code < 0 else code


if __name__ == "__main__":
    sys.exit(main())
