"""Fetching a published table: from the network, a file:// address or a local path, verified."""

import errno
import gzip
import hashlib
import http.client
import logging
import re
import shutil
import time
import urllib.error
import urllib.request
import zlib
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from campfire.core.errors import ConfigError, DataError
from campfire.core.files import atomic_path
from campfire.core.retry import Backoff, retry
from campfire.core.text import size

log = logging.getLogger(__name__)

_ATTEMPTS = 4
_FIRST_PAUSE_S = 1.0
_TIMEOUT_S = 60
_CHUNK = 1 << 20


def fetch(address: str | Path, destination: str | Path, sha256: str | None = None) -> Path:
    """Copy a table from an https or http address, a file:// address or a local path to `destination`.

    The copy is verified (`sha256` when given, the announced length, a gzip header for *.gz) before it is renamed
    into place; a `destination` that already has the wanted SHA-256 is kept. For *.gz the SHA-256 may also be that of
    the decompressed content, which stays the same when a table is compressed again. A local .csv is compressed on its
    way to a *.gz. Transient network failures are
    retried.
    Raises DataError naming the address and what to do; `destination` is then unchanged.
    """
    address, final = str(address), Path(destination)
    wanted = sha256.strip().lower() if sha256 else None
    if wanted and not re.fullmatch(r"[0-9a-f]{64}", wanted):
        raise ConfigError(f"{address}: sha256 {sha256!r} is not 64 hexadecimal digits; correct it in the config")
    if wanted and final.is_file() and wanted in _digests(final):
        return final
    scheme = urlsplit(address).scheme.lower()
    with atomic_path(final) as partial:
        if scheme in ("https", "http"):
            _download(address, partial)
        elif scheme in ("", "file"):
            _copy(Path(unquote(urlsplit(address).path)) if scheme == "file" else Path(address), address, partial)
        else:
            raise ConfigError(f"{address}: cannot fetch {scheme}:// addresses; use https://, file:// or a path")
        if final.suffix == ".gz" and scheme in ("", "file") and urlsplit(address).path.endswith(".csv"):
            plain = partial.read_bytes()
            partial.write_bytes(gzip.compress(plain, mtime=0))
        with open(partial, "rb") as handle:
            if final.suffix == ".gz" and handle.read(2) != b"\x1f\x8b":
                raise DataError(
                    f"{address}: not a gzip file (an error page or a pointer file?); "
                    "open the address in a browser and correct it in the config"
                )
        got = _digests(partial)
        if wanted and wanted not in got:
            raise DataError(
                f"{address}: SHA-256 is {got[0]}, not {wanted}; the file was altered or the source published a new "
                "version: fetch the right version, or after review put the new sum in the config"
            )
    log.info("fetched %s to %s (sha256 %s)", address, final, got[0])
    return final


def local_content(address: str | Path) -> str:
    """SHA-256 of the content of a local table, however compressed; "" for other addresses and absent files.

    It shows whether a user's table was edited since it was copied.
    """
    parts = urlsplit(str(address))
    path = Path(unquote(parts.path)) if parts.scheme.lower() == "file" else Path(str(address))
    if parts.scheme.lower() not in ("", "file") or not path.is_file():
        return ""
    return _digests(path)[-1]


def _digests(path: Path) -> list[str]:
    """SHA-256 of a file and, for a readable *.gz, of its content."""
    with open(path, "rb") as handle:
        digests = [hashlib.file_digest(handle, "sha256").hexdigest()]
    if path.suffix == ".gz":
        try:
            with gzip.open(path, "rb") as content:
                digest = hashlib.sha256()
                while chunk := content.read(_CHUNK):
                    digest.update(chunk)
            digests.append(digest.hexdigest())
        except (OSError, EOFError, zlib.error):
            log.debug("%s does not decompress", path)
    return digests


def _copy(source: Path, address: str, partial: Path) -> None:
    try:
        shutil.copyfile(source, partial)
    except (OSError, shutil.SameFileError) as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):  # of the results' disk, not of the table
            raise OSError(error.errno, error.strerror, str(partial)) from error
        raise DataError(f"{address}: cannot read this file ({error}); correct the address in the config") from error


class _PassingError(DataError):
    """The server cannot be reached or did not deliver the whole table."""


def _download(address: str, partial: Path) -> None:
    def warn(error: Exception, attempt: str) -> None:
        log.warning("%s: %s (%s)", address, error, attempt)

    try:
        retry(lambda _: _request(address, partial), _PassingError, Backoff(_ATTEMPTS, _FIRST_PAUSE_S), warn)
    except _PassingError as error:
        raise DataError(
            f"{address}: {error}; check the network and proxy, or put a copy of the file on this machine and give its "
            "path as the address"
        ) from error


def _request(address: str, partial: Path) -> None:
    """One attempt to download an address; raises _PassingError with the reason where another may succeed."""
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT_S) as response, open(partial, "wb") as out:  # noqa: S310
            _stream(response, out, address, response.headers.get("Content-Length"))
    except urllib.error.HTTPError as error:
        answer = f"the server answers {error.code} {error.reason}"
        if error.code < 500 and error.code != 429:
            raise DataError(f"{address}: {answer}; correct the address in the config") from error
        raise _PassingError(answer) from error
    except urllib.error.URLError as error:
        raise _PassingError(f"cannot be reached ({error.reason})") from error
    except (OSError, http.client.HTTPException) as error:
        raise _PassingError(f"the transfer broke off ({error})") from error


def _stream(response: BinaryIO, out: BinaryIO, address: str, length: str | None) -> None:
    """Copy a response in chunks; the caller retries a body shorter than announced."""
    done, reported = 0, time.monotonic()
    while chunk := response.read(_CHUNK):
        out.write(chunk)
        done += len(chunk)
        if time.monotonic() - reported > 10:
            reported = time.monotonic()
            log.info("%s: %s of %s", address, size(done), size(int(length)) if length else "?")
    if length is not None and done != int(length):
        raise http.client.IncompleteRead(b"", int(length) - done)
