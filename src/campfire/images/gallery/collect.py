"""The table of a user's images: which file is which channel of which site, before anything is written."""

import logging
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from campfire.core.errors import ConfigError, DataError
from campfire.core.text import some
from campfire.images.gallery.patterns import compile_pattern, read_path
from campfire.images.gallery.walk import walk
from campfire.screen.names import name_problem
from campfire.screen.wells import check_wells, row_letters, well_name

log = logging.getLogger(__name__)

COLUMNS = ["source", "batch", "plate", "well", "site", "channel", "path"]
PLACE = ["plate", "well", "site", "channel"]
NAMED = "site_in_name"
"""Column with the site as written in the file's name or list; `site` is its number."""
SITE_NUMBER = re.compile(r"\d{1,4}")


def find_images(
    folder: str | Path,
    pattern: str,
    channels: Mapping[str, str] | None = None,
    plate: str = "",
    source: str = "mine",
    batch: str = "1",
    plane: str = "",
    time: str = "",
    plate_format: int | None = None,
    out: str | Path | None = None,
) -> pd.DataFrame:
    """The images below `folder` whose path matches `pattern`: one row each, columns `COLUMNS` and `NAMED`, sorted.

    `pattern` is a regular expression or a name of `patterns.PATTERNS`. `channels` renames channels; channels
    that it does not name are omitted. `plane` is one focal plane, or `max`: `path` then holds the paths of all planes.
    `time` is one timepoint. `out`, where images will be arranged, is not read. Omitted images are logged as a warning.
    Raises ConfigError or DataError for images that are ambiguous, misnamed or unusable.
    """
    folder = Path(folder)
    regex = compile_pattern(pattern)
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder of images; correct its path")
    if plate and "plate" in regex.groupindex:
        raise ConfigError("the plate is given twice, by --plate and by the pattern's group `plate`; leave one out")
    if out is not None and Path(out).resolve() == folder.resolve():
        raise ConfigError(f"{out}: holds the images; give another folder for the output, which may lie below it")
    files = walk(folder, None if out is None else Path(out))
    rows: list[dict[str, object]] = []
    unread: list[str] = []
    seen: Counter[str] = Counter()
    for name in files.images:
        reading = read_path(regex, name)
        if reading is None:
            unread.append(name)
            continue
        if not reading.channel or not (reading.well or (reading.row and reading.column)):
            raise DataError(f"{folder / name}: the pattern reads no channel or no well in this name; correct it")
        seen[reading.channel] += 1
        if channels and reading.channel not in channels:
            continue
        if not (reading.plate or plate):
            raise DataError(f"{folder / name}: its plate is unknown; give --plate, or a group `plate` in the pattern")
        well = reading.well or _row(reading.row, folder / name) + reading.column
        place = {"source": source, "batch": batch, "plate": reading.plate or plate, "well": well}
        place |= {"site": reading.site or "1", "channel": (channels or {}).get(reading.channel, reading.channel)}
        rows.append({**place, "plane": reading.plane, "time": reading.time, "path": folder / name})
    if not seen:
        example = f"; the first of {len(unread)} is {unread[0]}" if unread else "; there is no .tif, .tiff or .png"
        other = "".join(f"; left out: {len(names)} {kind}" for kind, names in files.passed_over.items())
        raise DataError(f"{folder}: no image matches {pattern!r}{example}{other}; correct the pattern or the folder")
    tell_left_out(str(folder), seen, channels, {"images that the pattern does not match": unread, **files.passed_over})
    table = pd.DataFrame(rows, columns=[*COLUMNS[:-1], "plane", "time", "path"])
    return checked(table, str(folder), plane, time, plate_format)


def _row(row: str, path: Path) -> str:
    """Row letters from a name that gives letters or a number from 1."""
    if not row.isdigit():
        return row
    if int(row) == 0:
        raise DataError(f"{path}: row {row} is no row of a plate: rows start at 1; are they counted from 0?")
    return row_letters(int(row) - 1)


