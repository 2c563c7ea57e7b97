"""Plates in OME-Zarr (NGFF) and multi-channel OME-TIFF: one plane per channel and site.

Wells come from the plate's metadata. An OME-TIFF without any takes a pattern with the groups `well` and, where a well
has several sites, `site`, which is searched in its name. Channels come from the file; those without a name are
called 0, 1, and so on.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core.errors import ConfigError, DataError, reason
from campfire.core.files import atomic_path
from campfire.images.gallery.collect import checked, tell_left_out

PLANES = "planes"
"""Folder below the output with the planes that were taken out of their files."""
MICROMETRE = {"micrometer": 1.0, "µm": 1.0, "um": 1.0, "nanometer": 1e-3, "nm": 1e-3, "millimeter": 1e3, "mm": 1e3}


@dataclass(frozen=True)
class Plane:
    """One plane of a file: its position, and how to read it."""

    place: dict[str, str]
    """plate, well, site, channel, plane, time."""
    read: Callable[[], NDArray[Any]]
    """Returns (H, W) counts."""
    pixel_size_um: float | None


def is_ome(path: str | Path, pattern: str = "") -> bool:
    """Whether `path` is an OME-Zarr plate, or OME-TIFF whose names do not hold the channel.

    OME-TIFF counts where a pattern without the group `channel` is given or the first file describes a plate.
    """
    if _zarr_attributes(Path(path)).get("plate"):
        return True
    files = _tiffs(Path(path))
    if not files or "(?P<channel>" in pattern:
        return False
    return "(?P<well>" in pattern or bool(not pattern and _plate_wells(_description(files[0])))


def read_ome(
    path: str | Path,
    out: str | Path,
    channels: Mapping[str, str] | None = None,
    plate: str = "",
    source: str = "mine",
    batch: str = "1",
    *,
    pattern: str = "",
    plane: str = "",
    time: str = "",
    plate_format: int | None = None,
) -> pd.DataFrame:
    """The images of a plate as `arrange` takes them; the planes that are used are written below `out`.

    channels: names in the file to new names; channels that it does not name are omitted. The other arguments are those
    of `collect.find_images`. DataError for a file that is damaged, has no wells, or holds no counts of 8 or 16 bits.
    """
    path = Path(path)
    try:
        found = list(_zarr_planes(path) if _zarr_attributes(path) else _tiff_planes(path, pattern))
    except (DataError, ConfigError):
        raise
    except Exception as error:  # zarr, tifffile and XML parsers raise their own types
        raise DataError(f"{path}: not a readable OME plate ({reason(error)}); export it again") from error
    seen: dict[str, int] = {}
    rows, planes = [], {}
    for item in found:
        channel = item.place["channel"]
        seen[channel] = seen.get(channel, 0) + 1
        if channels and channel not in channels:
            continue
        place = {**item.place, "channel": (channels or {}).get(channel, channel), "plate": plate or item.place["plate"]}
        name = "_".join(place[key] for key in ("well", "site", "channel", "plane", "time") if place[key])
        target = Path(out) / PLANES / place["plate"] / f"{name}.tiff"
        planes[target] = item
        rows.append({"source": source, "batch": batch, **place, "path": target})
    if not found:
        raise DataError(f"{path}: holds no image; export the plate again")
    tell_left_out(str(path), seen, channels, {})
    images = checked(pd.DataFrame(rows), str(path), plane, time, plate_format)
    for used in images["path"]:
        for target in used if isinstance(used, tuple) else (used,):
            _write(planes[Path(target)], Path(target), path)
    return images


def _write(plane: Plane, target: Path, source: Path) -> None:
    import tifffile

    pixels = plane.read()
    if pixels.dtype not in (np.uint8, np.uint16):
        raise DataError(f"{source}: pixels are {pixels.dtype}, not counts of 8 or 16 bits; export the camera's counts")
    metadata: dict[str, Any] = {"axes": "YX"}
    if plane.pixel_size_um:
        metadata |= {"PhysicalSizeX": plane.pixel_size_um, "PhysicalSizeXUnit": "µm"}
        metadata |= {"PhysicalSizeY": plane.pixel_size_um, "PhysicalSizeYUnit": "µm"}
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as partial_file:
        tifffile.imwrite(partial_file, pixels, ome=True, compression="zlib", metadata=metadata)


# OME-Zarr ------------------------------------------------------------------------------------------------------------


def _zarr_attributes(path: Path) -> dict[str, Any]:
    """Attributes of a group of NGFF 0.4 (.zattrs) or 0.5 (zarr.json, below `ome`); {} for anything else."""
    for name in (".zattrs", "zarr.json"):
        if (path / name).is_file():
            try:
                content = json.loads((path / name).read_text(encoding="utf-8"))
            except ValueError as error:
                raise DataError(f"{path / name}: not readable ({error}); export the plate again") from error
            attributes = content if name == ".zattrs" else content.get("attributes", {})
            return dict(attributes.get("ome", attributes))
    return {}


def _zarr_planes(path: Path) -> Iterator[Plane]:
    try:
        import zarr
    except ImportError as error:
        raise ConfigError(f"{path}: reading OME-Zarr needs zarr; run `make setup`, or `pip install zarr`") from error
    plate = _zarr_attributes(path)["plate"]
    name = str(plate.get("name") or re.sub(r"([.]ome)?[.]zarr$", "", path.name))
    for entry in plate["wells"]:
        row, column = str(entry["path"]).strip("/").split("/")
        folder = path / entry["path"]
        for image in _zarr_attributes(folder)["well"]["images"]:
            field = folder / image["path"]
            attributes = _zarr_attributes(field)
            scales = attributes["multiscales"][0]
            dataset = scales["datasets"][0]
            array = zarr.open_array(str(field / dataset["path"]), mode="r")
            axes: list[str] = [axis if isinstance(axis, str) else axis["name"] for axis in scales.get("axes", "tczyx")]
            labels = [str(channel.get("label", "")) for channel in attributes.get("omero", {}).get("channels", [])]
            where = {"plate": name, "well": f"{row}{column}", "site": str(image["path"])}
            size = _zarr_pixel_size(scales, dataset, axes)
            yield from _split("".join(axes), array.shape, labels, where, partial(_zarr_read, array), size, str(field))


def _zarr_read(array: Any, index: tuple[Any, ...]) -> NDArray[Any]:
    return np.asarray(array[index])


def _zarr_pixel_size(scales: Mapping[str, Any], dataset: Mapping[str, Any], axes: list[str]) -> float | None:
    """Edge of a pixel along x in µm; None where its unit or scale is not stated."""
    axis = scales["axes"][axes.index("x")] if "axes" in scales else ""
    unit = MICROMETRE.get(axis.get("unit", "")) if isinstance(axis, dict) else None
    steps = [step["scale"] for step in dataset.get("coordinateTransformations", []) if "scale" in step]
    factors = [step[axes.index("x")] for step in steps]
    return float(factors[0]) * unit if unit and factors else None


# OME-TIFF ------------------------------------------------------------------------------------------------------------


def _tiffs(path: Path) -> list[Path]:
    """OME-TIFF files at or directly in a path."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [file for file in files if re.search(r"[.]ome[.]tiff?$", file.name, re.IGNORECASE) and file.is_file()]


