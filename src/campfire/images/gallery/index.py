"""The index of a plate: which object holds which channel of which site, from the gallery's load_data tables.

Since 2025 load_data is a CSV with a URL_Orig<Channel> column each; before, a parquet with FileName_ and
PathName_ columns. Both exist; both are read, all columns as text, chosen by name. Channel numbers in file names
say nothing (they differ between sources), so only these columns decide.
"""

import gzip
import io
import logging
import re
from typing import Any
from urllib.parse import unquote, urlsplit

import pandas as pd

from campfire.core.columns import PLATE, SITE, WELL
from campfire.core.errors import DataError
from campfire.images.gallery.client import NotFoundError, RefusedError, read_object
from campfire.images.gallery.options import S3Options
from campfire.screen.wells import well_name

log = logging.getLogger(__name__)

LAYOUTS = (
    "load_data_csv/{batch}/{plate}/load_data_with_illum.csv",
    "load_data_csv/{batch}/{plate}/load_data.csv",
    "load_data_csv_orig/{batch}/{plate}/load_data_with_illum.parquet",
    "load_data_csv_orig/{batch}/{plate}/load_data.parquet",
    "load_data_csv_orig/{batch}/{plate}/load_data_with_illum.csv.gz",
    "load_data_csv_orig/{batch}/{plate}/load_data.csv.gz",
    "load_data_csv/{batch}/{plate}/load_data_with_illum.parquet",
    "load_data_csv/{batch}/{plate}/load_data.parquet",
    "load_data_csv/{batch}/{plate}/load_data_with_illum.csv.gz",
    "load_data_csv/{batch}/{plate}/load_data.csv.gz",
)
"""Where load_data may be, in the order tried; the last four are the places used before 2025."""

SITE_NAME = re.compile(r"\d{1,4}")


class RefusedTableError(DataError):
    """A load_data table that must not be followed; the next variant may still do."""


def key_column(channel: str) -> str:
    """Index column with the key of a channel's image; "" where the table has none."""
    return f"key_{channel}"


def illumination_column(channel: str) -> str:
    """Index column with the key of a channel's illumination function."""
    return f"illum_key_{channel}"


def index_channels(index: pd.DataFrame) -> list[str]:
    """Channels that an index has a key column for, in the table's order."""
    return [name.removeprefix("key_") for name in index.columns if name.startswith("key_")]


def read_index(
    client: Any, options: S3Options, source: str, batch: str, plate: str, channels: list[str] | None = None
) -> pd.DataFrame:
    """The sites of a plate with the keys of their images, for every channel the table has.

    Columns: Metadata_Plate, Metadata_Well ("A01"), Metadata_Site (text), key_<channel>, illum_key_<channel> (the
    gallery's documented key where the table names none that may be followed), and `problem` (why a site must not be
    used, "" normally); one row per site, sorted. `.attrs` keep the key of the
    table (`load_data`), its `style` (URL or PathName) and `metadata`, the table's other Metadata_ values of one row.
    `channels` are those that will be used (None: all); an unsound address of another one is dropped, not refused.
    Tables with foreign paths (/home/ubuntu, file:), another bucket, or keys outside the plate's folder are refused,
    and the next variant is tried. Raises DataError when none is left.
    """
    tried: list[str] = []
    refusals: list[str] = []
    root = f"{options.root(source)}/workspace"
    for layout in LAYOUTS:
        key = f"{root}/{layout.format(batch=batch, plate=plate)}"
        try:
            body = read_object(client, options, key)
            table = read_text_table(body, key)
            index = parse_load_data(table, options, source, batch, plate, key, channels)
        except NotFoundError:
            tried.append(key)
            continue
        except (RefusedError, RefusedTableError) as error:
            log.warning("plate %s: %s; trying the next variant", plate, error)
            refusals.append(str(error))
            continue
        log.info("plate %s: %d sites in %s", plate, len(index), key)
        return index
    if refusals:
        raise DataError(f"plate {plate} of batch {batch}: no usable load_data; " + "; ".join(refusals))
    raise DataError(
        f"plate {plate}: no load_data under s3://{options.bucket}/{root}/ (tried {len(tried)} names, the first "
        f"{tried[0]}); check source {source} and batch {batch} in the sheet, and s3.bucket, s3.prefix, s3.endpoint_url"
    )


