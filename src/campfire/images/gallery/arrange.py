"""Lay out your own images, a folder or a list of TIFFs or PNGs, as the images step reads them.

    campfire arrange FOLDER OUT --plate P1 --channels 1=DNA,2=ER --pattern phenix
    campfire arrange FOLDER OUT --plate P1 --channels DAPI=DNA,GFP=ER \\
        --pattern '(?P<well>[A-H][0-9]+)_(?P<site>[0-9]+)_(?P<channel>[A-Z]+)[.]tif'
    campfire arrange images.tsv OUT
    campfire arrange load_data.csv OUT --replace 'D:\\data=/mnt/data'
    campfire arrange plate.ome.zarr OUT --channels DAPI=DNA,GFP=ER

The pattern is searched in each path below FOLDER; it needs the group `channel` and either `well` (B7, B07) or `row` and
`column` (B or 2), and may have `plate`, `site`, `plane` (focal planes) and `time`. A group must capture a whole
number or name. Known patterns:

{patterns}

Without --pattern the names are tried against these, and the one that fits is shown for you to confirm. A list has the
columns plate, well, channel, path (relative to the list), and may have site, source, batch, plane and time;
CellProfiler's load_data with FileName_ and PathName_ columns is read directly. Plates in OME-Zarr and multi-channel
OME-TIFF name wells and channels themselves; for OME-TIFF without a plate give a pattern without `channel`. Use the
result with the `s3:` line that is printed. Your images are never changed: OUT has links to them, or with --copy copies.
"""

import argparse
import errno
import json
import logging
import os
import shutil
import sys
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from campfire.core.columns import BATCH, PLATE, SITE, SOURCE, WELL
from campfire.core.errors import ConfigError, DataError, in_one_line
from campfire.core.files import atomic_path, write_text
from campfire.images.gallery.collect import COLUMNS, NAMED, find_images
from campfire.images.gallery.lists import read_list
from campfire.images.gallery.ome import is_ome, read_ome
from campfire.images.gallery.patterns import EXAMPLES, PATTERNS, describe, guess
from campfire.images.gallery.same_picture import Place, picture_digest, positions_of_copies
from campfire.images.gallery.same_picture import describe as place_in_words
from campfire.images.gallery.scales import (
    Scale,
    refuse_mixed_types,
    scale_of,
    stated_pixel_size,
    warn_of_other_scales,
)
from campfire.images.gallery.walk import walk
from campfire.images.reader import ImageError, decode_image
from campfire.screen.wells import FORMATS

__all__ = ["BUCKET", "COLUMNS", "arrange", "find_images", "main", "read_list"]

log = logging.getLogger(__name__)

BUCKET = "images"
"""Bucket in the addresses of the load_data that is written."""
FILES = "files.tsv"
"""Table beside load_data that maps images to the user's files, so that every tile can be traced to its file."""
MOST_LEFT_OUT = 0.05
"""Largest share of a plate's sites that may be left out for a bad or duplicate image; above it the plate is refused."""


