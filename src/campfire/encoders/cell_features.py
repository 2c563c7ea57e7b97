"""Classical single-cell measurements of one tile, computed by cp_measure (CellProfiler's features as functions).

No torch here: processes that measure would spend most of their start on importing it.
"""

import math
import warnings
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

FAMILIES = ("shape", "intensity", "radial", "texture", "granularity", "correlation")
"""shape: size, Zernike and Feret features of the nucleus; correlation: of pairs of channels; the others per channel."""

NUCLEUS_CHANNEL = "DNA"
NO_EDGE = {
    f"Intensity_{statistic}IntensityEdge": np.zeros(1) for statistic in ("Integrated", "Mean", "Std", "Min", "Max")
}
"""Intensities along the inner edge of a region that has none, named as cp_measure names them."""

Values = Mapping[str, NDArray[np.floating[Any]]]


def nucleus_mask(dna: NDArray[np.float64]) -> NDArray[np.int32]:
    """The nucleus at the centre of a DNA tile (H, W): 1 inside, int32. A small disc where nothing stands out there."""
    from scipy import ndimage
    from skimage.filters import gaussian, threshold_otsu

    height, width = dna.shape
    rows, columns = np.ogrid[:height, :width]
    distance = (rows - (height - 1) / 2) ** 2 + (columns - (width - 1) / 2) ** 2
    smooth = gaussian(dna, 1.0)
    if smooth.max() > smooth.min():
        labels, _ = ndimage.label(smooth > threshold_otsu(smooth))
        near = labels[distance <= (min(height, width) / 14) ** 2]
        near = near[near > 0]
        if len(near):
            inside = ndimage.binary_fill_holes(labels == np.bincount(near).argmax())
            return np.asarray(inside, dtype=np.int32)
    return (distance <= (min(height, width) / 8) ** 2).astype(np.int32)


def measure_tile(
    tile: NDArray[np.number[Any]], channels: Sequence[str], families: Sequence[str] = FAMILIES, scale: float = 65535.0
) -> dict[str, float]:
    """Named features of a raw tile (C, H, W), see `measure_tiles`."""
    return measure_tiles(np.asarray(tile)[None], channels, families, scale)[0]


def measure_tiles(
    tiles: NDArray[np.number[Any]], channels: Sequence[str], families: Sequence[str] = FAMILIES, scale: float = 65535.0
) -> list[dict[str, float]]:
    """Named features of each of the raw tiles (N, C, H, W); intensities are divided by `scale`.

    Names are `<Region>_<feature>_<channel>`. The region is the whole tile (`Cells`), and for shape and intensity
    also the nucleus (`Nuclei`) where DNA is among the channels. Features that are undefined on a tile are 0. A tile's
    features do not depend on the others.
    """
    every = np.asarray(tiles, dtype=np.float64) / scale
    nuclei: list[NDArray[np.int32] | None] = [None] * len(every)
    widths: list[Values] = [{}] * len(every)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        if NUCLEUS_CHANNEL in channels:
            found = [nucleus_mask(images[list(channels).index(NUCLEUS_CHANNEL)]) for images in every]
            nuclei = list(found)
            widths = feret_widths(found) if "shape" in families else widths
        return [_measure(*each, channels, families) for each in zip(every, nuclei, widths, strict=True)]


def feret_widths(nuclei: Sequence[NDArray[np.int32]]) -> list[Values]:
    """Feret features of each nucleus (H, W), measured as objects of one image, which is eight times as fast."""
    from cp_measure.bulk import get_core_measurements

    image = np.concatenate([nucleus * number for number, nucleus in enumerate(nuclei, start=1)])
    found = get_core_measurements(sanitize=False)["feret"](image, None)
    return [{name: values[[place]] for name, values in found.items()} for place in range(len(nuclei))]


def _measure(
    images: NDArray[np.float64], nucleus: NDArray[np.int32] | None, widths: Values, channels: Sequence[str],
    families: Sequence[str],
) -> dict[str, float]:  # fmt: skip
    """Named features of scaled images (C, H, W) with their nucleus and its Feret features."""
    from cp_measure.bulk import get_core_measurements, get_correlation_measurements

    core, pairs = get_core_measurements(sanitize=False), get_correlation_measurements(sanitize=False)
    whole = np.ones(images.shape[1:], dtype=np.int32)
    found: dict[str, float] = {}

    def keep(region: str, suffix: str, values: Values) -> None:
        for feature, value in values.items():
            first = np.asarray(value).item(0) if np.size(value) else math.nan
            found[f"{region}_{feature}_{suffix}"] = float(first) if math.isfinite(first) else 0.0

    if "shape" in families and nucleus is not None:
        dna = images[list(channels).index(NUCLEUS_CHANNEL)]
        for kind in ("sizeshape", "zernike"):
            keep("Nuclei", "Shape", core[kind](nucleus, dna))
        keep("Nuclei", "Shape", widths)
    for channel, image in zip(channels, images, strict=True):
        stretched = _stretch(image) if {"radial", "texture", "granularity"} & {*families} else image
        if "intensity" in families:
            # The whole tile has no inner edge to search for: those features are 0.
            keep("Cells", channel, core["intensity"](whole, image, edge_measurements=False) | NO_EDGE)
            if nucleus is not None:
                keep("Nuclei", channel, core["intensity"](nucleus, image))
        for family, kind in (("radial", "radial_distribution"), ("texture", "texture"), ("granularity", "granularity")):
            if family in families:
                keep("Cells", channel, core[kind](whole, stretched))
    if "correlation" in families:
        for (first, a), (second, b) in combinations(zip(channels, images, strict=True), 2):
            for kind in ("pearson", "manders_fold", "rwc"):
                keep("Cells", f"{first}_{second}", pairs[kind](a, b, whole))
    return found


def measure_rows(
    tiles: NDArray[np.number[Any]], channels: Sequence[str], families: Sequence[str], scale: float, names: Sequence[str]
) -> NDArray[np.float32]:
    """The features `names` of raw tiles (N, C, H, W), (N, names), in their order; 0 where a tile lacks one.

    For processes of a pool.
    """
    found = measure_tiles(tiles, channels, families, scale)
    return np.array([[each.get(name, 0.0) for name in names] for each in found], dtype=np.float32)


def _stretch(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """To [0, 1] between the 0.1 and 99.9 percentiles: texture counts 256 grey levels, of which raw tiles use few."""
    low, high = np.percentile(image, (0.1, 99.9))
    return np.clip((image - low) / max(high - low, 1e-12), 0, 1)
