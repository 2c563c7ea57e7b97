"""Bring your own images: a folder or list of TIFFs or PNGs, laid out as the images step reads them.

    campfire arrange FOLDER OUT --plate P1 --channels DAPI=DNA,GFP=ER \\
        --pattern '(?P<well>[A-H][0-9]+)_(?P<site>[0-9]+)_(?P<channel>[A-Z]+)[.]tif'
    campfire arrange images.tsv OUT

The pattern is searched in each path below FOLDER; it needs `channel` and either `well` (B7, B07) or `row` and `column`
(B or 2), and may have `plate` and `site`. A list has the columns plate, well, channel, path (relative to the list), and
may have site, source and batch. Use the result with `s3: {folder: OUT, bucket: images, prefix: ""}`.
"""

import argparse
import logging
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core.columns import BATCH, PLATE, SITE, SOURCE, WELL
from campfire.core.errors import ConfigError, DataError, in_one_line
from campfire.core.files import atomic_path, link_or_copy, write_text
from campfire.screen.wells import row_letters, well_name

log = logging.getLogger(__name__)

BUCKET = "images"
"""The bucket that addresses in the written load_data name."""
COLUMNS = ["source", "batch", "plate", "well", "site", "channel", "path"]
SUFFIXES = (".tif", ".tiff", ".png")


def find_images(
    folder: str | Path,
    pattern: str,
    channels: Mapping[str, str] | None = None,
    plate: str = "",
    source: str = "mine",
    batch: str = "1",
) -> pd.DataFrame:
    """The images below `folder` whose path matches `pattern`: a row each, columns `COLUMNS`, sorted.

    `channels` renames channels; others than those it names are left out. What is left out is logged as a warning.
    Sites that are no numbers are numbered from 1 in their order, well by well. Raises ConfigError for a pattern
    without the groups that are needed or a channel of `channels` that no path has, DataError when nothing matches or a
    path does not say which plate it belongs to.
    """
    folder = Path(folder)
    try:
        regex = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"the pattern {pattern!r} is no regular expression ({error})") from error
    groups = set(regex.groupindex)
    if "channel" not in groups or not ({"well"} <= groups or {"row", "column"} <= groups):
        raise ConfigError(f"the pattern {pattern!r} needs the groups `channel` and `well`, or `row` and `column`")
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder of images")
    rows: list[tuple[object, ...]] = []
    unread: list[str] = []
    seen: dict[str, int] = {}
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
        match = regex.search(path.relative_to(folder).as_posix())
        if match is None:
            unread.append(path.relative_to(folder).as_posix())
            continue
        found = match.groupdict()
        seen[found["channel"]] = seen.get(found["channel"], 0) + 1
        if channels and found["channel"] not in channels:
            continue
        name = found.get("plate") or plate
        if not name:
            raise DataError(f"{path}: which plate is it of? Give --plate, or a group `plate` in the pattern")
        row = found.get("row") or ""
        well = found.get("well") or (row_letters(int(row) - 1) if row.isdigit() else row) + found["column"]
        channel = (channels or {}).get(found["channel"], found["channel"])
        rows.append((source, batch, name, well, found.get("site") or "1", channel, path))
    if not seen:
        example = f"; the first of {len(unread)} is {unread[0]}" if unread else "; there is no .tif, .tiff or .png"
        raise DataError(f"{folder}: no image matches {pattern!r}{example}")
    _tell_left_out(str(folder), seen, channels, unread)
    return _checked(pd.DataFrame(rows, columns=COLUMNS), str(folder))