def arrange(images: pd.DataFrame, out: str | Path, copy: bool = False, threads: int = 2) -> pd.DataFrame:
    """Put images (`COLUMNS`) below `out` with one load_data per plate; return plates with wells, sites and channels.

    uint16 TIFFs are linked to (`copy`: copied); other images, and the brightest of several focal planes, are written
    as uint16 TIFFs with the same counts. The user's files, their modes, times and links are never changed. Sites
    with an image that is damaged, not one 2-D image, or the same picture as another of the plate are left out with a
    warning; DataError when they are more than one in twenty. Logs a warning for sites that lack a channel.
    """
    out = Path(out)
    summary: list[dict[str, Any]] = []
    seen: dict[str, tuple[str, Place]] = {}
    sizes: dict[str, float | None] = {}
    kinds: dict[str, set[str]] = {}
    for (source, batch, plate), table in images.groupby(["source", "batch", "plate"]):
        folder = f"{source}/images/{batch}/images/{plate}"
        rows = table.assign(
            key=[f"{folder}/{row.well}_{row.site}_{row.channel}.tiff" for row in table.itertuples(index=False)]
        )
        _refuse_own_output(rows, out)
        with ThreadPoolExecutor(threads) as pool:
            placed = list(pool.map(lambda row: _place(row["path"], out / row["key"], copy), rows.to_dict("records")))
        pictures = [found if isinstance(found, ImageError) else found[0] for found in placed]
        scales = [
            (channel, found[1])
            for channel, found in zip(rows["channel"], placed, strict=True)
            if not isinstance(found, ImageError)
        ]
        refuse_mixed_types(scales, str(plate))
        sizes[str(plate)] = stated_pixel_size([scale for _, scale in scales], str(plate))
        kinds[str(plate)] = {scale.dtype for _, scale in scales}
        _warn_of_other_plates(rows, pictures, str(plate), seen)
        rows = _without_bad_sites(rows, pictures, str(plate))
        where = out / f"{source}/workspace/load_data_csv/{batch}/{plate}/load_data.csv"
        sites = _write_load_data(rows, where, str(plate), sizes[str(plate)])
        counts = {"wells": rows["well"].nunique(), "sites": sites, "channels": ", ".join(sorted(set(rows["channel"])))}
        counts["pixel_size_um"] = f"{sizes[str(plate)]:.4g}" if sizes[str(plate)] else "not stated"
        summary.append({SOURCE: source, BATCH: batch, PLATE: plate, **counts})
    warn_of_other_scales(sizes, kinds)
    return pd.DataFrame(summary)


def _paths(path: Path | tuple[Path, ...]) -> tuple[Path, ...]:
    """The files of an image: one, or one per focal plane."""
    return path if isinstance(path, tuple) else (Path(path),)


def _refuse_own_output(rows: pd.DataFrame, out: Path) -> None:
    """Raise a DataError if an image to arrange lies at a path that would be written."""
    targets = {(out / key).absolute() for key in rows["key"]}
    for path in rows["path"]:
        for file in _paths(path):
            if file.absolute() in targets:
                raise DataError(
                    f"{file}: lies at a path that would be written; give another folder than {out} for the output"
                )


def _place(path: Path | tuple[Path, ...], target: Path, copy: bool) -> tuple[str, Scale] | ImageError:
    """Link, copy or rewrite one image; return its picture's digest and scale, or the error that makes it unusable."""
    import tifffile

    files = _paths(path)
    try:
        pictures = [decode_image(file) for file in files]
    except ImageError as error:
        return error
    pixels = pictures[0].pixels
    if len({picture.pixels.shape for picture in pictures}) > 1:
        return ImageError(str(files[0]), "its focal planes differ in shape", "take one of them with --plane N")
    if len(files) == 1 and pictures[0].plain:
        _link_or_copy(files[0], target, copy)
    else:
        pixels = np.maximum.reduce([picture.pixels for picture in pictures])
        with atomic_path(target) as partial:
            tifffile.imwrite(partial, pixels, compression="zlib")
    return picture_digest(pixels), scale_of(pictures[0], str(files[0]))


def _link_or_copy(source: Path, target: Path, copy: bool) -> None:
    """Put a link to `source`, following links, or a copy of it at `target`; `source` is unchanged.

    On file systems without links (FAT, some network drives) it is a copy.
    """
    if not copy:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
        try:
            os.symlink(source.resolve(), partial)
            os.replace(partial, target)
            return
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL):
                raise
        finally:
            partial.unlink(missing_ok=True)
    with atomic_path(target) as partial:
        shutil.copyfile(source, partial)


