"""What a run will fetch, keep and compute, before any job has run: from its split and stated rates."""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from campfire.core.columns import PLATE
from campfire.core.errors import CampfireError
from campfire.core.files import read_table
from campfire.core.text import duration, size, work_hours
from campfire.runs.cost import PlannedJob
from campfire.runs.expected import is_gallery, wells_to_expect
from campfire.runs.quota import existing, quota_left
from campfire.runs.run import Run
from campfire.runs.scale import SourceFacts
from campfire.screen.leave_out import drop
from campfire.screen.metadata import find_well_table, read_wells
from campfire.screen.split import assign_wells

VERIFY_S, NUCLEI_S, TILES_S = 0.087 / 5, 0.615, 0.101
"""Processor seconds: per image to verify, per site for classical nuclei and for tiles (docs/scale.md)."""
CELLPOSE_FIELDS_S = 119.0
"""Fields per second of a U-Net of Cellpose's size in fp32 on an H200 (docs/performance.md)."""
LARGE_TILES_S = {"H200": 2926.0, "A100": 565.0}
"""Tiles per second that a GPU trains ViT-L/14 on: an H200 as measured, the paper's A100 as quoted."""
GIGABIT_S = 125e6
"""Bytes per second of a network of 1 Gbit/s."""


@dataclass(frozen=True)
class Forecast:
    """What the planned jobs of new plates and of pretraining amount to; sizes are upper bounds."""

    plates: int
    wells: float
    objects: float
    bytes: float
    largest_plate: float
    """Bytes of its images."""
    tile_bytes: float
    core_hours: float
    gpu_fields: float
    """Fields that Cellpose segments."""
    passes: Mapping[str, float] = field(default_factory=dict)
    """Pretraining run -> tiles times epochs."""
    exact: bool = True
    """The wells are those of the split; else a share of 384 wells per plate."""


def forecast(run: Run, jobs: Iterable[PlannedJob], facts: SourceFacts | None = None) -> Forecast | None:
    """The forecast for the planned jobs that run for the first time; None where none fetches images of the Gallery."""
    facts, jobs = facts or SourceFacts(), [job for job in jobs if not job.done]
    new = [job.name for job in jobs if job.rule == "images"]
    if not new or not is_gallery(run):
        return None
    known = known_wells(run)
    wells = {plate: count_wells(run, plate, known) for plate in {*new, *run.plates}}
    images = {plate: wells[plate] * facts.sites_per_well * len(run.plate(plate).channels) for plate in new}
    sites = sum(wells[plate] for plate in new) * facts.sites_per_well
    cellpose = run.config.nuclei.method == "cellpose"
    tile = facts.cells_per_site * run.config.tiles.size**2 * (2 if run.config.tiles.dtype == "uint16" else 1)
    seconds = VERIFY_S * sum(images.values()) + (TILES_S + (0 if cellpose else NUCLEI_S)) * sites
    passes = {}
    for job in (job for job in jobs if job.rule == "pretrain_run"):
        options = run.config.pretrain.runs[job.name]
        trained = run.plates_to_train_on(run.pretraining(job.name))
        tiles = sum(count_wells(run, plate, known, "train") for plate in trained) * facts.sites_per_well
        tiles *= facts.cells_per_site
        passes[job.name] = (min(tiles, options.max_tiles) if options.max_tiles else tiles) * options.epochs
    return Forecast(
        plates=len(new),
        wells=sum(wells[plate] for plate in new),
        objects=sum(images.values()),
        bytes=sum(images.values()) * facts.bytes_per_tiff,
        largest_plate=max(images.values()) * facts.bytes_per_tiff,
        tile_bytes=sum(images.values()) * tile,
        core_hours=seconds / 3600,
        gpu_fields=sites if cellpose else 0.0,
        passes=passes,
        exact=known is not None,
    )


