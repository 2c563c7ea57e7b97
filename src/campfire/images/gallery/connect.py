"""The unsigned S3 client, set up only from the configuration and a few environment variables, which are logged."""

import logging
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from campfire.core.errors import ConfigError
from campfire.images.gallery.faults import endpoint
from campfire.images.gallery.folder import FolderClient
from campfire.images.gallery.options import S3Options

log = logging.getLogger(__name__)

LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")


def connect(options: S3Options) -> Any:
    """An unsigned boto3 S3 client that reads none of the user's files and may be shared between threads.

    Neither ~/.aws/config nor ~/.aws/credentials is read and AWS_PROFILE is ignored. Variables that are used
    (AWS_ENDPOINT_URL_S3, proxies, AWS_CA_BUNDLE) are logged. With `options.folder` it is a `FolderClient` over local
    files. Raises ConfigError for an unusable proxy or certificate bundle.
    """
    if options.folder is not None:
        return FolderClient(options.folder)
    import boto3
    import botocore.session
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    address = endpoint(options)
    host = urlsplit(address).hostname if address else None
    _log_environment(options, host or "s3.amazonaws.com", not address or address.startswith("https"))
    config = Config(
        signature_version=UNSIGNED,
        connect_timeout=options.connect_timeout_s,
        read_timeout=options.read_timeout_s,
        # We retry ourselves: botocore's adaptive mode lowers its rate once per refused request, so with many in flight
        # one burst of 503 slows a download to a request every two seconds.
        retries={"mode": "standard", "total_max_attempts": 1},
        max_pool_connections=options.workers + 2,
        # Bucket names in the host name need a wildcard DNS entry, which mirrors and local servers rarely have.
        s3={"addressing_style": "path" if address else "auto"},
        # A proxy for the cluster's outbound traffic must not be used for a server on this machine.
        proxies={} if host in LOCAL_HOSTS else None,
    )
    # A deleted profile, a broken file or another project's endpoint_url must not affect this client.
    nothing = (None, None, os.devnull, None)
    session = botocore.session.Session(
        session_vars={"profile": (None, None, None, None), "config_file": nothing, "credentials_file": nothing}
    )
    try:
        return boto3.session.Session(botocore_session=session).client(
            "s3", region_name=options.region, endpoint_url=address, config=config
        )
    except (BotoCoreError, ValueError) as error:
        raise ConfigError(
            f"cannot set up S3 access ({error}); check s3.endpoint_url, s3.region and the variables AWS_CA_BUNDLE, "
            "REQUESTS_CA_BUNDLE and AWS_*"
        ) from error


def _log_environment(options: S3Options, host: str, encrypted: bool) -> None:
    """Log the environment variables that will be used; ConfigError for a value that cannot work."""
    if (address := endpoint(options)) and not options.endpoint_url:
        log.info("using S3 at %s, set in the environment (AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL)", address)
        if not address.startswith(("http://", "https://")):
            raise ConfigError(f"AWS_ENDPOINT_URL_S3 is {address!r}; it must start with http:// or https://")
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        bundle = os.environ.get(name)
        if encrypted and bundle is not None:
            if not Path(bundle).exists():
                raise ConfigError(f"{name} is {bundle!r}, but there is no certificate file; correct or unset it")
            log.info("certificates are verified with %s (%s)", bundle, name)
            break
    scheme = "https" if encrypted else "http"
    proxy = getproxies().get(scheme)
    if not proxy or host in LOCAL_HOSTS or proxy_bypass(host):
        return
    parts = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    if parts.scheme not in ("", "http", "https") or not parts.hostname:
        raise ConfigError(
            f"{scheme.upper()}_PROXY is {proxy!r}; it must be http://host:port, or be unset ({scheme}_proxy counts too)"
        )
    log.info("connecting to S3 through the proxy %s (%s_PROXY)", parts.hostname, scheme.upper())
