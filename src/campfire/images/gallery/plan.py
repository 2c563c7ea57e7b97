"""The plan of a plate: the objects to fetch and their sizes, before the download starts."""

import csv
import io
import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

from campfire.core import text as wording
from campfire.core.columns import PLATE, SITE, SITE_KEYS, WELL
from campfire.core.errors import ConfigError, DataError
from campfire.images.gallery.client import ListingError, NotFoundError, RefusedError, list_objects, read_object
from campfire.images.gallery.index import illumination_column, index_channels, key_column, read_index
from campfire.images.gallery.options import S3Options
from campfire.screen.sheets import read_sheet_file
from campfire.screen.wells import shifted_by_one

log = logging.getLogger(__name__)

PLAN_COLUMNS = [*SITE_KEYS, "channel", "key", "bytes", "md5", "version", "problem"]
TYPICAL_BYTES = 2_530_000
"""Mean size of a source_3 TIFF, used where S3 does not list sizes."""

Sizes = Mapping[str, int]
Row = tuple[str, str, str, str, str, int, str, str, str]


def plan_plate(
    index: pd.DataFrame,
    wells: Iterable[str],
    channels: Iterable[str],
    illumination: bool = False,
    sizes: Sizes | None = None,
    versions: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """The objects of `wells` and `channels` of one plate, one row each, sorted by well, site and channel.

    Columns: Metadata_Plate, Metadata_Well, Metadata_Site, channel, key, bytes (-1 unknown), md5 (to be compared, ""
    unknown), version (as listed, "" unknown), problem ("" or why the object cannot be used). Illumination functions
    come last, with empty well and site. A well that the index lacks has one row with the problem, so that every
    requested well is accounted for. Raises DataError when the index has no column for a channel or no row for any
    of the wells, when the wells are those of the index moved by one column or row, or when a channel has several
    illumination functions or (by `sizes`) none.
    """
    wells, channels = list(dict.fromkeys(wells)), list(dict.fromkeys(channels))
    plate = str(index[PLATE].iloc[0]) if len(index) else "?"
    chosen = _chosen_sites(index, wells, channels, plate)
    where = index.attrs.get("load_data", "load_data")
    sizes, versions = sizes or {}, versions or {}
    rows: list[Row] = []
    for site in chosen.to_dict("records"):
        for channel in channels:
            key = site[key_column(channel)]
            problem = site.get("problem", "") or ("" if key else f"load_data has no {channel} image for this site")
            known = (sizes.get(key, -1), "", versions.get(key, ""))
            rows.append((plate, site[WELL], site[SITE], channel, key, *known, problem))
    absent = sorted(set(wells) - set(chosen[WELL]))
    if absent:
        log.warning(
            "plate %s: %s has no row for %d of %d wells: %s",
            *(plate, where, len(absent), len(wells), wording.some(absent, 10)),
        )
    rows.extend((plate, well, "", "", "", -1, "", "", "load_data has no row for this well") for well in absent)
    for channel in channels if illumination else ():
        key = _function_key(index, chosen, channel, plate, sizes)
        rows.append((plate, "", "", channel, key, sizes.get(key, -1), "", versions.get(key, ""), ""))
    return pd.DataFrame(rows, columns=PLAN_COLUMNS)


def _chosen_sites(index: pd.DataFrame, wells: list[str], channels: list[str], plate: str) -> pd.DataFrame:
    """The sites of the requested wells; raises ConfigError or DataError for an impossible request."""
    where = index.attrs.get("load_data", "load_data")
    if not wells or not channels:
        raise ConfigError(
            f"plate {plate}: nothing to fetch ({len(wells)} wells, {len(channels)} channels were requested); if the "
            "split gives it no well, remove it from the sheet"
        )
    unknown = [channel for channel in channels if key_column(channel) not in index]
    if unknown:
        raise DataError(
            f"plate {plate}: {where} has no channel {', '.join(unknown)}; it has {', '.join(index_channels(index))}. "
            "Correct `channels`, or name those of this plate in the sheet's column channels (DNA+AGP)"
        )
    listed = [well for well in index[WELL].unique() if well]
    if shift := shifted_by_one(wells, listed):
        raise DataError(
            f"plate {plate}: the wells of {where} lie {shift} those requested ({min(wells)} to {max(wells)}, listed "
            f"are {min(listed)} to {max(listed)}); one of the two counts columns or rows from 0 or 2: correct it"
        )
    chosen = index[index[WELL].isin(wells)]
    if chosen.empty:
        raise DataError(f"plate {plate}: {where} lists none of the {len(wells)} requested wells (e.g. {wells[0]})")
    return chosen


def _function_key(index: pd.DataFrame, chosen: pd.DataFrame, channel: str, plate: str, sizes: Sizes) -> str:
    """The key of a channel's illumination function: as load_data names it, else at the documented path."""
    where = index.attrs.get("load_data", "load_data")
    keys = list(dict.fromkeys(chosen[illumination_column(channel)]))
    if len(keys) > 1:
        raise DataError(
            f"plate {plate}: {where} names {len(keys)} different illumination functions for {channel}; "
            "set illumination to none, or leave the plate out"
        )
    if not sizes or keys[0] in sizes:
        return str(keys[0])
    documented = str(index.attrs.get("illumination", {}).get(channel, ""))
    if documented in sizes:
        log.warning("plate %s: no illumination function %s; %s is used", plate, keys[0], documented)
        return documented
    raise DataError(
        f"plate {plate}: the gallery has no illumination function for {channel} ({keys[0]}); "
        "set illumination to none, or leave the plate out"
    )


def plan_download(
    client: Any,
    options: S3Options,
    source: str,
    batch: str,
    plate: str,
    wells: Iterable[str],
    channels: Iterable[str],
    illumination: bool = False,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Index, sizes and MD5s of a plate in one call: (plan, summary for plan.json).

    The gallery's own MD5s (a small request per site) are read with `options.digests`, else only for objects whose ETag
    is not an MD5 because they were stored in parts.
    """
    channels = list(channels)
    index = read_index(client, options, source, batch, plate, channels)
    listed = list_plate(client, options, index)
    sizes = {key: size for key, (size, _) in listed.items()}
    versions = {key: version for key, (_, version) in listed.items()}
    plan = plan_plate(index, wells, channels, illumination, sizes, versions)
    in_parts = {key for key, version in versions.items() if "-" in version}
    checked = plan["key"].isin(in_parts) | options.digests
    if checked.any():
        plan = with_digests(client, options, plan, source, batch, checked)
    summary = summarise_plan(plan, index, sizes)
    log_plan(summary)
    return plan, summary


def list_plate(client: Any, options: S3Options, index: pd.DataFrame) -> dict[str, tuple[int, str]]:
    """(bytes, version) of every object in the plate's image and illumination folders (a thousand per request).

    Empty, with a warning, if the bucket cannot be listed or its listing is unusable: it has none of the plate's
    keys, or does not end. Sizes are useful but not required.
    """
    keys = {key for name in index.columns if "key_" in name for key in index[name] if key}
    keys |= set(index.attrs.get("illumination", {}).values())
    folders = sorted({key.rsplit("/", 1)[0] + "/" for key in keys})
    folders = [folder for folder in folders if not any(folder != up and folder.startswith(up) for up in folders)]
    listed: dict[str, tuple[int, str]] = {}
    try:
        for folder in folders:
            listed.update((key, (size, version)) for key, size, version in list_objects(client, options, folder))
    except (RefusedError, ListingError) as error:
        log.warning("%s; sizes stay unknown", error)
        return {}
    if listed and not keys & set(listed):
        log.warning(
            "%s: the listing has none of the plate's keys, such as %s; sizes stay unknown", folders[0], min(keys)
        )
        return {}
    return listed


def with_digests(
    client: Any, options: S3Options, plan: pd.DataFrame, source: str, batch: str, checked: pd.Series | None = None
) -> pd.DataFrame:
    """The plan with `md5`, for the rows that are `checked` (None: all), from the gallery's CellProfiler tables.

    Each site's Image.csv has a column MD5Digest_Orig<Channel>.
    A site without such a table keeps "", and only length, ETag and decoding are checked.
    """
    asked = (plan[SITE] != "") if checked is None else (plan[SITE] != "") & checked
    sites = plan.loc[asked, SITE_KEYS].drop_duplicates()
    root = f"{options.root(source)}/workspace/analysis/{batch}"

    def digests(plate: str, well: str, site: str) -> dict[str, str]:
        key = f"{root}/{plate}/analysis/{plate}-{well}-{site}/Image.csv"
        try:
            text = read_object(client, options, key).decode("utf-8", "replace")
        except (NotFoundError, RefusedError):
            return {}
        row = next(csv.DictReader(io.StringIO(text)), {})
        prefix = "MD5Digest_Orig"
        return {name.removeprefix(prefix): value.lower() for name, value in row.items() if name.startswith(prefix)}

    with ThreadPoolExecutor(options.workers) as pool:
        found = list(pool.map(digests, sites[PLATE], sites[WELL], sites[SITE]))
    known = {(well, site): each for well, site, each in zip(sites[WELL], sites[SITE], found, strict=True)}
    md5 = [
        known.get((well, site), {}).get(channel, "") if wanted else ""
        for well, site, channel, wanted in zip(plan[WELL], plan[SITE], plan["channel"], asked, strict=True)
    ]
    log.info("the gallery's own MD5 is known for %d of %d requested images", sum(map(bool, md5)), int(asked.sum()))
    return plan.assign(md5=md5)


def summarise_plan(plan: pd.DataFrame, index: pd.DataFrame | None = None, sizes: Sizes | None = None) -> dict[str, Any]:
    """Objects and bytes, in total, per channel, and (with the index and sizes) relative to the whole plate."""
    objects = plan[(plan["key"] != "") & (plan["problem"] == "")]
    images = objects[objects[SITE] != ""]
    summary: dict[str, Any] = {
        "plate": str(plan[PLATE].iloc[0]) if len(plan) else "",
        "wells": int(images[WELL].nunique()),
        "sites": len(images[[WELL, SITE]].drop_duplicates()),
        "objects": len(objects),
        "bytes": planned_bytes(objects),
        "objects_of_unknown_size": int((objects["bytes"] < 0).sum()),
        "problems": int((plan["problem"] != "").sum()),
        "channels": {
            channel: {"objects": len(part), "bytes": planned_bytes(part)}
            for channel, part in objects.groupby("channel", sort=False)
        },
    }
    if index is not None:
        summary["load_data"] = index.attrs.get("load_data", "")
        keys = [key for channel in index_channels(index) for key in index[key_column(channel)] if key]
        if sizes:
            summary["whole_plate"] = {"objects": len(keys), "bytes": sum(sizes.get(key, 0) for key in keys)}
        else:
            summary["whole_plate"] = {"objects": len(keys)}
    return summary


def planned_bytes(objects: pd.DataFrame) -> int:
    """Sum of the sizes, with a typical size where S3 gave none."""
    return int(objects["bytes"].where(objects["bytes"] >= 0, TYPICAL_BYTES).sum())


def log_plan(summary: Mapping[str, Any]) -> None:
    """A one-line summary."""
    whole = summary.get("whole_plate", {})
    share = (
        f", {summary['bytes'] / whole['bytes']:.0%} of the plate's {wording.size(whole['bytes'])}"
        if whole.get("bytes")
        else ""
    )
    log.info(
        "plate %s: plan of %d objects, %s (%d wells, %d sites, channels %s)%s",
        *(summary["plate"], summary["objects"], wording.size(summary["bytes"]), summary["wells"], summary["sites"]),
        *(", ".join(summary["channels"]), share),
    )


def read_known_bad(path: str | Path) -> dict[str, str]:
    """Known-bad objects: key (or a folder's, ending in "/") to reason, from a tab-separated file with those columns."""
    table = read_sheet_file(path, ["key", "reason"], "list of known bad objects")
    return dict(zip(table["key"], table["reason"], strict=True))