def _without_bad_sites(rows: pd.DataFrame, pictures: list[str | ImageError], plate: str) -> pd.DataFrame:
    """The rows of sites whose images are all intact and unique on the plate; DataError if too many are not."""
    places: list[Place] = list(rows[["well", "site", "channel"]].itertuples(index=False, name=None))
    files = {place: _paths(path)[0] for place, path in zip(places, rows["path"], strict=True)}
    damaged = {place: error for place, error in zip(places, pictures, strict=True) if isinstance(error, ImageError)}
    copies = positions_of_copies(
        (place, digest) for place, digest in zip(places, pictures, strict=True) if isinstance(digest, str)
    )
    if not damaged and not copies:
        return rows
    problems = [str(error) for error in damaged.values()] + [
        f"the same picture is in two places, {files[place]} ({place_in_words(place)}) and {files[other]} "
        f"({place_in_words(other)})"
        for place, other in copies.items()
        if place < other or copies[other] != place
    ]
    bad = {place[:2] for place in (*damaged, *copies)}
    message = f"plate {plate}: {'; '.join(problems[:3])}{'; ...' if len(problems) > 3 else ''}"
    if len(bad) > MOST_LEFT_OUT * len({place[:2] for place in places}):
        raise DataError(f"{message}; {len(bad)} sites are affected: correct the pattern or list, or remove the files")
    log.warning("%s; %d sites are left out", message, len(bad))
    return rows[[place[:2] not in bad for place in places]]


def _warn_of_other_plates(
    rows: pd.DataFrame, pictures: list[str | ImageError], plate: str, seen: dict[str, tuple[str, Place]]
) -> None:
    """Warn of pictures that another plate also has, and add this plate's to `seen` (picture to plate and position)."""
    places = list(rows[["well", "site", "channel"]].itertuples(index=False, name=None))
    shared = [
        (place, seen[digest])
        for place, digest in zip(places, pictures, strict=True)
        if isinstance(digest, str) and digest in seen
    ]
    if shared:
        place, (other, other_place) = shared[0]
        log.warning(
            "plate %s: %d of %d images are the same pictures as on another plate, such as %s and %s of plate %s; is "
            "one plate a copy of the other?",
            *(plate, len(shared), len(places), place_in_words(place), place_in_words(other_place), other),
        )
    for place, digest in zip(places, pictures, strict=True):
        if isinstance(digest, str) and digest:
            seen.setdefault(digest, (plate, place))


def _write_load_data(rows: pd.DataFrame, where: Path, plate: str, pixel_size_um: float | None) -> int:
    """Write load_data.csv, with the pixel size as the Gallery states it, and the list of files; returns the sites."""
    addresses = rows.assign(address=[f"s3://{BUCKET}/{key}" for key in rows["key"]])
    wide = addresses.pivot_table(index=["well", "site"], columns="channel", values="address", aggfunc="first")
    wide = wide.fillna("").reset_index()
    named = wide.rename(columns={name: f"URL_Orig{name}" for name in rows["channel"].unique()})
    named = named.rename(columns={"well": WELL, "site": SITE})
    named.insert(0, PLATE, plate)
    if pixel_size_um:
        named["Metadata_ImageResolutionX"] = f"{pixel_size_um * 1e-6:.6g}"
    text = named.to_csv(index=False, lineterminator="\n")
    if where.is_file() and where.read_text(encoding="utf-8") != text:
        log.warning("%s: the plate was arranged here before with other images; they are replaced by these", where)
    files = rows.assign(file=["; ".join(map(str, _paths(path))) for path in rows["path"]])
    if NAMED not in files:
        files[NAMED] = files["site"]
    listed = files[["plate", "well", "site", NAMED, "channel", "key", "file"]]
    write_text(where.with_name(FILES), listed.to_csv(index=False, sep="\t", lineterminator="\n"))
    write_text(where, text)
    for name in sorted(rows["channel"].unique()):
        lacking = wide.loc[wide[name] == "", ["well", "site"]]
        if len(lacking):
            log.warning(
                "plate %s: %d of %d sites have no %s, the first is well %s, site %s",
                *(plate, len(lacking), len(wide), name, *lacking.iloc[0]),
            )
    return len(wide)


