"""Lists of images: one row per image, or CellProfiler's own load_data of a local disk, one row per site."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pandas as pd

from campfire.core.errors import ConfigError, DataError
from campfire.core.text import some
from campfire.images.gallery.collect import COLUMNS, checked, tell_left_out
from campfire.images.gallery.walk import SUFFIXES
from campfire.screen.sheets import read_sheet_file
from campfire.screen.wells import row_letters

LONG_COLUMNS = ("plate", "well", "site", "channel", "path", "source", "batch", "plane", "time", "row", "column")
_ALIASES = {"col": "column", "field": "site", "fov": "site", "filename": "path", "file": "path", "z": "plane"}
_FILE_COLUMN = re.compile(r"(?:image_)?(filename|pathname|url)_(?:orig)?(.+)", re.IGNORECASE)


def read_list(
    path: str | Path,
    channels: Mapping[str, str] | None = None,
    plate: str = "",
    source: str = "",
    batch: str = "",
    replace: Sequence[tuple[str, str]] = (),
    plane: str = "",
    time: str = "",
    plate_format: int | None = None,
) -> pd.DataFrame:
    """The images that a list names, as `find_images` returns them.

    Text separated by tabs, commas or semicolons with the columns plate, well, channel, path (relative to the list) and
    perhaps site, source, batch, plane, time; or CellProfiler's load_data with FileName_ and PathName_ or URL_ columns
    of files on a disk. Case, a leading `Metadata_` in column names, and backslashes in paths are ignored. `replace`
    holds old and new beginnings of paths that have moved. `plate`, `source` and `batch` replace columns that the list
    lacks; ConfigError where it has them with other values. Other errors name list and line.
    """
    path = Path(path)
    if path.suffix.lower() in SUFFIXES:
        raise ConfigError(f"{path}: is an image; give the folder that it is in, or a list of images")
    table = read_sheet_file(path, (), "list of images")
    if table.empty:
        raise ConfigError(f"{path}: lists no images; add one line per image")
    table = _named_columns(table)
    rows = _rows_of_images(table, path) if "path" in table else _rows_of_sites(table, path)
    for name, value, usual in (("plate", plate, ""), ("source", source, "mine"), ("batch", batch, "1")):
        rows[name] = _given(rows, name, value, usual, path)
    if "site" not in rows:
        rows["site"] = "1"
    for line, row in zip(rows.index, rows.to_dict("records"), strict=True):
        blank = [name for name in ("well", "channel", "path") if not row[name]]
        if blank:
            raise ConfigError(f"{path}, line {line}: {', '.join(blank)} is blank; fill it in or take the line out")
    rows = rows.assign(path=pd.Series([_local(value, path, replace) for value in rows["path"]], rows.index, object))
    _refuse_missing(rows, path, replace)
    tell_left_out(str(path), Counter(rows["channel"]), channels, {})
    if channels:
        rows = rows[rows["channel"].isin(list(channels))]
        rows = rows.assign(channel=rows["channel"].map(dict(channels)))
    kept = [name for name in (*COLUMNS, "plane", "time") if name in rows]
    _refuse_files_named_twice(rows, path)
    return checked(rows[kept], str(path), plane, time, plate_format)


def _named_columns(table: pd.DataFrame) -> pd.DataFrame:
    """The list with the column names of LONG_COLUMNS; FileName_, PathName_ and URL_ columns are unchanged."""
    names: dict[str, str] = {}
    for column in table.columns:
        plain = re.sub(r"^(image_)?(metadata_)?", "", column.strip().lower())
        plain = _ALIASES.get(plain, plain)
        if plain in LONG_COLUMNS and plain not in names.values():
            names[column] = plain
    return table.rename(columns=names)


def _rows_of_images(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    table = _with_wells(table, path)
    missing = [name for name in ("well", "channel") if name not in table]
    if missing:
        raise ConfigError(
            f"{path}: column `{missing[0]}` is missing; it needs plate, well, channel and path, and has "
            f"{some(list(map(str, table.columns)))}"
        )
    return table


def _rows_of_sites(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """One row per image from CellProfiler's one row per site; illumination functions are omitted."""
    found: dict[str, dict[str, str]] = {}
    for column in map(str, table.columns):
        match = _FILE_COLUMN.fullmatch(column)
        if match and not match[2].lower().startswith("illum"):
            found.setdefault(match[2], {})[match[1].lower()] = column
    channels = {name: kinds for name, kinds in found.items() if "filename" in kinds or "url" in kinds}
    if not channels:
        raise ConfigError(
            f"{path}: column `path` is missing; a list needs plate, well, channel and path, or CellProfiler's columns "
            f"FileName_ and PathName_; it has {some(list(map(str, table.columns)))}"
        )
    table = _with_wells(table, path)
    if "well" not in table:
        raise ConfigError(f"{path}: column `Metadata_Well` is missing; add it, or Metadata_Row and Metadata_Column")
    parts = []
    for channel, kinds in channels.items():
        if "filename" in kinds:
            folders = table[kinds["pathname"]] if "pathname" in kinds else [""] * len(table)
            addresses = [
                f"{folder.rstrip('/').rstrip(chr(92))}/{file}" if folder and file else file
                for folder, file in zip(folders, table[kinds["filename"]], strict=True)
            ]
        else:
            addresses = list(table[kinds["url"]])
        parts.append(table.assign(channel=channel, path=addresses))
    rows = pd.concat(parts)
    return rows[~rows["path"].str.lower().isin(["", "nan", "none"])]


