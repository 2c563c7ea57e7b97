"""Reading objects and listings from S3, with retries."""

import gzip
import hashlib
import logging
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from campfire.core.errors import ConfigError
from campfire.core.retry import Backoff, StoppedError, retry
from campfire.images.gallery.connect import connect
from campfire.images.gallery.faults import (
    ListingError,
    NotFoundError,
    RefusedError,
    UnavailableError,
    address_of,
    endpoint,
    not_s3,
    translate,
)
from campfire.images.gallery.options import S3Options
from campfire.images.gallery.outage import Outage

__all__ = [
    "ListingError",
    "NotFoundError",
    "RefusedError",
    "Reply",
    "UnavailableError",
    "connect",
    "exists",
    "list_objects",
    "read_object",
    "read_once",
    "same_version",
]

log = logging.getLogger(__name__)

CHUNK = 1 << 20


@dataclass(frozen=True)
class Reply:
    """The bytes of an object, their MD5, the MD5 that S3 stored for them ("" where it has none), and the version."""

    body: bytes
    md5: str
    stored_md5: str
    sent: int = -1
    """Bytes that arrived, fewer than those of the body where that was sent as gzip."""
    version: str = ""
    """ETag, or "@" and the time of the last change where S3 gives no ETag."""


T = TypeVar("T")


def _until_available(options: S3Options, ask: Callable[[bool], T]) -> T:
    """The answer of `ask`, asked up to `options.attempts` times while S3 is unavailable, then while patience lasts."""

    def warn(error: Exception, attempt: str) -> None:
        log.warning("%s (%s)", error, attempt)

    return Outage("listing", options.patience_s).outlast(
        lambda: retry(ask, UnavailableError, Backoff(options.attempts, options.backoff_s), warn)
    )


def _call(options: S3Options, key: str, call: Callable[[], Any]) -> Any:
    """The answer to a small request, retried while S3 is unavailable; raises an error of `faults`."""

    def ask(last: bool) -> Any:
        try:
            return call()
        except Exception as error:
            kind = translate(error, options, key)
            if kind is error:
                raise
            raise kind from error

    return _until_available(options, ask)


def read_once(client: Any, options: S3Options, key: str, stop: threading.Event | None = None) -> Reply:
    """The reply to one GET of a whole object, gzip unpacked; a short body or a fault raises an error of `faults`."""
    try:
        answer = client.get_object(Bucket=options.bucket, Key=key)
        length = answer.get("ContentLength")
        started, parts, size = time.monotonic(), [], 0
        for part in answer["Body"].iter_chunks(CHUNK):
            parts.append(part)
            size += len(part)
            if stop is not None and stop.is_set():
                raise StoppedError("stopped")
            if time.monotonic() - started > options.object_timeout_s:
                raise TimeoutError(f"{size} bytes in {options.object_timeout_s:g} s; see s3.object_timeout_s")
    except Exception as error:
        kind = translate(error, options, key)
        if kind is error:
            raise
        raise kind from error
    body = b"".join(parts)
    if length is not None and len(body) != length:
        raise UnavailableError(f"{address_of(options, key)}: {len(body)} of {length} bytes arrived; run again")
    if body[:200].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise ConfigError(f"{address_of(options, key)}: {not_s3(options)}")
    sent, stored, md5 = len(body), _stored_md5(answer), hashlib.md5(body, usedforsecurity=False).hexdigest()
    if str(answer.get("ContentEncoding", "")).lower() == "gzip" and body[:2] == b"\x1f\x8b" and stored != md5:
        # A server that compresses responses keeps the ETag of the uncompressed object.
        body = _unzipped(body, options, key)
        md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
    elif str(answer.get("ContentEncoding", "")).lower() == "gzip" and not key.endswith(".gz"):
        body = _unzipped(body, options, key)
    return Reply(body, md5, stored, sent, _version(answer.get("ETag"), answer.get("LastModified")))