def _channels(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    names = [(old.strip(), new.strip() or old.strip()) for old, _, new in pairs]
    given = [old for old, _ in names]
    if twice := [old for old in given if given.count(old) > 1]:
        raise ConfigError(f"--channels {text}: {twice[0]} is named twice; leave one of them out")
    return dict(names)


def _replacement(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not (old and equals and new):
        raise ConfigError(f"--replace {text}: give the old and the new beginning of a path as old=new")
    return old, new


def _parser() -> argparse.ArgumentParser:
    known = "\n".join(f"    {name:<12} {EXAMPLES[name]}" for name in PATTERNS)
    parser = argparse.ArgumentParser(
        prog="campfire arrange",
        description=(__doc__ or "").replace("{patterns}", known),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("images", type=Path, help="folder of TIFFs or PNGs, or a list of them")
    parser.add_argument("out", type=Path, help="new folder")
    parser.add_argument("--pattern", help=f"regular expression that reads a path, or {', '.join(PATTERNS)}")
    parser.add_argument(
        "--channels", type=_channels, default={}, help="channels to read and their new names: DAPI=DNA,…"
    )
    parser.add_argument("--plate", default="", help="plate, if paths or list do not name it")
    parser.add_argument("--source", default="", help="Metadata_Source of the plates (default: mine)")
    parser.add_argument("--batch", default="", help="Metadata_Batch of the plates (default: 1)")
    parser.add_argument("--plate-format", type=int, choices=list(FORMATS), help="wells per plate (default: inferred)")
    parser.add_argument(
        "--plane", default="", help="focal plane to take, or max for the brightest of all at each pixel"
    )
    parser.add_argument("--time", default="", help="timepoint to take")
    parser.add_argument(
        "--replace",
        type=_replacement,
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="beginning of a list's paths that has moved; may be repeated",
    )
    parser.add_argument("--copy", action="store_true", help="copy the images instead of linking to them")
    return parser


def _confirmed_pattern(folder: Path, out: Path) -> str:
    """The known pattern that fits the names of a folder if the user confirms it; otherwise ConfigError shows it."""
    names = walk(folder, out).images
    name, count = guess(names)
    if not name:
        example = f", such as {names[0]}" if names else ""
        raise ConfigError(
            f"{folder}: the names of its {len(names)} images{example} fit no known pattern ({', '.join(PATTERNS)}); "
            "give --pattern (campfire arrange --help shows how)"
        )
    print(f"{count} of {len(names)} names fit the pattern {name!r}:\n{describe(names, name)}")
    if sys.stdin.isatty() and input("Is that right? [y/N] ").strip().lower() in ("y", "yes"):
        return name
    raise ConfigError(f"if that is right, run again with --pattern {name}; otherwise give a custom pattern")


@in_one_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Arrange images from the shell; an error is reported in one line."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="%(message)s")
    common = {"plane": options.plane, "time": options.time, "plate_format": options.plate_format}
    if is_ome(options.images, options.pattern or ""):
        names = (options.plate, options.source or "mine", options.batch or "1")
        images = read_ome(
            options.images, options.out, options.channels, *names, pattern=options.pattern or "", **common
        )
    elif options.images.is_dir() or options.pattern:
        if options.replace:
            raise ConfigError("--replace changes the paths of a list; omit it for a folder")
        pattern = options.pattern or _confirmed_pattern(options.images, options.out)
        names = (options.plate, options.source or "mine", options.batch or "1")
        images = find_images(options.images, pattern, options.channels, *names, **common, out=options.out)
    else:
        names = (options.plate, options.source, options.batch)
        images = read_list(options.images, options.channels, *names, options.replace, **common)
    print(arrange(images, options.out, options.copy).to_string(index=False))
    if "DNA" not in set(images["channel"]):
        named = ", ".join(sorted(images["channel"].unique()))
        log.warning(
            "nucleus segmentation requires a channel called DNA; the channels are %s: name it with --channels X=DNA",
            named,
        )
    print(f'use it with   s3: {{folder: {json.dumps(str(options.out))}, bucket: {BUCKET}, prefix: ""}}')
    return 0


if __name__ == "__main__":
    sys.exit(main())
