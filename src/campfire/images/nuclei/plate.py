"""Segmenting every site of a plate: nuclei table and quality table in one pass over the images."""

import logging
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core.columns import NUCLEUS, PLATE, SITE, SITE_KEYS, WELL
from campfire.core.errors import DataError
from campfire.core.processes import main_hidden
from campfire.images import illumination as illum
from campfire.images.nuclei.debris import is_debris
from campfire.images.nuclei.measure import DEBRIS, FEWEST, advise_tile_size, measure
from campfire.images.nuclei.segment import segment_all
from campfire.images.options import NucleiOptions, QualityOptions
from campfire.images.quality import SITE_REASON, describe_depth, judge_sites, measure_site, settle_saturation, summarise
from campfire.images.reader import decode_image
from campfire.images.registration import Relation, choose_sites, judge_channels, relate
from campfire.images.sites import Function, SiteImages, channels_of, prepare_sites, read_sites, with_channels

log = logging.getLogger(__name__)

_RELATIONS = "relations"
"""Key of a site's measures that holds the alignment of its channels; not a column of the table."""
Result = tuple[pd.DataFrame, dict[str, Any]]


def segment_plate(
    images: str | Path,
    pixel_size_um: float,
    options: NucleiOptions | None = None,
    quality: QualityOptions | None = None,
    *,
    illumination: str = "none",
    illumination_offset: float = 0.0,
    dna_channel: str = "DNA",
    workers: int = 1,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The nuclei table and the quality table of the plate whose image folder is `images`.

    The next sites (for Cellpose, the next batch of them) are decoded while one is segmented. With `workers` above 1 the
    classical method runs in that many processes, with the same result, and Cellpose has as many decoding threads.
    Quality is measured on the images as stored, nuclei are segmented on the corrected DNA image when `illumination` is
    `gallery` (see `illumination.correct` for the offset). Nuclei of a site that is left out are kept in the table, with
    `kept` false and the site's reason.

    Raises DataError when an image cannot be read, or when no nucleus of the plate is kept.
    """
    options, quality, images = options or NucleiOptions(), quality or QualityOptions(), Path(images)
    sites = read_sites(images)
    measured = [name for name in quality.channels or channels_of(sites) if name in channels_of(sites)]
    channels = list(dict.fromkeys([dna_channel, *measured]))
    # A site that lacks any fetched channel cannot become tiles, so it is left out here as well.
    usable = with_channels(sites, list(dict.fromkeys([*channels, *channels_of(sites)])), images)
    plate = str(sites[PLATE].iloc[0])
    if len(usable) < len(sites):
        log.warning("%s: %d of %d sites lack a channel and are left out", plate, len(sites) - len(usable), len(sites))
    functions = illum.read_functions(images, [dna_channel], illumination, illumination_offset)
    function = functions[dna_channel] if functions else None
    _compare_pixel_size(images / str(usable[f"path_{dna_channel}"].iloc[0]), plate, pixel_size_um)
    looked_at = frozenset(usable[SITE_KEYS].iloc[choose_sites(len(usable))].itertuples(index=False, name=None))
    job = _Job(images, pixel_size_um, options, quality, function, dna_channel, channels, looked_at)
    if workers > 1 and options.method == "classical":
        results = _in_processes(job, usable, workers)
    else:
        results = job.run(usable, threads=max(2, workers))
    nuclei, rows, relations = _collect(results, plate, len(usable))
    _mark_debris(nuclei)
    measures, bits = settle_saturation(_count_objects(rows, nuclei), quality)
    log.info("%s: %s", plate, describe_depth(measures, bits))
    judged = judge_sites(measures, quality)
    _leave_out_sites(nuclei, judged)
    log.info("%s: %s; %s", plate, summarise(judged), _count(nuclei))
    if advice := advise_tile_size(nuclei, options.tile_size):
        log.warning("plate %s: %s", plate, advice)
    for oddity in judge_channels(relations, dna_channel):
        log.warning("plate %s: %s", plate, oddity)
    if not nuclei["kept"].any():
        raise DataError(
            f"plate {plate}: no nucleus to keep in {len(judged)} sites ({summarise(judged)}; {_count(nuclei)}); check "
            "the DNA channel, pixel size, nuclei.diameter_um and the quality thresholds, or remove it from the sheet"
        )
    return nuclei, judged


@dataclass(frozen=True)
class _Job:
    """The work on every site; picklable, so that it can run in other processes."""

    images: Path
    pixel_size_um: float
    options: NucleiOptions
    quality: QualityOptions
    function: Function | None
    """Illumination function of the DNA channel, if images are corrected."""
    dna_channel: str
    channels: list[str]
    looked_at: frozenset[tuple[str, str, str]]
    """Plate, well and site of the sites whose channels are compared."""

    def run(self, table: pd.DataFrame, threads: int) -> Iterator[Result]:
        """Nuclei and quality of each site of `table`, in order; several share a batch when Cellpose segments.

        Quality is measured in the decoding threads, beside the segmentation.
        """
        size = self.options.sites_per_batch if self.options.method == "cellpose" else 1
        prepared = prepare_sites(self.images, table, self.channels, self._prepare, threads=threads, ahead=size)
        while batch := list(islice(prepared, size)):
            dna = [image for _, image, _ in batch]
            found = segment_all(dna, self.pixel_size_um, self.options)
            for (keys, image, measures), objects in zip(batch, found, strict=True):
                nuclei = measure(objects.labels, image, self.pixel_size_um, self.options, objects.debris)
                for position, (name, value) in enumerate(keys.items()):
                    nuclei.insert(position, name, value)
                yield nuclei, {**keys, **measures, "pixels": image.size}

    def run_rows(self, table: pd.DataFrame) -> list[Result]:
        """The same as a list, in one thread; the unit of work of a process."""
        return list(self.run(table, threads=0))

    def _prepare(self, site: SiteImages) -> tuple[dict[str, str], NDArray[Any], dict[str, Any]]:
        """A site's keys, its DNA image (corrected if requested) and its quality."""
        keys = {PLATE: site.plate, WELL: site.well, SITE: site.site}
        dna = site.images[self.dna_channel]
        corrected = dna if self.function is None else illum.correct(dna, self.function)
        measures = measure_site(site.images, self.quality)
        if (site.plate, site.well, site.site) in self.looked_at:
            measures[_RELATIONS] = relate(site.images, self.dna_channel)
        return keys, corrected, measures


def _in_processes(job: _Job, sites: pd.DataFrame, workers: int, chunk: int = 8) -> Iterator[Result]:
    """Run chunks of sites in fresh processes; results come back in the order of `sites`."""
    chunks = [sites.iloc[start : start + chunk] for start in range(0, len(sites), chunk)]
    # Forking a process that runs threads can deadlock, hence spawn.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        with main_hidden():
            waiting = pool.map(job.run_rows, chunks)
        for results in waiting:
            yield from results


def _collect(
    results: Iterable[Result], plate: str, n_sites: int
) -> tuple[pd.DataFrame, pd.DataFrame, list[dict[str, Relation]]]:
    """The two tables of all sites, and the channel alignment of some; logs progress every ten seconds."""
    tables, rows, relations = [], [], []
    started = reported = time.monotonic()
    for table, row in results:
        tables.append(table)
        relations.append(row.pop(_RELATIONS, {}))
        rows.append(row)
        if time.monotonic() - reported > 10:
            reported = time.monotonic()
            log.info("%s: %d of %d sites, %.1f sites/s", plate, len(rows), n_sites, len(rows) / (reported - started))
    if not rows:
        raise DataError(f"plate {plate}: no site has an image in every channel; its download table lists the failures")
    filled = [table for table in tables if len(table)] or tables[:1]
    return pd.concat(filled, ignore_index=True), pd.DataFrame(rows), relations


def _compare_pixel_size(path: Path, plate: str, pixel_size_um: float) -> None:
    """Warn if an image states another pixel size than the config: nuclei and tiles would have another scale."""
    stated = decode_image(path).pixel_size_um
    if stated is not None and abs(stated / pixel_size_um - 1) > 0.02:
        log.warning(
            "plate %s: %s states %.4g um per px, pixel_size_um is %.4g; correct pixel_size_um unless the file is wrong",
            *(plate, path, stated, pixel_size_um),
        )


def _mark_debris(nuclei: pd.DataFrame) -> None:
    """Mark, in place, objects too bright beside the plate's kept nuclei, for fields with too few cells to decide."""
    kept = nuclei[nuclei["kept"]]
    if len(kept) < FEWEST or kept["signal"].median() <= 0:
        return
    typical = (float(kept["signal"].median()), float(kept["area"].median()))
    bright = is_debris(nuclei["signal"].to_numpy(), nuclei["area"].to_numpy(), typical)
    nuclei.loc[bright, "reason"] = DEBRIS
    nuclei.loc[bright, "kept"] = False


def _count_objects(rows: pd.DataFrame, nuclei: pd.DataFrame) -> pd.DataFrame:
    """The sites' measures with `nuclei` (number found), `debris` (number) and `debris_area` (share of the field)."""
    debris = nuclei["reason"] == DEBRIS

    def per_site(values: pd.Series) -> pd.Series:
        summed = values.groupby([nuclei[name] for name in SITE_KEYS], sort=False).sum()
        return summed.reindex(pd.MultiIndex.from_frame(rows[SITE_KEYS]), fill_value=0).reset_index(drop=True)

    found = per_site((~debris).astype(np.int64))
    area = per_site(nuclei["area"].where(debris, 0)) / rows["pixels"]
    counted = rows.drop(columns="pixels")
    return counted.assign(nuclei=found, debris=per_site(debris.astype(np.int64)), debris_area=area.astype(float))


def _leave_out_sites(nuclei: pd.DataFrame, quality: pd.DataFrame) -> None:
    """Mark the nuclei of sites that are left out, in place; a nucleus keeps its own reason."""
    reason = quality.set_index(SITE_KEYS)["reason"]
    of_site = reason.reindex(pd.MultiIndex.from_frame(nuclei[SITE_KEYS])).to_numpy()
    lost = (of_site != "") & nuclei["kept"].to_numpy()
    nuclei.loc[lost, "reason"] = [f"{SITE_REASON}{text}" for text in of_site[lost]]
    nuclei.loc[lost, "kept"] = False


def _count(nuclei: pd.DataFrame) -> str:
    """One line: how many nuclei are kept, and how many are left out for which reason."""
    dropped = nuclei.loc[~nuclei["kept"], "reason"].value_counts()
    parts = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
    kept = f"{int(nuclei['kept'].sum())} of {nuclei[NUCLEUS].size} nuclei kept"
    return kept + (f" ({parts} left out)" if parts else "")