def _description(file: Path) -> ElementTree.Element:
    """The OME-XML of a file without namespaces."""
    import tifffile

    with tifffile.TiffFile(file) as tiff:
        text = tiff.ome_metadata
    if not text:
        raise DataError(f"{file}: has no OME metadata; export it again as OME-TIFF")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DataError(f"{file}: its OME metadata declare entities; export it again as OME-TIFF")
    root = ElementTree.fromstring(text)  # noqa: S314 (entities are refused above)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def _plate_wells(root: ElementTree.Element) -> dict[str, dict[str, str]]:
    """ID of an image -> its plate, well and site, as the file's Plate elements say."""
    found = {}
    for plate in root.iter("Plate"):
        for well in plate.iter("Well"):
            name = f"{row_letters(int(well.attrib['Row']))}{int(well.attrib['Column']) + 1}"
            for number, sample in enumerate(well.iter("WellSample"), 1):
                image = sample.find("ImageRef")
                if image is not None:
                    place = {"plate": plate.get("Name") or plate.attrib["ID"], "well": name, "site": str(number)}
                    found[image.attrib["ID"]] = place
    return found


def row_letters(number: int) -> str:
    """Letters of a plate's row counted from 0: A to Z, then AA."""
    letter = chr(ord("A") + number % 26)
    return letter if number < 26 else row_letters(number // 26 - 1) + letter


def _tiff_planes(path: Path, pattern: str) -> Iterator[Plane]:
    import tifffile

    described: set[tuple[str, ...]] = set()
    for file in _tiffs(path):
        root = _description(file)
        wells, images = _plate_wells(root), list(root.iter("Image"))
        if not images:  # its metadata are in another file of the set
            continue
        with tifffile.TiffFile(file) as tiff:
            stored = [(series.axes, series.shape) for series in tiff.series]
        if len(stored) != len(images):
            raise DataError(f"{file}: describes {len(images)} images but holds {len(stored)}; export it again")
        for number, (image, (axes, shape)) in enumerate(zip(images, stored, strict=True)):
            where = wells.get(image.attrib["ID"]) or _named(file, path, pattern)
            if tuple(where.values()) in described and wells:
                continue  # every file of a set describes all of it
            described.add(tuple(where.values()))
            pixels = image.find("Pixels")
            labels = [channel.get("Name", "") for channel in image.iter("Channel")]
            size, unit = (
                (None, "") if pixels is None else (pixels.get("PhysicalSizeX"), pixels.get("PhysicalSizeXUnit", "µm"))
            )
            edge = float(size) * MICROMETRE[unit] if size and unit in MICROMETRE else None
            yield from _split(axes.lower(), shape, labels, where, partial(_tiff_read, file, number), edge, str(file))


def _named(file: Path, folder: Path, pattern: str) -> dict[str, str]:
    """Well and site from a file's name."""
    match = re.search(pattern, file.name) if pattern else None
    if match is None or "well" not in match.groupdict():
        raise DataError(
            f"{file}: neither its metadata nor its name give the well; give a pattern with the groups `well` and "
            "`site` as --pattern"
        )
    groups = match.groupdict()
    return {"plate": groups.get("plate") or folder.name, "well": groups["well"], "site": groups.get("site") or "1"}


@lru_cache(maxsize=1)
def _tiff_series(file: Path, number: int) -> NDArray[Any]:
    import tifffile

    return np.asarray(tifffile.imread(file, series=number, level=0, maxworkers=1))


def _tiff_read(file: Path, number: int, index: tuple[Any, ...]) -> NDArray[Any]:
    return _tiff_series(file, number)[index]


# Both ----------------------------------------------------------------------------------------------------------------


def _split(
    axes: str,
    shape: tuple[int, ...],
    labels: list[str],
    where: Mapping[str, str],
    read: Callable[[tuple[Any, ...]], NDArray[Any]],
    pixel_size_um: float | None,
    source: str,
) -> Iterator[Plane]:
    """Every plane of an array with the axes t, c, z (in any order, each at most once) before y and x."""
    if not axes.endswith("yx") or set(axes) - set("tczyx") or len(axes) != len(shape) or len(set(axes)) != len(axes):
        raise DataError(f"{source}: has the axes {axes}; time, channel and plane before y and x are read")
    sizes = dict(zip(axes, shape, strict=True))
    if labels and len(labels) != sizes.get("c", 1):
        raise DataError(f"{source}: names {len(labels)} channels but holds {sizes.get('c', 1)}; export it again")
    for position in np.ndindex(*shape[:-2]):
        at = dict(zip(axes, position, strict=False))
        channel = at.get("c", 0)
        place = {
            **where,
            "channel": (labels[channel] if labels else "") or str(channel),
            "plane": str(at["z"] + 1) if sizes.get("z", 1) > 1 else "",
            "time": str(at["t"] + 1) if sizes.get("t", 1) > 1 else "",
        }
        yield Plane(place, partial(read, tuple(position)), pixel_size_um)
