"""Reading S3 without credentials: the client, one object with retries, and listings.

What can go wrong is sorted into three kinds, because they must end differently: an object that is not there
(`NotFoundError`), one that S3 refuses (`RefusedError`), and S3 not answering properly for now
(`UnavailableError`). Only the first two say something about the data; the third never excludes a site.
"""

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from campfire.core.errors import ConfigError, DataError
from campfire.images.gallery.folder import FolderClient
from campfire.images.gallery.options import S3Options
from campfire.images.gallery.retry import Backoff, StoppedError

log = logging.getLogger(__name__)

CHUNK = 1 << 20
MISSING_CODES = {"404", "NoSuchKey", "NotFound"}
SLOW_CODES = {"503", "429", "SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests"}
REFUSED_CODES = {"401", "403", "AccessDenied", "Forbidden", "InvalidObjectState", "AllAccessDisabled"}


class NotFoundError(DataError):
    """The key does not exist."""


class RefusedError(DataError):
    """S3 answers, and refuses the key to everybody."""


class UnavailableError(DataError):
    """S3 could not be reached, or did not deliver the object whole; `slow_down` when it asked for fewer requests."""

    slow_down = False


@dataclass(frozen=True)
class Reply:
    """The bytes of an object with their MD5, and the MD5 that S3 stored for them ("" where it has none)."""

    body: bytes
    md5: str
    stored_md5: str


def endpoint(options: S3Options) -> str | None:
    """The address in use, or None for AWS itself."""
    return options.endpoint_url or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None


def connect(options: S3Options) -> Any:
    """A boto3 S3 client that signs nothing and therefore looks for no credentials; safe to share between threads.

    With `options.folder` it is a `FolderClient` over local files.
    """
    if options.folder is not None:
        return FolderClient(options.folder)
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    address = endpoint(options)
    host = urlsplit(address).hostname if address else None
    config = Config(
        signature_version=UNSIGNED,
        connect_timeout=options.connect_timeout_s,
        read_timeout=options.read_timeout_s,
        # Tried again by us: botocore's adaptive mode cuts its rate once per refused request, and with many in flight
        # one burst of 503 brings a download down to a request every two seconds.
        retries={"mode": "standard", "total_max_attempts": 1},
        max_pool_connections=options.workers + 2,
        # Bucket names in the host name need a wildcard DNS entry, which mirrors and local servers rarely have.
        s3={"addressing_style": "path" if address else "auto"},
        # A proxy set for the cluster's way out must not be asked for a server on this machine.
        proxies={} if host in ("127.0.0.1", "localhost", "::1") else None,
    )
    try:
        return boto3.session.Session().client(
            "s3", region_name=options.region, endpoint_url=options.endpoint_url, config=config
        )
    except (BotoCoreError, ValueError) as error:
        raise ConfigError(
            f"cannot set up S3 access ({error}); check s3.endpoint_url and the AWS_* variables"
        ) from error


def _address(options: S3Options, key: str) -> str:
    if options.folder is not None:
        return f"{options.folder}/{key}"
    at = endpoint(options)
    return f"s3://{options.bucket}/{key}" + (f" at {at}" if at else "")


def _code(error: Any) -> str:
    """The S3 error code of a ClientError; its HTTP status where S3 gave no code."""
    response = error.response
    code = str(response.get("Error", {}).get("Code", ""))
    return code or str(response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))


def translate(error: Exception, options: S3Options, key: str) -> Exception:
    """A botocore or connection error as one of the three kinds; anything else comes back unchanged."""
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    where = _address(options, key)
    if isinstance(error, ClientError):
        code = _code(error)
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if code in MISSING_CODES:
            return NotFoundError(f"{where}: no such object")
        if code == "NoSuchBucket":
            return ConfigError(f"{where}: no such bucket; check s3.bucket and s3.endpoint_url")
        if code in REFUSED_CODES or status in (401, 403):
            return RefusedError(f"{where}: refused ({code}); check that s3.bucket and s3.prefix name public data")
        answer = UnavailableError(f"{where}: S3 answers {code} ({error.response.get('Error', {}).get('Message', '')})")
        answer.slow_down = code in SLOW_CODES or status in (429, 503)
        return answer
    if isinstance(error, BotoCoreError | HTTPError | ConnectionError | TimeoutError):
        text = " ".join(str(error).split())
        return UnavailableError(f"{where}: {text}; check the network and s3.endpoint_url, then run again")
    return error


def _call(options: S3Options, key: str, call: Callable[[], Any]) -> Any:
    """A small request, tried `options.attempts` times while S3 is unavailable; raises one of the three kinds."""
    backoff = Backoff(options)
    while True:
        try:
            return call()
        except Exception as error:
            kind = translate(error, options, key)
            if kind is error:
                raise
            if not isinstance(kind, UnavailableError) or backoff.spent:
                raise kind from error
            log.warning("%s (attempt %d of %d)", kind, backoff.attempt, options.attempts)
        backoff.wait()


def read_once(client: Any, options: S3Options, key: str, stop: threading.Event | None = None) -> Reply:
    """One GET of a whole object; raises one of the three kinds of error. Short bodies count as unavailable."""
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
        raise UnavailableError(f"{_address(options, key)}: {len(body)} of {length} bytes arrived")
    return Reply(body, hashlib.md5(body, usedforsecurity=False).hexdigest(), _stored_md5(answer))


def _stored_md5(answer: dict[str, Any]) -> str:
    """The MD5 in an answer's ETag; "" for objects stored in parts or encrypted with a key, whose ETag is no MD5."""
    etag = str(answer.get("ETag", "")).strip('"').lower()
    if answer.get("ServerSideEncryption", "AES256") != "AES256" or answer.get("SSECustomerAlgorithm"):
        return ""
    return etag if len(etag) == 32 and set(etag) <= set("0123456789abcdef") else ""


def read_object(client: Any, options: S3Options, key: str) -> bytes:
    """A small object (a table), checked against its length and ETag, tried `options.attempts` times.

    An empty body is tried again, and returned only when every attempt was empty.
    Raises NotFoundError, RefusedError, UnavailableError or ConfigError (no such bucket).
    """
    backoff = Backoff(options)
    while True:
        try:
            reply = read_once(client, options, key)
            if options.check_etag and reply.stored_md5 not in ("", reply.md5):
                raise UnavailableError(f"{_address(options, key)}: the bytes do not match their ETag")
            if reply.body or backoff.spent:
                return reply.body
        except UnavailableError as error:
            if backoff.spent:
                raise
            log.warning("%s (attempt %d of %d)", error, backoff.attempt, options.attempts)
        backoff.wait()


def list_objects(client: Any, options: S3Options, prefix: str) -> Iterator[tuple[str, int, str]]:
    """(key, bytes, ETag) of every object under `prefix`, a thousand per request."""
    more: dict[str, str] = {}
    while True:
        page = _call(
            options,
            prefix,
            lambda: client.list_objects_v2(Bucket=options.bucket, Prefix=prefix, **more),  # noqa: B023
        )
        for item in page.get("Contents", ()):
            yield item["Key"], int(item["Size"]), str(item.get("ETag", "")).strip('"')
        if not page.get("IsTruncated"):
            return
        more = {"ContinuationToken": page["NextContinuationToken"]}


def exists(client: Any, options: S3Options, key: str) -> bool:
    """Whether a key exists (HEAD)."""
    try:
        _call(options, key, lambda: client.head_object(Bucket=options.bucket, Key=key))
    except NotFoundError:
        return False
    return True