def read_list(path: str | Path, channels: Mapping[str, str] | None = None) -> pd.DataFrame:
    """A list of images (tab-separated, or comma for .csv) as `find_images` returns it; ConfigError names what lacks."""
    path = Path(path)
    try:
        table = pd.read_csv(path, sep="," if path.suffix == ".csv" else "\t", dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: not a readable list of images ({error})") from error
    missing = [name for name in ("plate", "well", "channel", "path") if name not in table]
    if missing:
        raise ConfigError(f"{path}: column `{missing[0]}` is missing; it needs plate, well, channel and path")
    table = table.assign(path=[path.parent / name for name in table["path"]])
    for name, usual in (("source", "mine"), ("batch", "1"), ("site", "1")):
        table[name] = table.get(name, usual)
    _tell_left_out(str(path), Counter(table["channel"]), channels, [])
    if channels:
        table = table[table["channel"].isin(list(channels))].replace({"channel": dict(channels)})
    return _checked(table[COLUMNS], str(path))


def _tell_left_out(
    where: str, seen: Mapping[str, int], channels: Mapping[str, str] | None, unread: Sequence[str]
) -> None:
    """Warn of images that are not taken; ConfigError for a channel that is asked for and on no image."""
    absent = [name for name in channels or {} if name not in seen]
    if absent:
        raise ConfigError(
            f"{where}: no image of channel {', '.join(absent)}; the images are of {', '.join(sorted(seen))}"
        )
    if unread:
        log.warning(
            "%s: %d images do not match the pattern and are left out, such as %s", where, len(unread), unread[0]
        )
    other = [f"{name} ({count} images)" for name, count in sorted(seen.items()) if channels and name not in channels]
    if other:
        log.warning("%s: left out as not named by the channels to take: %s", where, ", ".join(other))


def _checked(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Wells as A01, sites as numbers; each image once."""
    wells = table["well"].map(well_name)
    if wells.isna().any():
        raise DataError(f"{where}: {table.loc[wells.isna(), 'well'].iloc[0]!r} is no well name such as A01")
    table = table.assign(well=wells)
    for name in ("source", "batch", "plate", "channel"):
        odd = table.loc[~table[name].str.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*"), name]
        if len(odd):
            raise DataError(f"{where}: {name} {odd.iloc[0]!r} may have only letters, digits, dot, dash and underscore")
    if not table["site"].str.fullmatch(r"\d{1,4}").all():
        numbers = table.groupby(["plate", "well"])["site"].rank(method="dense").astype(int)
        table = table.assign(site=numbers.astype(str))
    twice = table[table.duplicated(["plate", "well", "site", "channel"])]
    if len(twice):
        row = twice.iloc[0]
        raise DataError(
            f"{row['path']}: another file is {row['channel']} of plate {row['plate']}, well {row['well']}, site "
            f"{row['site']} too; tell sites apart by a group `site`"
        )
    return table.sort_values(["plate", "well", "site", "channel"], ignore_index=True)


def arrange(images: pd.DataFrame, out: str | Path) -> pd.DataFrame:
    """Put images (`COLUMNS`) below `out` with a load_data per plate; returns plates with their wells, sites, channels.

    uint16 TIFFs are hard-linked where the disk allows it, else copied; PNGs and uint8 files are rewritten as uint16
    TIFFs with the same values. Warns of sites that lack a channel. Raises DataError, naming the file, for anything but
    one 2-D image of those types.
    """
    out, summary = Path(out), []
    for (source, batch, plate), rows in images.groupby(["source", "batch", "plate"]):
        folder = f"{source}/images/{batch}/images/{plate}"
        keys = []
        for row in rows.to_dict("records"):
            keys.append(f"{folder}/{row['well']}_{row['site']}_{row['channel']}.tiff")
            _place(Path(row["path"]), out / keys[-1])
        addresses = rows.assign(address=[f"s3://{BUCKET}/{key}" for key in keys])
        wide = addresses.pivot_table(index=["well", "site"], columns="channel", values="address", aggfunc="first")
        wide = wide.fillna("").reset_index()
        named = wide.rename(columns={name: f"URL_Orig{name}" for name in rows["channel"].unique()})
        named = named.rename(columns={"well": WELL, "site": SITE})
        named.insert(0, PLATE, str(plate))
        where = out / f"{source}/workspace/load_data_csv/{batch}/{plate}/load_data.csv"
        write_text(where, named.to_csv(index=False, lineterminator="\n"))
        for name in sorted(rows["channel"].unique()):
            lacking = wide.loc[wide[name] == "", ["well", "site"]]
            if len(lacking):
                log.warning(
                    "plate %s: %d of %d sites have no %s, the first is well %s, site %s",
                    *(plate, len(lacking), len(wide), name, *lacking.iloc[0]),
                )
        lists = {SOURCE: source, BATCH: batch, PLATE: plate, "wells": rows["well"].nunique(), "sites": len(wide)}
        summary.append({**lists, "channels": ", ".join(sorted(rows["channel"].unique()))})
    return pd.DataFrame(summary)


def _place(source: Path, target: Path) -> None:
    """Link or rewrite one image; DataError names a file that is not a single 2-D uint16 or uint8 image."""
    import tifffile

    try:
        image, pages, kind, shape = _look(source)
    except FileNotFoundError as error:
        raise DataError(f"{source}: no such image") from error
    except Exception as error:  # decoders raise their own kinds for damaged bytes
        raise DataError(f"{source}: not a readable TIFF or PNG ({error}); convert it to 16-bit TIFF") from error
    if pages != 1 or len(shape) != 2 or kind not in ("uint16", "uint8"):
        colours = len(shape) == 3 and shape[-1] in (3, 4)
        raise DataError(
            f"{source}: {'a colour image, ' if colours else ''}{pages} page(s) of shape {shape} and type {kind}; write "
            "one 2-D uint16 or uint8 image per file and channel"
        )
    if image is None:
        link_or_copy(source, target)
    else:
        with atomic_path(target) as partial:
            tifffile.imwrite(partial, image.astype("uint16"), compression="zlib")


def _look(source: Path) -> tuple[NDArray[np.generic] | None, int, str, tuple[int, ...]]:
    """Pixels, where they must be written anew, then pages, type and shape of an image file."""
    import imagecodecs
    import tifffile

    if source.suffix.lower() == ".png":
        image: NDArray[np.generic] = imagecodecs.png_decode(source.read_bytes())
        return image, 1, str(image.dtype), image.shape
    with tifffile.TiffFile(source) as handle:
        first = handle.pages.first
        narrow = len(handle.pages) == 1 and first.dtype == "uint8" and len(first.shape) == 2
        return first.asarray() if narrow else None, len(handle.pages), str(first.dtype), first.shape


def _channels(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",") if part]
    return {old.strip(): new.strip() or old.strip() for old, _, new in pairs}


@in_one_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Arrange images from the shell; mistakes end with one line."""
    parser = argparse.ArgumentParser(
        prog="campfire arrange",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("images", type=Path, help="folder of TIFFs or PNGs, or a list of them (.tsv, .csv)")
    parser.add_argument("out", type=Path, help="new folder")
    parser.add_argument("--pattern", help="regular expression that reads a path, for a folder")
    parser.add_argument(
        "--channels", type=_channels, default={}, help="names to read and what to call them: DAPI=DNA,…"
    )
    parser.add_argument("--plate", default="", help="plate, where paths do not name it")
    parser.add_argument("--source", default="mine", help="Metadata_Source of the plates (default: %(default)s)")
    parser.add_argument("--batch", default="1", help="Metadata_Batch of the plates (default: %(default)s)")
    given = parser.parse_args(arguments)
    logging.basicConfig(format="%(message)s")
    if given.images.is_dir() or given.pattern:
        if not given.pattern:
            raise ConfigError(f"{given.images} is a folder: give --pattern to read its file names")
        found = find_images(given.images, given.pattern, given.channels, given.plate, given.source, given.batch)
    else:
        found = read_list(given.images, given.channels)
    print(arrange(found, given.out).to_string(index=False))
    if "DNA" not in set(found["channel"]):
        names = ", ".join(sorted(found["channel"].unique()))
        log.warning("nuclei are sought on the channel DNA, which none of %s is called: --channels X=DNA", names)
    print(f'use it with   s3: {{folder: {given.out}, bucket: {BUCKET}, prefix: ""}}')
    return 0


if __name__ == "__main__":
    sys.exit(main())
