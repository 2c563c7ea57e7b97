"""Preflight: compares a few objects with the expected channels, sizes and wells before the long run."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pandas as pd

from campfire.core import text as wording
from campfire.core.columns import BATCH, PLATE, SITE, SOURCE, WELL
from campfire.core.errors import ConfigError, DataError
from campfire.images.gallery.client import NotFoundError, RefusedError, UnavailableError, exists, read_object
from campfire.images.gallery.index import illumination_column, index_channels, key_column, read_index
from campfire.images.gallery.options import S3Options
from campfire.images.gallery.verify import BadObjectError, check_function, check_image, describe_image
from campfire.screen.wells import shifted_by_one

log = logging.getLogger(__name__)

CHECK_COLUMNS = [
    *(SOURCE, BATCH, PLATE, "load_data", "style", "wells", "sites", "sites_per_well", "first_site", "channels"),
    *("shape", "dtype", "compression", "bytes", "folder", "space_in_folder", "illumination", "difference"),
]


def check_source(
    client: Any,
    options: S3Options,
    sheet: pd.DataFrame,
    channels: Iterable[str],
    illumination: bool = False,
    shape: tuple[int, int] | None = None,
    pixel_size_um: float | None = None,
    wells: Mapping[str, Sequence[str]] | None = None,
) -> pd.DataFrame:
    """Check plates of `sheet` (Metadata_Source, Metadata_Batch, Metadata_Plate), one row each.

    Of a bucket one plate of each batch is looked at, of a local folder every plate.

    Reads load_data, one image of each of `channels` from the middle of the plate, and one illumination function.
    `shape` (H, W) px, `pixel_size_um` and the `wells` of plates, where given, are compared with the images found.
    `difference` lists deviations, "" if there are none; for an unreadable plate it has only the error.
    Raises DataError only when S3 itself cannot be reached.
    """
    channels = list(channels)
    plates = sheet if options.folder else sheet.drop_duplicates([SOURCE, BATCH])
    first = plates[[SOURCE, BATCH, PLATE]].astype(str)

    def look(item: tuple[str, str, str]) -> dict[str, Any]:
        source, batch, plate = item
        row: dict[str, Any] = {**dict.fromkeys(CHECK_COLUMNS, ""), SOURCE: source, BATCH: batch, PLATE: plate}
        try:
            asked = list((wells or {}).get(plate, ()))
            return row | _look(client, options, item, channels, illumination, shape, pixel_size_um, asked)
        except UnavailableError:
            raise
        except DataError as error:
            return row | {"difference": str(error)}

    with ThreadPoolExecutor(min(4, options.workers)) as pool:
        rows = list(pool.map(look, first.itertuples(index=False, name=None)))
    return pd.DataFrame(rows, columns=CHECK_COLUMNS)


def _look(
    client: Any,
    options: S3Options,
    item: tuple[str, str, str],
    channels: list[str],
    illumination: bool,
    shape: tuple[int, int] | None,
    pixel_size_um: float | None,
    wells: list[str],
) -> dict[str, Any]:
    index = read_index(client, options, *item, channels)
    if index.empty:
        raise DataError(f"plate {item[2]}: load_data has no rows")
    differences: list[str] = []
    found = index_channels(index)
    if absent := [channel for channel in channels if channel not in found]:
        differences.append(f"no channel {', '.join(absent)} in load_data")
    differences.extend(_wells(index, wells))
    per_well = index.groupby(WELL).size()
    if len(set(per_well)) > 1:
        differences.append(f"{int((per_well != per_well.mode()[0]).sum())} wells have another number of sites")
    if (index["problem"] != "").any():
        bad = index.loc[index["problem"] != "", "problem"]
        differences.append(f"{len(bad)} sites cannot be used, the first: {bad.iloc[0]}")
    middle = index.iloc[len(index) // 2]
    images = _images(client, options, middle, [channel for channel in channels if channel in found], differences)
    sizes = {image["shape"] for image in images}
    if shape is not None and sizes - {f"{shape[0]}x{shape[1]}"}:
        differences.append(f"images are {', '.join(sorted(sizes))} px, {shape[0]}x{shape[1]} were expected")
    metadata = index.attrs["metadata"]
    differences.extend(_scale(metadata, sizes, pixel_size_um))
    function = _function(client, options, middle, channels, sizes)
    if illumination and function != "yes":
        differences.append(f"illumination functions: {function}")
    folder = _plate_folder(options, item, middle, found)
    return {
        "load_data": index.attrs["load_data"].split("/workspace/")[-1],
        "style": index.attrs["style"],
        "wells": len(per_well),
        "sites": len(index),
        "sites_per_well": int(per_well.mode()[0]),
        "first_site": min((site for site in index[SITE] if site.isdigit()), key=int, default=""),
        "channels": ", ".join(found),
        "shape": ", ".join(sorted(sizes)),
        "dtype": ", ".join(sorted({image["dtype"] for image in images})),
        "compression": ", ".join(sorted({image["compression"] for image in images})),
        "bytes": wording.size(sum(image["bytes"] for image in images) / len(images)) if images else "",
        "folder": folder,
        "space_in_folder": "yes" if " " in folder else "no",
        "illumination": function,
        "difference": "; ".join(differences),
    }


def _wells(index: pd.DataFrame, wells: list[str]) -> list[str]:
    """Differences between the wells of the sheet and those of load_data."""
    listed = list(index[WELL].unique())
    if shift := shifted_by_one(wells, listed):
        return [f"the wells of load_data lie {shift} those of the sheet; does one of the two count from 0?"]
    absent = sorted(set(wells) - set(listed))
    return (
        [f"load_data lacks {len(absent)} of the sheet's {len(wells)} wells: {wording.some(absent)}"] if absent else []
    )


def _images(
    client: Any, options: S3Options, site: pd.Series, channels: list[str], differences: list[str]
) -> list[dict[str, Any]]:
    """Description of one image per channel; problems are appended to `differences`."""
    images: list[dict[str, Any]] = []
    for channel in channels:
        key = site[key_column(channel)]
        try:
            if not key:
                raise BadObjectError("no image in load_data")
            body = read_object(client, options, key)
            images.append({**describe_image(body), "bytes": len(body)})
            check_image(body)
        except (NotFoundError, RefusedError, BadObjectError) as error:
            differences.append(f"{channel} of well {site[WELL]} site {site[SITE]}: {error}")
    return images


def _function(client: Any, options: S3Options, site: pd.Series, channels: list[str], sizes: set[str]) -> str:
    """ "yes" if each channel has an illumination function and the first one loads and fits, else what is wrong."""
    keys = {channel: site[illumination_column(channel)] for channel in channels if illumination_column(channel) in site}
    if not keys:
        return "no channel to look for"
    try:
        gone = [channel for channel, key in keys.items() if not exists(client, options, key)]
        if gone:
            return "missing" if len(gone) == len(keys) else f"missing for {', '.join(gone)}"
        height, width = check_function(read_object(client, options, next(iter(keys.values())))).shape
    except (RefusedError, BadObjectError) as error:
        return str(error)
    size = f"{height}x{width}"
    return "yes" if not sizes or sizes == {size} else f"{size} px, other than the images"


def _scale(metadata: dict[str, str], sizes: set[str], pixel_size_um: float | None) -> list[str]:
    """Differences between the size and pixel size (metres) that load_data states and the images or configuration."""
    differences = []
    stated = f"{metadata.get('Metadata_ImageSizeY', '')}x{metadata.get('Metadata_ImageSizeX', '')}"
    if stated != "x" and sizes and sizes != {stated}:
        differences.append(f"load_data says {stated} px")
    try:
        metres = float(metadata.get("Metadata_ImageResolutionX", ""))
    except ValueError:
        return differences
    if pixel_size_um is not None and abs(metres * 1e6 - pixel_size_um) > 0.01 * pixel_size_um:
        differences.append(f"load_data says {metres * 1e6:.4g} um per px, {pixel_size_um:.4g} was expected")
    return differences


def _plate_folder(options: S3Options, item: tuple[str, str, str], site: pd.Series, channels: list[str]) -> str:
    """The plate's folder name under images/<batch>/images/."""
    key = next((site[key_column(channel)] for channel in channels if site[key_column(channel)]), "")
    return key.removeprefix(f"{options.root(item[0])}/images/{item[1]}/images/").split("/")[0]


def differing(table: pd.DataFrame) -> list[str]:
    """What differs from sheet and config in the table of `check_source`, a line for each plate."""
    rows = table[table["difference"] != ""].to_dict("records")
    return [f"{row[BATCH]} / {row[PLATE]}: {row['difference']}" for row in rows]


def render_check(table: pd.DataFrame) -> str:
    """The table of `check_source` as markdown, a block per plate's findings, and one line that sums it up."""
    if table.empty:
        raise ConfigError("nothing was checked: the sheet has no plate")
    columns = [name for name in CHECK_COLUMNS if name != "difference"]
    names = [name.removeprefix("Metadata_").replace("_", " ") for name in columns]
    lines = [wording.markdown_table(names, table[columns].to_numpy().tolist())]
    different = differing(table)
    lines += ["", *(f"- {line}" for line in different)]
    summary = f"{len(table) - len(different)} of {len(table)} plates are as expected."
    return "\n".join([*lines, *([""] if len(different) else []), summary]) + "\n"
