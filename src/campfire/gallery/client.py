"""Reading S3 without credentials: the client, one object with retries, and listings.

What can go wrong is sorted into three kinds, because they must end differently: an object that is not there
(`NotFoundError`), one that S3 refuses (`RefusedError`), and S3 not answering properly for now
(`UnavailableError`). Only the first two say something about the data; the third never excludes a site.
"""

import hashlib
import logging
import os
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from campfire.errors import ConfigError, DataError
from campfire.gallery.options import S3Options

log = logging.getLogger(__name__)

CHUNK = 1 << 20
MISSING_CODES = {"404", "NoSuchKey", "NotFound"}
REFUSED_CODES = {"401", "403", "AccessDenied", "Forbidden", "InvalidObjectState", "AllAccessDisabled"}


class NotFoundError(DataError):
    """The key does not exist."""


class RefusedError(DataError):
    """S3 answers, and refuses the key to everybody."""


class UnavailableError(DataError):
    """S3 could not be reached, or did not deliver the object whole, in all attempts."""


class StoppedError(DataError):
    """Another object of the plate has ended the download."""


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
    """A boto3 S3 client that signs nothing and therefore looks for no credentials; safe to share between threads."""
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
        retries={"mode": "adaptive", "total_max_attempts": options.request_attempts},
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
        return UnavailableError(f"{where}: S3 answers {code} ({error.response.get('Error', {}).get('Message', '')})")
    if isinstance(error, BotoCoreError | HTTPError | ConnectionError | TimeoutError):
        text = " ".join(str(error).split())
        return UnavailableError(f"{where}: {text}; check the network and s3.endpoint_url, then run again")
    return error


def pause(options: S3Options, attempt: int, jitter: random.Random, stop: threading.Event | None) -> None:
    """Wait before attempt `attempt` + 1: doubling, at most 20 s, half of it random; ends early on `stop`."""
    longest = min(options.backoff_s * 2**attempt, 20.0)
    delay = longest * (0.5 + 0.5 * jitter.random())
    if (stop or threading.Event()).wait(delay):
        raise StoppedError("stopped")


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
    """A small object (a table), checked against its length and ETag, tried `object_attempts` times.

    An empty body is tried again, and returned only when every attempt was empty.
    Raises NotFoundError, RefusedError, UnavailableError or ConfigError (no such bucket).
    """
    jitter = random.Random()
    for attempt in range(options.object_attempts):
        last = attempt == options.object_attempts - 1
        try:
            reply = read_once(client, options, key)
        except UnavailableError as error:
            if last:
                raise
            log.warning("%s (attempt %d of %d)", error, attempt + 1, options.object_attempts)
        else:
            altered = options.check_etag and reply.stored_md5 not in ("", reply.md5)
            if altered and last:
                raise UnavailableError(f"{_address(options, key)}: the bytes do not match their ETag")
            if (reply.body or last) and not altered:
                return reply.body
        pause(options, attempt, jitter, None)
    raise AssertionError("unreachable")


def list_objects(client: Any, options: S3Options, prefix: str) -> Iterator[tuple[str, int, str]]:
    """(key, bytes, ETag) of every object under `prefix`, a thousand per request."""
    try:
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=options.bucket, Prefix=prefix):
            for item in page.get("Contents", ()):
                yield item["Key"], int(item["Size"]), str(item.get("ETag", "")).strip('"')
    except Exception as error:
        kind = translate(error, options, prefix)
        if kind is error:
            raise
        raise kind from error


def exists(client: Any, options: S3Options, key: str) -> bool:
    """Whether a key exists (HEAD)."""
    try:
        client.head_object(Bucket=options.bucket, Key=key)
    except Exception as error:
        kind = translate(error, options, key)
        if isinstance(kind, NotFoundError):
            return False
        if kind is error:
            raise
        raise kind from error
    return True