def _unzipped(body: bytes, options: S3Options, key: str) -> bytes:
    try:
        return gzip.decompress(body)
    except (OSError, EOFError, zlib.error) as error:
        raise UnavailableError(f"{address_of(options, key)}: sent as gzip that does not unpack ({error})") from error


def _version(etag: Any, modified: Any) -> str:
    """The version of an object's content: its ETag, else the time of its last change in seconds."""
    text = str(etag or "").removeprefix("W/").strip('"')
    if text:
        return text
    return f"@{int(modified.timestamp())}" if hasattr(modified, "timestamp") else ""


def same_version(one: str, other: str) -> bool:
    """Whether two versions may have the same content, as an unknown one or one of another kind may."""
    return one == other or not one or not other or one.startswith("@") != other.startswith("@")


def _stored_md5(answer: dict[str, Any]) -> str:
    """The MD5 in an answer's ETag; "" for objects stored in parts or encrypted with a key, whose ETag is no MD5."""
    etag = str(answer.get("ETag", "")).strip('"').lower()
    if answer.get("ServerSideEncryption", "AES256") != "AES256" or answer.get("SSECustomerAlgorithm"):
        return ""
    return etag if len(etag) == 32 and set(etag) <= set("0123456789abcdef") else ""


def read_object(client: Any, options: S3Options, key: str) -> bytes:
    """A small object (a table), checked against its length and ETag, tried `options.attempts` times.

    An empty body is retried, and returned only when every attempt was empty. If the same bytes arrive twice but do not
    match their ETag, the server's ETags are not MD5s: ConfigError names `s3.check_etag`. Otherwise raises the errors
    of `faults`.
    """
    where = address_of(options, key)
    wrong: list[str] = []

    def ask(last: bool) -> bytes:
        reply = read_once(client, options, key)
        if options.check_etag and reply.stored_md5 not in ("", reply.md5):
            if reply.md5 in wrong[-1:]:
                raise ConfigError(
                    f"{where}: came twice with the same bytes, whose MD5 is not the ETag {reply.stored_md5}; if the "
                    "ETags of this server are not MD5s, set s3.check_etag: false"
                )
            wrong.append(reply.md5)
            raise UnavailableError(f"{where}: the bytes do not match their ETag; run again")
        if not reply.body and not last:
            raise UnavailableError(f"{where}: is empty")
        return reply.body

    return _until_available(options, ask)


def list_objects(client: Any, options: S3Options, prefix: str) -> Iterator[tuple[str, int, str]]:
    """(key, bytes or -1, version) of every object under `prefix`, a thousand per request.

    Raises ListingError where a server sends the same page again, or stops half-way without a continuation token.
    """
    more: dict[str, str] = {}
    seen: set[str] = set()
    while True:
        page = _call(
            options,
            prefix,
            lambda: client.list_objects_v2(Bucket=options.bucket, Prefix=prefix, **more),  # noqa: B023
        )
        items = page.get("Contents", ())
        keys = [str(item["Key"]) for item in items]
        if keys and seen.issuperset(keys):
            raise ListingError(f"{_lister(options, prefix)} sends the same page of its listing again")
        for key, item in zip(keys, items, strict=True):
            if key not in seen:
                yield key, int(item.get("Size", -1)), _version(item.get("ETag"), item.get("LastModified"))
        seen.update(keys)
        if not page.get("IsTruncated"):
            return
        if not keys:
            raise ListingError(f"{_lister(options, prefix)} sends an empty page and says that there are more")
        # Old servers give no token; the last key works instead.
        token = page.get("NextContinuationToken")
        more = {"ContinuationToken": token} if token else {"StartAfter": max(keys)}


def _lister(options: S3Options, prefix: str) -> str:
    return f"{address_of(options, prefix)}: the server {endpoint(options) or 'of AWS'}"


def exists(client: Any, options: S3Options, key: str) -> bool:
    """Whether a key exists (HEAD)."""
    try:
        _call(options, key, lambda: client.head_object(Bucket=options.bucket, Key=key))
    except NotFoundError:
        return False
    return True