def tell_left_out(
    where: str,
    seen: Mapping[str, int],
    channels: Mapping[str, str] | None,
    passed_over: Mapping[str, list[str]],
) -> None:
    """Warn of files that are not used; ConfigError for a requested channel that no image has."""
    new = [name.lower() for name in (channels or {}).values()]
    if twice := [name for name in (channels or {}).values() if new.count(name.lower()) > 1]:
        both = " and ".join(old for old, name in (channels or {}).items() if name.lower() == twice[0].lower())
        raise ConfigError(f"{where}: {both} are both to be called {twice[0]}; give each channel a name of its own")
    absent = [name for name in channels or {} if name not in seen]
    if absent:
        raise ConfigError(
            f"{where}: no image of channel {', '.join(absent)}; the images are of {', '.join(sorted(seen))}; correct "
            "--channels"
        )
    for kind, names in passed_over.items():
        if names:
            log.warning("%s: left out: %d %s: %s", where, len(names), kind, some(names, 3))
    other = [f"{name} ({count} images)" for name, count in sorted(seen.items()) if channels and name not in channels]
    if other:
        log.warning("%s: left out, because --channels does not name them: %s", where, ", ".join(other))


def checked(
    table: pd.DataFrame, where: str, plane: str = "", time: str = "", plate_format: int | None = None
) -> pd.DataFrame:
    """`COLUMNS` and `NAMED` with wells as A01 and sites as numbers; positions are unique and names valid."""
    for name in ("source", "batch", "plate", "channel"):
        for value in table[name].unique():
            if problem := name_problem(name, value):
                remedy = f"; rename it with --channels {value}=…" if name == "channel" else ""
                raise DataError(f"{where}: {name} {value!r} {problem}{remedy}")
    for plate, wells in table.groupby("plate")["well"]:
        check_wells(wells, f"{where}: plate {plate}", plate_format)
    table = table.assign(well=table["well"].map(well_name))
    table = numbered_sites(table, where)
    table = _one_time(table, where, time)
    table = _one_plane(table, where, plane)
    twice = table[table.duplicated(PLACE, keep=False)]
    if len(twice):
        raise DataError(_explain_twice(twice))
    return table.sort_values(PLACE, ignore_index=True)[[*COLUMNS, NAMED]]


def numbered_sites(table: pd.DataFrame, where: str) -> pd.DataFrame:
    """Sites as numbers, with their original names in `NAMED`; a site has the same number throughout its plate.

    Numbers are kept, also after letters that all sites of the plate share (s3, f03). Other names receive the next free
    numbers in their order, which a warning lists.
    """
    table = table.assign(**{NAMED: table["site"]})
    numbers: dict[tuple[str, str], str] = {}
    for plate, sites in table.groupby("plate")["site"]:
        names = sorted(set(sites), key=_natural)
        known = {name: number for name in names if (number := _number(name, names)) is not None}
        free = iter(range(max(known.values(), default=0) + 1, 10_000))
        given = {name: next(free) for name in names if name not in known}
        if given:
            log.warning(
                "%s: plate %s: sites that are not numbers are numbered: %s (files.tsv beside load_data.csv lists all)",
                *(where, plate, some([f"{name} is {number}" for name, number in given.items()], 10)),
            )
        numbers |= {(str(plate), name): str(number) for name, number in (known | given).items()}
    return table.assign(site=[numbers[key] for key in zip(table["plate"], table["site"], strict=True)])


def _number(name: str, names: list[str]) -> int | None:
    """The number in a site's name, if the name is a number or all sites share the letters around it."""
    if SITE_NUMBER.fullmatch(name):
        return int(name)
    parts = re.fullmatch(r"(\D*)(\d{1,4})(\D*)", name)
    if parts is None:
        return None
    shared = re.compile(re.escape(parts[1]) + r"(\d{1,4})" + re.escape(parts[3]))
    matches = [shared.fullmatch(other) for other in names]
    return int(parts[2]) if all(matches) else None


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort key that puts s2 before s10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _one_time(table: pd.DataFrame, where: str, time: str) -> pd.DataFrame:
    """The images of one timepoint."""
    times = sorted(set(table["time"]) - {""}, key=_natural) if "time" in table else []
    if not time:
        if len(times) > 1:
            raise ConfigError(
                f"{where}: the images are of {len(times)} timepoints ({some(times)}); choose one, e.g. "
                f"--time {times[0]}"
            )
        return table
    return _chosen(table, where, "time", time, times)


