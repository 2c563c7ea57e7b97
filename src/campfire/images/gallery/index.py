"""The index of a plate: the object that holds each channel of each site, from the gallery's load_data tables.

Since 2025, load_data is a CSV with one URL_Orig<Channel> column per channel; before, it was a parquet file with
FileName_ and PathName_ columns. Both are read, with columns selected by name and read as text. Channel numbers in
file names differ between sources and are ignored.
"""

import io
import logging
import re
from typing import Any

import pandas as pd

from campfire.core.columns import PLATE, SITE, WELL
from campfire.core.errors import DataError
from campfire.core.text import some
from campfire.images.gallery.addresses import RefusedTableError, illumination_key, image_key
from campfire.images.gallery.client import NotFoundError, RefusedError, read_object
from campfire.images.gallery.options import S3Options
from campfire.images.gallery.same_picture import describe, positions_of_copies
from campfire.screen.sheets import decode_text, parse_sheet
from campfire.screen.wells import outlying, refuse_shifted, well_name, well_problem

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
"""Where load_data may be, in the order tried; the last four are the paths used before 2025."""

SITE_NAME = re.compile(r"(\d{1,4})(?:[.]0+)?")
"""The number of a site, also in the form of numeric tables (1.0)."""


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
    gallery's documented key where the table names none that is allowed), and `problem` (why a site must not be
    used, "" normally); one row per site, sorted. `.attrs` keep the key of the
    table (`load_data`), its `style` (URL or PathName) and `metadata`, the table's other Metadata_ values of one row.
    `channels` are those that will be used (None: all); an invalid address of any other channel is dropped.
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
    """A load_data table (csv or parquet by its name, gzipped or not) with every column as text, "" for nothing.

    Its index has the number of each line (of each row, for parquet); `.attrs["bad_lines"]` has the lines that are not
    rows.
    """
    if not body:
        raise RefusedTableError(f"{key}: is empty")
    if key.endswith(".parquet"):
        try:
            table = _as_text(pd.read_parquet(io.BytesIO(body)))
        except (ValueError, OSError) as error:  # pyarrow's errors are ValueErrors or OSErrors
            raise RefusedTableError(f"{key}: not a readable table ({' '.join(str(error).split())})") from error
        table.index = pd.RangeIndex(1, len(table) + 1)
        return table
    bad_lines: dict[int, str] = {}
    text = decode_text(body, key, "table of images", RefusedTableError)
    table = parse_sheet(text, key, (), "table of images", RefusedTableError, bad_lines)
    table.attrs["bad_lines"] = bad_lines
    return table


def _as_text(table: pd.DataFrame) -> pd.DataFrame:
    """Numbers as JUMP writes them ("1", not "1.0"), missing values as ""."""

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
    """Turn a load_data table (all text) into an index; see `read_index`. `name` is used in messages.

    An unusable row excludes its site: `problem` says why, with the line. A table is refused if most of its rows are
    unusable or its wells do not form a plate.
    """
    style, found = _style(table, name)
    if table.empty:
        raise RefusedTableError(f"{name}: has no rows")
    bad_lines = dict(table.attrs.get("bad_lines", {}))
    table = _of_plate(_with_keys(table, name), plate, name)
    columns, problems = _positions(table, plate, name)
    images_root = f"{options.root(source)}/images/{batch}/images/"
    illumination_root = f"{options.root(source)}/images/{batch}/illum/{plate}/"
    used = [channel for channel in found if channels is None or channel in channels]
    for channel in found:
        keys = []
        for row, value in enumerate(_locations(table, style, f"Orig{channel}")):
            try:
                keys.append(image_key(value, options, images_root, plate, channel))
            except RefusedTableError as error:
                keys.append("")
                if channel in used:
                    problems[row] = problems[row] or f"line {table.index[row]}: {error}"
        columns[key_column(channel)] = keys
    _refuse_mostly_bad(table, columns, problems, bad_lines, name)
    documented = {channel: f"{illumination_root}{plate}_Illum{channel}.npy" for channel in found}
    functions = {
        channel: [
            illumination_key(value, options, illumination_root) for value in _locations(table, style, f"Illum{channel}")
        ]
        for channel in found
    }
    for channel, keys in _functions(functions, documented, name).items():
        columns[illumination_column(channel)] = keys
    index = pd.DataFrame(columns).assign(problem=problems)
    index = _one_row_per_site(index[index[WELL] != ""], used, name)
    index = _without_copies(index, used, name)
    extra = table[[column for column in table.columns if str(column).startswith("Metadata_")]]
    index.attrs = {
        "load_data": name,
        "style": style,
        "metadata": dict(extra.iloc[0]) if len(extra) else {},
        "illumination": documented,
    }
    return index


