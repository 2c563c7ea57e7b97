"""Nuclei of a few sites found again, for pictures: the same options find the same labels as the nuclei table has."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from campfire.core.columns import SITE_KEYS
from campfire.images import illumination as illum
from campfire.images.nuclei.segment import segment_all
from campfire.images.options import NucleiOptions
from campfire.images.sites import SiteImages, iterate_sites, read_sites


def outline_sites(
    images: str | Path,
    sites: Collection[tuple[str, str, str]],
    channels: list[str],
    pixel_size_um: float,
    options: NucleiOptions,
    *,
    illumination: str = "none",
    illumination_offset: float = 0.0,
    dna_channel: str = "DNA",
) -> Iterator[tuple[SiteImages, NDArray[np.int32]]]:
    """The images of `sites` (plate, well, site), in plate order, and their (H, W) labels, debris included.

    images: the plate's image folder. channels: those that come back; corrected where `illumination` is `gallery`, as
    the nuclei were found. Raises DataError when an image cannot be read.
    """
    table = read_sites(images)
    chosen = table[[keys in sites for keys in table[SITE_KEYS].itertuples(index=False, name=None)]]
    wanted = list(dict.fromkeys([*channels, dna_channel]))
    functions: Any = illum.read_functions(images, wanted, illumination, illumination_offset)
    for site in iterate_sites(images, chosen, wanted, functions):
        (found,) = segment_all([site.images[dna_channel]], pixel_size_um, options)
        yield SiteImages(site.plate, site.well, site.site, {name: site.images[name] for name in channels}), found.labels
