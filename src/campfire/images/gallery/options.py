"""Where the images are and how hard to try: the `s3` section of the configuration."""

from dataclasses import dataclass, fields

from campfire.core.errors import ConfigError


@dataclass(frozen=True)
class S3Options:
    """Source of the images, limits, retries and the rule for giving up on a plate.

    `endpoint_url` None means the environment's AWS_ENDPOINT_URL_S3, else AWS itself.
    """

    bucket: str = "cellpainting-gallery"  # public bucket, read without credentials
    prefix: str = "cpg0016-jump"  # first folder of every key
    endpoint_url: str | None = None  # another S3, e.g. a mirror or the local server
    folder: str | None = None  # a local folder laid out as the bucket, read instead of S3: no server, no network
    region: str = "us-east-1"  # given explicitly: some set-ups refuse anonymous calls without it
    workers: int = 16  # objects in flight per plate
    connect_timeout_s: float = 10.0  # to open a connection
    read_timeout_s: float = 30.0  # without a byte
    object_timeout_s: float = 600.0  # for one whole object, however slowly it trickles
    attempts: int = 8  # of one object or request, for whatever reason it failed
    backoff_s: float = 0.5  # first pause between attempts; doubles up to 20 s, half of it random
    check_etag: bool = True  # compare MD5 with the ETag where that is an MD5 (objects stored in one part)
    digests: bool = False  # compare MD5 with the gallery's Image.csv for all images, not only where the ETag is no MD5
    same_folder: bool = True  # refuse a load_data whose images lie outside the plate's own folder
    max_bad_share: float = 0.05  # of the sites asked for; above it the plate fails
    disk_reserve_gb: float = 1.0  # to stay free on the disk beyond the plan's bytes
    progress_s: float = 10.0  # between progress lines

    def __post_init__(self) -> None:
        if not self.bucket:
            raise ConfigError("s3.bucket is empty; name the bucket that holds the images")
        if self.endpoint_url is not None and not self.endpoint_url.startswith(("http://", "https://")):
            raise ConfigError(f"s3.endpoint_url is {self.endpoint_url!r}; it must start with http:// or https://")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ("workers", "attempts") and value < 1:
                raise ConfigError(f"s3.{field.name} is {value}; it must be at least 1")
            if field.name.endswith("timeout_s") and value <= 0:
                raise ConfigError(f"s3.{field.name} is {value}; it must be above 0")
        if not 0 <= self.max_bad_share <= 1:
            raise ConfigError(f"s3.max_bad_share is {self.max_bad_share}; it is a share, from 0 to 1")

    def root(self, source: str) -> str:
        """The key of a source's folder, without a slash at the end."""
        return f"{self.prefix.strip('/')}/{source}" if self.prefix.strip("/") else source