def read_text_table(body: bytes, key: str) -> pd.DataFrame:
    """A load_data table (csv, csv.gz or parquet by its name) with every column as text, "" for nothing."""
    if not body:
        raise RefusedTableError(f"{key}: is empty")
    try:
        if key.endswith(".parquet"):
            return _as_text(pd.read_parquet(io.BytesIO(body)))
        if key.endswith(".gz"):
            body = gzip.decompress(body)
        return pd.read_csv(io.BytesIO(body), dtype=str, keep_default_na=False)
    except (ValueError, OSError, EOFError) as error:  # pyarrow's and pandas' parser errors are ValueErrors or OSErrors
        raise RefusedTableError(f"{key}: not a readable table ({' '.join(str(error).split())})") from error


def _as_text(table: pd.DataFrame) -> pd.DataFrame:
    """Numbers as JUMP writes them ("1", not "1.0"), nothing as ""."""

    def text(value: Any) -> str:
        if value is None or value is pd.NA or value != value:
            return ""
        return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)

    return pd.DataFrame({str(name): table[name].map(text).astype(object) for name in table.columns})


def parse_load_data(
    table: pd.DataFrame,
    options: S3Options,
    source: str,
    batch: str,
    plate: str,
    name: str,
    channels: list[str] | None = None,
) -> pd.DataFrame:
    """Turn a load_data table (all text) into an index; see `read_index`. `name` is used in messages."""
    style, found = _style(table, name)
    if table.empty:
        raise RefusedTableError(f"{name}: has no rows")
    for column in (WELL, SITE):
        if column not in table:
            raise RefusedTableError(f"{name}: has no column {column}")
    if PLATE in table:
        others = sorted(set(table[PLATE]) - {plate})
        if len(others) == table[PLATE].nunique():
            raise RefusedTableError(f"{name}: is about plate {', '.join(others[:3])}, not {plate}")
        if others:
            log.warning("%s: rows of other plates (%s) are left out", name, ", ".join(others[:3]))
            table = table[table[PLATE] == plate]
    images_root = f"{options.root(source)}/images/{batch}/images/"
    illumination_root = f"{options.root(source)}/images/{batch}/illum/{plate}/"
    columns: dict[str, list[str]] = {
        PLATE: [plate] * len(table),
        WELL: [_well(value, name) for value in table[WELL]],
        SITE: [_site(value, name) for value in table[SITE]],
    }
    for channel in found:
        keys = []
        for value, well, site in zip(
            _locations(table, style, f"Orig{channel}"), columns[WELL], columns[SITE], strict=True
        ):
            where = f"{name}: plate {plate}, well {well}, site {site}, {channel}"
            try:
                keys.append(_image_key(value, options, images_root, plate, where))
            except RefusedTableError:
                if channels is None or channel in channels:
                    raise
                keys.append("")
        columns[key_column(channel)] = keys
    for channel in found:
        functions = [
            _illumination_key(value, options, illumination_root)
            for value in _locations(table, style, f"Illum{channel}")
        ]
        # load_data.csv names no function, though the gallery has them, at one place for every plate.
        named = next(filter(None, functions), f"{illumination_root}{plate}_Illum{channel}.npy")
        columns[illumination_column(channel)] = [function or named for function in functions]
    used = [channel for channel in found if channels is None or channel in channels]
    index = _one_row_per_site(pd.DataFrame(columns), used, name)
    extra = table[[column for column in table.columns if str(column).startswith("Metadata_")]]
    index.attrs = {"load_data": name, "style": style, "metadata": dict(extra.iloc[0]) if len(extra) else {}}
    return index


