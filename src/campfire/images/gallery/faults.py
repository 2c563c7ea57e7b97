"""Errors of requests to S3, grouped by how the download must react.

`NotFoundError`: there is no such object. `RefusedError`: S3 refuses it. `UnavailableError`: S3 does not answer properly
at the moment. ConfigError: the request can never succeed as configured (another region, no such bucket, a web page
instead of S3). Only the first two concern the data; only the third is retried.
"""

import os
from typing import Any

from campfire.core.errors import ConfigError, DataError
from campfire.images.gallery.options import S3Options

MISSING_CODES = {"404", "NoSuchKey", "NotFound"}
SLOW_CODES = {"503", "429", "SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests"}
REFUSED_CODES = {"401", "403", "AccessDenied", "Forbidden", "InvalidObjectState", "AllAccessDisabled"}
REGION_CODES = {
    *("301", "PermanentRedirect", "TemporaryRedirect", "IllegalLocationConstraintException"),
    *("AuthorizationHeaderMalformed", "IncorrectEndpoint", "307"),
}
PASSING_CODES = {"RequestTimeout", "BadDigest", "IncompleteBody", "OperationAborted", "408", "409", "425"}
"""Status codes from 400 to 499 that may succeed when retried."""


class NotFoundError(DataError):
    """The key does not exist."""


class RefusedError(DataError):
    """S3 responds and refuses the key to everybody."""


class UnavailableError(DataError):
    """S3 was unreachable or did not deliver the whole object; `slow_down` if it asked for fewer requests."""

    slow_down = False


class ChangedError(DataError):
    """An object changed after it was listed."""


class ListingError(DataError):
    """A listing that never ends, or stops half-way without a continuation token."""


def endpoint(options: S3Options) -> str | None:
    """The address in use, or None for AWS itself."""
    return options.endpoint_url or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None


def address_of(options: S3Options, key: str) -> str:
    """An object's address in messages, with the server when it is not AWS."""
    if options.folder is not None:
        return f"{options.folder}/{key}"
    at = endpoint(options)
    return f"s3://{options.bucket}/{key}" + (f" at {at}" if at else "")


def translate(error: Exception, options: S3Options, key: str) -> Exception:
    """Convert a botocore or connection error to one of the classes above; anything else is returned unchanged."""
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        ParamValidationError,
        ProxyConnectionError,
        SSLError,
    )
    from botocore.parsers import ResponseParserError
    from urllib3.exceptions import HTTPError

    where = address_of(options, key)
    if isinstance(error, ClientError):
        return _answered(error, where)
    text = " ".join(str(error).split())
    if isinstance(error, ParamValidationError):
        return ConfigError(f"{where}: {text}; correct s3.bucket and s3.prefix")
    if isinstance(error, ResponseParserError):
        return ConfigError(f"{where}: {not_s3(options)}")
    if isinstance(error, SSLError):
        return ConfigError(
            f"{where}: the server's certificate is not accepted ({text}); check this machine's date and time, "
            "AWS_CA_BUNDLE, and s3.endpoint_url"
        )
    if isinstance(error, ProxyConnectionError):
        return UnavailableError(f"{where}: {text}; check HTTPS_PROXY, HTTP_PROXY and NO_PROXY, then run again")
    if isinstance(error, BotoCoreError | HTTPError | ConnectionError | TimeoutError):
        return UnavailableError(f"{where}: {text}; check the network and s3.endpoint_url, then run again")
    return error


def not_s3(options: S3Options) -> str:
    """The message for a response that is not from S3."""
    return (
        "a web page answers instead of S3, such as the log-in page of a guest network or a proxy; "
        f"open {endpoint(options) or 'https://s3.amazonaws.com'} in a browser, and check s3.endpoint_url and "
        "HTTPS_PROXY"
    )


def _answered(error: Any, where: str) -> Exception:
    """Convert an error response of S3."""
    answer = error.response.get("Error", {})
    metadata = error.response.get("ResponseMetadata", {})
    status = metadata.get("HTTPStatusCode")
    code = str(answer.get("Code", "")) or str(status or "")
    said = f"{code} ({answer.get('Message', '')})"
    region = answer.get("Region") or metadata.get("HTTPHeaders", {}).get("x-amz-bucket-region", "")
    if code in MISSING_CODES:
        return NotFoundError(f"{where}: no such object")
    if code == "NoSuchBucket":
        return ConfigError(f"{where}: no such bucket; check s3.bucket and s3.endpoint_url")
    if code == "InvalidBucketName":
        return ConfigError(f"{where}: this is not a valid name of a bucket; correct s3.bucket")
    if code in REGION_CODES or status in (301, 307) or (status == 400 and region):
        of = f" in {region}: set s3.region: {region}" if region else " in another region: set s3.region"
        at = f", or s3.endpoint_url (S3 names {answer['Endpoint']})" if answer.get("Endpoint") else ""
        return ConfigError(f"{where}: the bucket is{of}{at}; S3 answers {code}")
    if code in ("RequestTimeTooSkewed", "RequestExpired"):
        return ConfigError(f"{where}: S3 reports that the clock of this machine is wrong ({said}); set date and time")
    if code in REFUSED_CODES or status in (401, 403):
        return RefusedError(f"{where}: refused ({code}); check that s3.bucket and s3.prefix name public data")
    if isinstance(status, int) and (400 <= status < 500 or status == 501) and code not in SLOW_CODES | PASSING_CODES:
        return ConfigError(f"{where}: S3 answers {said}; check s3.bucket, s3.prefix, s3.region and s3.endpoint_url")
    unavailable = UnavailableError(f"{where}: S3 answers {said}; run again later")
    unavailable.slow_down = code in SLOW_CODES or status in (429, 503)
    return unavailable