def _with_wells(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Add a column `well` from `row` and `column` if it is missing."""
    if "well" in table or not {"row", "column"} <= set(table.columns):
        return table
    wells = []
    for line, row, column in zip(table.index, table["row"], table["column"], strict=True):
        if row == "0":
            raise DataError(f"{path}, line {line}: row 0 is no row of a plate; are rows counted from 0?")
        wells.append((row_letters(int(row) - 1) if row.isdigit() else row) + column)
    return table.assign(well=wells)


def _given(rows: pd.DataFrame, name: str, value: str, usual: str, path: Path) -> pd.Series:
    """The column of the list, or the value given for it; ConfigError if both exist and differ."""
    if name in rows:
        other = sorted(set(rows[name]) - {value, ""})
        if value and other:
            raise ConfigError(
                f"{path}: has its own column {name} ({some(other, 3)}), which differs from --{name} {value}; leave one "
                "of the two out"
            )
        filled = rows[name].where(rows[name] != "", value or usual)
    else:
        filled = pd.Series(value or usual, index=rows.index, dtype=object)
    if name == "plate" and (filled == "").any():
        line = filled.index[(filled == "").to_numpy()][0]
        raise ConfigError(f"{path}, line {line}: its plate is unknown; give a column plate, or --plate")
    return filled


def _local(address: str, listed_in: Path, replace: Sequence[tuple[str, str]]) -> Path:
    """The file of an address: backslashes become slashes, file: is removed, moved beginnings are replaced."""
    text = address.strip()
    if text.lower().startswith("file:"):
        text = unquote(urlsplit(text).path)
        text = text[1:] if re.match(r"/[A-Za-z]:/", text) else text
    text = text.replace("\\", "/")
    for old, new in replace:
        beginning = old.replace("\\", "/").rstrip("/")
        if text == beginning or text.startswith(f"{beginning}/"):
            text = new.replace("\\", "/").rstrip("/") + text[len(beginning) :]
            break
    return listed_in.parent / text


def _refuse_missing(rows: pd.DataFrame, path: Path, replace: Sequence[tuple[str, str]]) -> None:
    """Raise a DataError if some or all files are missing, with the remedy."""
    missing = [(line, file) for line, file in zip(rows.index, rows["path"], strict=True) if not file.is_file()]
    if not missing:
        return
    line, file = missing[0]
    remedy = "correct the path or remove the line"
    if len(missing) == len(rows):
        folder = file.parent.as_posix()
        remedy = f"if the disk has moved, give --replace {folder}=/where/it/is/now" + (
            "" if not replace else ", beginning as the paths in the list do"
        )
    raise DataError(f"{path}, line {line}: no file {file} ({len(missing)} of {len(rows)} are not there); {remedy}")


def _refuse_files_named_twice(rows: pd.DataFrame, path: Path) -> None:
    """Raise a DataError for a file that the list names as the image of two positions."""
    where: dict[Path, tuple[int, str]] = {}
    for line, row in zip(rows.index, rows.to_dict("records"), strict=True):
        place = f"plate {row['plate']}, well {row['well']}, site {row['site']}, {row['channel']}"
        file = row["path"].resolve()
        if file in where and where[file][1] != place:
            raise DataError(
                f"{path}, line {line}: {row['path']} is listed for two positions, here for {place} and on line "
                f"{where[file][0]} for {where[file][1]}; correct the list"
            )
        where[file] = (int(line), place)
