"""Source of the images, limits and retries: the `s3` section of the config."""

import re
from collections.abc import Iterator
from typing import ClassVar

from campfire.core.options import Options, option

BUCKET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")


class S3Options(Options):
    """Source of the images, limits, retries and the share of failed sites at which a plate fails."""

    section: ClassVar[str] = "s3"

    bucket: str = option("cellpainting-gallery", "public bucket, read without credentials", min_length=1)
    prefix: str = option("cpg0016-jump", "first folder of every key; empty if the sources are at the top")
    endpoint_url: str | None = option(
        None,
        "address of another S3, e.g. a mirror or the local server; null uses AWS_ENDPOINT_URL_S3, else AWS",
        execution=True,
    )
    folder: str | None = option(
        None, "a local folder laid out as the bucket, read instead of S3: no server, no network"
    )
    region: str = option(
        "us-east-1", "region of the bucket; some set-ups refuse anonymous calls without it", execution=True
    )
    workers: int = option(16, "objects in flight per plate", execution=True, ge=1)
    connect_timeout_s: float = option(10.0, "time to open a connection", unit="s", execution=True, gt=0)
    read_timeout_s: float = option(30.0, "longest time without receiving data", unit="s", execution=True, gt=0)
    object_timeout_s: float = option(
        600.0, "longest time for one whole object, however slowly it arrives", unit="s", execution=True, gt=0
    )
    attempts: int = option(8, "attempts per object or request, whatever the failure", execution=True, ge=1)
    backoff_s: float = option(
        0.5,
        "first pause between attempts; doubles up to 20 s, half of it random",
        unit="s",
        execution=True,
        ge=0,
    )
    patience_s: float = option(
        7200.0,
        "longest wait for an S3 that delivers nothing at all, asked once a minute, before a plate fails; a first plate "
        "whose listing never arrives fails at once",
        unit="s",
        execution=True,
        ge=0,
    )
    check_etag: bool = option(
        True, "compare MD5 with the ETag where that is an MD5 (objects stored in one part)", execution=True
    )
    digests: bool = option(
        False,
        "compare MD5 with the gallery's Image.csv for all images, not only where the ETag is no MD5",
        execution=True,
    )
    same_folder: bool = option(True, "refuse a load_data with images outside the plate's own folder", execution=True)
    max_bad_share: float = option(
        0.05, "share of the requested sites that may fail; above it the plate fails", execution=True, ge=0, le=1
    )
    disk_reserve_gb: float = option(
        1.0, "disk space to keep free beyond the bytes of the plan", unit="GB", execution=True, ge=0
    )
    progress_s: float = option(10.0, "time between progress lines", unit="s", execution=True, gt=0)

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if BUCKET_NAME.fullmatch(self.bucket) is None:
            bare = self.bucket.removeprefix("s3://").partition("/")[0]
            hint = f"; {bare} would be one" if BUCKET_NAME.fullmatch(bare) else ""
            yield "bucket", f"{self.bucket!r} is no name of a bucket{hint} (put a folder in it in s3.prefix)"
        if self.endpoint_url is not None and not self.endpoint_url.startswith(("http://", "https://")):
            yield "endpoint_url", f"{self.endpoint_url!r} must start with http:// or https://"

    def root(self, source: str) -> str:
        """The key of a source's folder, without a slash at the end."""
        return f"{self.prefix.strip('/')}/{source}" if self.prefix.strip("/") else source