def _style(table: pd.DataFrame, name: str) -> tuple[str, list[str]]:
    """("URL" or "PathName", channels of its Orig columns)."""
    names = [str(column) for column in table.columns]
    found = [column.removeprefix("URL_Orig") for column in names if column.startswith("URL_Orig")]
    if found:
        return "URL", found
    found = [column.removeprefix("FileName_Orig") for column in names if column.startswith("FileName_Orig")]
    found = [channel for channel in found if f"PathName_Orig{channel}" in names]
    if found:
        return "PathName", found
    raise RefusedTableError(f"{name}: has neither URL_Orig<Channel> nor FileName_/PathName_Orig<Channel> columns")


def _locations(table: pd.DataFrame, style: str, what: str) -> list[str]:
    """The address in each row, "" where there is none; a path's last slash is optional."""
    if style == "URL":
        return list(table[f"URL_{what}"]) if f"URL_{what}" in table else [""] * len(table)
    if f"PathName_{what}" not in table or f"FileName_{what}" not in table:
        return [""] * len(table)
    pairs = zip(table[f"PathName_{what}"], table[f"FileName_{what}"], strict=True)
    return [f"{folder.rstrip('/')}/{file}" if folder and file else "" for folder, file in pairs]


def _well(value: str, name: str) -> str:
    well = well_name(value)
    if well is None:
        raise RefusedTableError(f"{name}: {value!r} is no well name such as A01")
    return well


def _site(value: str, name: str) -> str:
    site = value.strip()
    if SITE_NAME.fullmatch(site) is None:
        raise RefusedTableError(f"{name}: {value!r} is no site number")
    return site


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


def _image_key(value: str, options: S3Options, root: str, plate: str, where: str) -> str:
    if not value.strip():
        return ""
    key = location_key(value.strip(), options, where)
    if options.same_folder:
        folder = key.removeprefix(root).split("/")[0]
        # "<plate>__<time>-Measurement <n>" or "<plate>": a longer plate name with this one as its start is another's.
        if not key.startswith(root) or not re.fullmatch(re.escape(plate) + r"(?![A-Za-z0-9]).*", folder):
            raise RefusedTableError(f"{where}: {key!r} is outside the plate's folder {root}{plate}* (s3.same_folder)")
    return key


def _illumination_key(value: str, options: S3Options, root: str) -> str:
    """Like an image's, but "" when refused: a function is only missed by runs that correct illumination."""
    try:
        key = location_key(value.strip(), options, "illumination") if value.strip() else ""
    except RefusedTableError:
        return ""
    return key if not options.same_folder or key.startswith(root) else ""


def _one_row_per_site(index: pd.DataFrame, channels: list[str], name: str) -> pd.DataFrame:
    """Sorted, with repeated rows joined; a site listed with two different images is marked in `problem`."""
    keys = [key_column(channel) for channel in channels]
    distinct = index.drop_duplicates([WELL, SITE, *keys])
    if len(distinct) < len(index):
        log.warning("%s: %d repeated rows are left out", name, len(index) - len(distinct))
    ambiguous = distinct.duplicated([WELL, SITE], keep=False)
    result = distinct.drop_duplicates([WELL, SITE]).copy()
    doubled = set(map(tuple, distinct.loc[ambiguous, [WELL, SITE]].itertuples(index=False)))
    result["problem"] = [
        "load_data lists two different images for this site" if pair in doubled else ""
        for pair in zip(result[WELL], result[SITE], strict=True)
    ]
    if doubled:
        log.warning("%s: %d sites are listed with different images and will not be used", name, len(doubled))
    order = result[SITE].map(int).to_frame("site").assign(well=result[WELL]).sort_values(["well", "site"]).index
    return result.loc[order].reset_index(drop=True)