def _with_keys(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The table with the standard names of its key columns, which may be written in any case."""
    known = {column.lower(): column for column in (PLATE, WELL, SITE)}
    table = table.rename(
        columns={column: known[str(column).lower()] for column in table if str(column).lower() in known}
    )
    for column in (WELL, SITE):
        if column not in table:
            word = column.removeprefix("Metadata_").lower()
            similar = next((str(other) for other in table.columns if word in str(other).lower()), "")
            remedy = f"rename {similar} to {column}" if similar else f"it has {some(list(map(str, table.columns)), 6)}"
            raise RefusedTableError(f"{name}: has no column {column}; {remedy}")
    return table


def _of_plate(table: pd.DataFrame, plate: str, name: str) -> pd.DataFrame:
    """The rows of this plate where the table has a column of plates; otherwise all rows."""
    if PLATE not in table:
        return table
    others = sorted(set(table[PLATE]) - {plate})
    if len(others) == table[PLATE].nunique():
        raise RefusedTableError(f"{name}: is about plate {', '.join(others[:3])}, not {plate}")
    if others:
        log.warning("%s: rows of other plates (%s) are left out", name, some([repr(other) for other in others], 3))
    return table[table[PLATE] == plate]


def _positions(table: pd.DataFrame, plate: str, name: str) -> tuple[dict[str, list[str]], list[str]]:
    """Plate, well and site of each row, and its problem; well is "" for a row that is not on the plate."""
    wells, sites, problems = [], [], []
    for line, well, site in zip(table.index, table[WELL], table[SITE], strict=True):
        problem = well_problem(well)
        if "counted from 0" in problem:
            raise RefusedTableError(f"{name}, line {line}: {well!r} {problem}")
        wells.append("" if problem else well_name(well) or "")
        number = SITE_NAME.fullmatch(site.strip())
        sites.append(str(int(number[1])) if number else site.strip() or "?")
        where = f"line {line}: {well!r} {problem}" if problem else ""
        problems.append(where or ("" if number else f"line {line}: {site!r} is no site number"))
    named = list(dict.fromkeys(well for well in wells if well))
    try:
        refuse_shifted(named, f"{name}: plate {plate}")
    except DataError as error:
        raise RefusedTableError(str(error)) from error
    outside = set(outlying(named))
    for row, well in enumerate(wells):
        if well in outside:
            wells[row], problems[row] = "", f"line {table.index[row]}: {well!r} is beyond P24, on a plate of 384 wells"
    return {PLATE: [plate] * len(table), WELL: wells, SITE: sites}, problems


def _functions(named: dict[str, list[str]], documented: dict[str, str], name: str) -> dict[str, list[str]]:
    """The key of each channel's illumination function in each row: as named, else at the documented path.

    load_data.csv names no functions, although the gallery has them at a fixed path for every plate. A function named
    for two channels must be wrong for one of them, so neither uses it.
    """
    first = {channel: next(filter(None, keys), "") for channel, keys in named.items()}
    twice = {key for key in first.values() if key and list(first.values()).count(key) > 1}
    result = {}
    for channel, keys in named.items():
        if first[channel] in twice:
            log.warning(
                "%s: %s is the illumination function of several channels; %s uses the one at its documented path",
                *(name, first[channel], channel),
            )
            result[channel] = [documented[channel]] * len(keys)
        else:
            result[channel] = [key or first[channel] or documented[channel] for key in keys]
    return result


def _refuse_mostly_bad(
    table: pd.DataFrame, columns: dict[str, list[str]], problems: list[str], bad_lines: dict[int, str], name: str
) -> None:
    """Log the unusable rows; raise RefusedTableError if they are more than half."""
    lines = {int(line): problem for line, problem in zip(table.index, problems, strict=True) if problem}
    lines |= {line: f"line {line}: {problem}" for line, problem in bad_lines.items()}
    if not lines:
        return
    first = lines[min(lines)]
    if 2 * len(lines) > len(table) + len(bad_lines):
        raise RefusedTableError(f"{name}, {first} ({len(lines)} of {len(table) + len(bad_lines)} rows are so)")
    log.warning("%s: %d rows are unusable, the first: %s", name, len(lines), first)


def _without_copies(index: pd.DataFrame, channels: list[str], name: str) -> pd.DataFrame:
    """The index with a `problem` at sites that name the same file as another channel or site.

    RefusedTableError when they are more than half of the sites.
    """
    places = [
        ((row[WELL], row[SITE], channel), row[key_column(channel)])
        for row in index.to_dict("records")
        for channel in channels
    ]
    copies = positions_of_copies(places)
    if not copies:
        return index
    first, other = next(iter(copies.items()))
    message = f"one file is named for {describe(first)} and for {describe(other)}"
    sites = {place[:2] for place in copies}
    if 2 * len(sites) > len(index):
        raise RefusedTableError(f"{name}: {message} ({len(sites)} of {len(index)} sites are so)")
    log.warning("%s: %s; %d sites will not be used", name, message, len(sites))
    messages = {
        place[:2]: f"load_data names one file for {describe(place)} and for {describe(copy)}"
        for place, copy in copies.items()
    }
    problems = [
        problem or messages.get((well, site), "")
        for well, site, problem in zip(index[WELL], index[SITE], index["problem"], strict=True)
    ]
    return index.assign(problem=problems)


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


def _one_row_per_site(index: pd.DataFrame, channels: list[str], name: str) -> pd.DataFrame:
    """The index sorted, without repeated rows; `problem` marks sites listed with two different images."""
    keys = [key_column(channel) for channel in channels]
    distinct = index.drop_duplicates([WELL, SITE, *keys])
    if len(distinct) < len(index):
        log.warning("%s: %d repeated rows are left out", name, len(index) - len(distinct))
    ambiguous = distinct.duplicated([WELL, SITE], keep=False)
    # Of several rows of a site, one with a problem is kept, so that the problem is not lost.
    first = distinct.assign(_sound=distinct["problem"] == "").sort_values("_sound", kind="stable")
    result = first.drop(columns="_sound").drop_duplicates([WELL, SITE]).copy()
    doubled = set(map(tuple, distinct.loc[ambiguous, [WELL, SITE]].itertuples(index=False)))
    result["problem"] = [
        problem or ("load_data lists two different images for this site" if (well, site) in doubled else "")
        for well, site, problem in zip(result[WELL], result[SITE], result["problem"], strict=True)
    ]
    if doubled:
        log.warning("%s: %d sites are listed with different images and will not be used", name, len(doubled))
    number = pd.to_numeric(result[SITE], errors="coerce")
    order = result.assign(_number=number).sort_values([WELL, "_number", SITE], kind="stable").index
    return result.loc[order].reset_index(drop=True)
