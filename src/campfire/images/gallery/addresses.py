"""Validation of the addresses in load_data, and their keys in the bucket."""

import re
from urllib.parse import unquote, urlsplit

from campfire.core.errors import DataError
from campfire.images.gallery.options import S3Options

NOTHING = ("", "nan", "none", "na")
"""Values that stand for no address in a table."""


class RefusedTableError(DataError):
    """A load_data table that must not be used; the next variant may still be usable."""


def location_key(value: str, options: S3Options, where: str) -> str:
    """The key of an address in load_data: s3://bucket/key or S3's https form of the configured bucket, else refused."""
    if value.startswith("s3://"):
        bucket, _, key = value.removeprefix("s3://").partition("/")
    elif value.startswith(("https://", "http://")):
        parts = urlsplit(value)
        host, path = parts.hostname or "", unquote(parts.path).lstrip("/")
        if not re.search(r"(^|\.)s3[.-]([a-z0-9-]+\.)?amazonaws\.com$", host):
            raise RefusedTableError(f"{where}: {value!r} is not an address in S3")
        if host.startswith("s3"):
            bucket, _, key = path.partition("/")
        else:
            bucket, key = re.split(r"\.s3[.-]", host)[0], path
    else:
        raise RefusedTableError(f"{where}: {value!r} is a path on somebody's machine, not an address in S3")
    if bucket != options.bucket:
        raise RefusedTableError(f"{where}: {value!r} is in bucket {bucket!r}, not {options.bucket!r} (s3.bucket)")
    if any(part in ("", ".", "..") for part in key.split("/")) or re.search(r"[\x00-\x1f\x7f\\]", key):
        raise RefusedTableError(f"{where}: {value!r} is not a plain key")
    return key


def image_key(value: str, options: S3Options, root: str, plate: str, where: str) -> str:
    if value.strip().lower() in NOTHING:
        return ""
    key = location_key(value.strip(), options, where)
    if options.same_folder:
        folder = key.removeprefix(root).split("/")[0]
        # "<plate>__<time>-Measurement <n>" or "<plate>": a longer name that begins with it is another plate.
        if not key.startswith(root) or not re.fullmatch(re.escape(plate) + r"(?![A-Za-z0-9]).*", folder):
            raise RefusedTableError(f"{where}: {key!r} is outside the plate's folder {root}{plate}* (s3.same_folder)")
    return key


def illumination_key(value: str, options: S3Options, root: str) -> str:
    """Like an image's, but "" when refused: only runs that correct illumination need a function."""
    try:
        named = value.strip().lower() not in NOTHING
        key = location_key(value.strip(), options, "illumination") if named else ""
    except RefusedTableError:
        return ""
    return key if not options.same_folder or key.startswith(root) else ""