def _one_plane(table: pd.DataFrame, where: str, plane: str) -> pd.DataFrame:
    """The images of one focal plane, or with `max` one row per image that has the paths of all its planes."""
    planes = sorted(set(table["plane"]) - {""}, key=_natural) if "plane" in table else []
    if plane == "max" and len(planes) > 1:
        double = table[table.duplicated([*PLACE, "plane"], keep=False)]
        if len(double):
            raise DataError(_explain_twice(double))
        kept = table.drop_duplicates(PLACE).reset_index(drop=True)
        paths = table.groupby(PLACE)["path"].agg(tuple)
        return kept.assign(path=[paths[key] for key in kept[PLACE].itertuples(index=False, name=None)])
    if not plane or plane == "max":
        if len(planes) > 1:
            raise ConfigError(
                f"{where}: the images are of {len(planes)} focal planes ({some(planes)}); choose one, e.g. --plane "
                f"{planes[len(planes) // 2]}, or the brightest of all with --plane max"
            )
        return table
    return _chosen(table, where, "plane", plane, planes)


def _chosen(table: pd.DataFrame, where: str, kind: str, value: str, known: list[str]) -> pd.DataFrame:
    """The rows of one plane or timepoint, whose number may be written with or without leading zeros."""
    same = [name for name in known if name == value or (name.isdigit() and value.isdigit() and int(name) == int(value))]
    if not same:
        there = f"there are {some(known)}" if known else f"the pattern has no group `{kind}`, or no name has one"
        raise ConfigError(f"{where}: no image of --{kind} {value}; {there}")
    chosen = table[table[kind] == same[0]]
    log.warning("%s: left out: %d images of other %ss than %s", where, len(table) - len(chosen), kind, same[0])
    return chosen


def _explain_twice(twice: pd.DataFrame) -> str:
    """Message about two files with the same position, with the remedy that fits how their names differ."""
    first = twice.iloc[0]
    same = twice[(twice[PLACE] == first[PLACE]).all(axis=1)]
    one, other = (Path(path) for path in same["path"].iloc[:2])
    place = f"{first['channel']} of plate {first['plate']}, well {first['well']}, site {first['site']}"
    if one == other:
        return f"{one}: is listed twice as {place}; remove one of the two rows"
    if one.with_suffix("") == other.with_suffix(""):
        kept = one if one.suffix.lower().startswith(".tif") else other
        remedy = f"they differ by their suffix: end the pattern with one of them, as in [.]{kept.suffix[1:]}$"
    elif plane := _difference(str(one), str(other), ("z", "p", "plane", "zstep", "slice")):
        remedy = f"focal planes ({plane})? Read them by a group `plane`, and choose with --plane N or --plane max"
    elif time := _difference(str(one), str(other), ("t", "timepoint", "time")):
        remedy = f"timepoints ({time})? Read them by a group `time`, and choose with --time N"
    else:
        remedy = "tell sites apart by a group `site`, plates by a group `plate`, or let the pattern leave one file out"
    return f"{one} and {other}: both are {place}; {remedy}"


def _difference(one: str, other: str, letters: tuple[str, ...]) -> str:
    """The part in which two paths differ, if that is a number behind one of `letters`; else ""."""
    parts = [re.split(r"(\d+)", text) for text in (one, other)]
    if len(parts[0]) != len(parts[1]):
        return ""
    different = [index for index, pair in enumerate(zip(*parts, strict=True)) if pair[0] != pair[1]]
    if len(different) != 1 or different[0] % 2 == 0:
        return ""
    label = re.search(r"([a-z]*)_?$", parts[0][different[0] - 1].lower())
    return f"{label[1]} {parts[0][different[0]]}" if label and label[1] in letters else ""