def known_wells(run: Run) -> dict[str, dict[str, int]] | None:
    """Plate -> split -> wells, without what is left out: of the split as made, or drawn from the well table.

    None where neither is here.
    """
    try:
        if Path(run.files.wells).is_file():
            table = read_table(run.files.wells)
        else:
            places = [run.files.metadata("well"), getattr(run.config.metadata.get("well"), "address", "")]
            place = next((path for path in places if path and Path(path).is_file()), None)
            if place is None or run.split_sheet.empty:
                return None
            options = run.config.split.changed(exclude_same_structure=False)
            table = assign_wells(run.split_sheet, read_wells(find_well_table(place), run.split_sheet), options)
        table = drop(table, run.left_out.all)
        counts = table[table["split"] != "unused"].groupby([PLATE, "split"], observed=True).size().reset_index(name="n")
        found: dict[str, dict[str, int]] = {}
        for plate, split, wells in zip(counts[PLATE], counts["split"], counts["n"], strict=True):
            found.setdefault(str(plate), {})[str(split)] = int(wells)
        return found
    except CampfireError:
        return None  # the split itself says what is wrong


def count_wells(run: Run, plate: str, known: Mapping[str, Mapping[str, int]] | None, split: str = "") -> float:
    """Wells of a plate, or those of a split."""
    if run.plate(plate).is_transfer:
        return float(len(run.plate(plate).wells))
    if known is not None:
        counts = known.get(plate, {})
        return float(counts.get(split, 0) if split else sum(counts.values()))
    # Half of an evaluation plate is trained on, roughly.
    return wells_to_expect(run, plate) * (0.5 if split and plate in run.evaluation_plates else 1.0)


def free_bytes(folder: str | Path) -> int:
    """Free bytes of the disk that a folder is, or will be, on."""
    return shutil.disk_usage(existing(folder)).free


def disk_needed(found: Forecast, at_once: int) -> float:
    """Bytes that tiles and the images of `at_once` plates take together at the end of the tiles stage."""
    return found.tile_bytes + min(at_once, found.plates) * found.largest_plate


def lacking_disk(found: Forecast, at_once: int, folder: str) -> str:
    """What is wrong with the disk under `folder`, and what to do; "" where it has room."""
    needed, free, quota = disk_needed(found, at_once), free_bytes(folder), quota_left(folder)
    room = min(free, float("inf") if quota is None else quota)
    if needed <= room:
        return ""
    has = f"the disk has {size(free)} free" if room == free else f"your quota there has {size(room)} left"
    return (
        f"{folder}: tiles and images need up to {size(needed)}, {has}; put `results` on a larger disk, set "
        "tiles.dtype: uint8 (half the bytes), lower plates_on_disk, or leave plates out (`leave_out`)"
    )


def render(found: Forecast, cores: int, at_once: int, folder: str) -> str:
    """The forecast as text."""
    wells = "of the split" if found.exact else "estimated: there is no well table yet"
    images = min(at_once, found.plates) * found.largest_plate
    left = quota_left(folder)
    quota = f", left of your quota: {size(left)}" if left is not None else ""
    lines = [
        "Forecast for what runs for the first time, by source_3's means per image and site (upper bounds):",
        f"  fetch     {size(found.bytes)} in {found.objects:,.0f} objects of {found.plates} plates, {found.wells:,.0f} "
        f"wells ({wells}): {duration(found.bytes / GIGABIT_S)} at 1 Gbit/s",
        f"  disk      tiles {size(found.tile_bytes)}, images of {min(at_once, found.plates)} plates at once "
        f"{size(images)}; free: {size(free_bytes(folder))}{quota}",
        f"  processor {work_hours(found.core_hours)} to verify{'' if found.gpu_fields else ', find nuclei'} and cut "
        f"tiles: {duration(3600 * found.core_hours / cores)} on {cores} core{'s' if cores > 1 else ''}",
    ]
    if found.gpu_fields:
        hours = found.gpu_fields / CELLPOSE_FIELDS_S / 3600
        lines.append(f"  nuclei    {work_hours(hours)} of an H200 for {found.gpu_fields:,.0f} fields by Cellpose")
    for run, passes in found.passes.items():
        each = " or ".join(f"{work_hours(passes / rate / 3600)} of {gpu}" for gpu, rate in LARGE_TILES_S.items())
        lines.append(f"  pretrain  {run}: {passes:,.0f} tile passes, {each} GPUs for ViT-L/14 in three channels")
    if lacking := lacking_disk(found, at_once, folder):
        lines.append(lacking)
    return "\n".join(lines)
