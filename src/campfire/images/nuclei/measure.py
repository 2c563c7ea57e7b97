"""From labels to a table: position, size and box of every nucleus, and whether it becomes a tile."""

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core.columns import NUCLEUS
from campfire.core.errors import DataError
from campfire.images.nuclei.debris import is_debris
from campfire.images.options import NucleiOptions
from campfire.images.tiles.cut import fits

DEBRIS = "debris"
REASONS = (DEBRIS, "edge", "border", "small", "large")
"""Why a nucleus is left out, in the order in which the reasons are tried."""


def measure(
    labels: NDArray[np.integer[Any]],
    dna: NDArray[Any],
    pixel_size_um: float,
    options: NucleiOptions | None = None,
    debris: Collection[int] = (),
) -> pd.DataFrame:
    """One row per object of a field, by label.

    labels: (H, W) integers, 0 is background. dna: (H, W) counts. Columns: the label as key, `y`, `x` (centroid, px,
    float32), `area` (px), `bbox_y0, bbox_x0, bbox_y1, bbox_x1` (px, half open), `intensity` (mean of `dna`, counts),
    `signal` (`intensity` above the field's background, counts), `kept` and `reason`, empty when kept: `debris` (a label
    in `debris`, or too bright for a cell beside the field's other objects), `edge` (cut by the field's edge), `border`
    (its tile does not fit; only with border: drop), `small`, `large`.

    Raises DataError when the shapes differ, or when a label marks separate objects.
    """
    from scipy.ndimage import find_objects

    options = options or NucleiOptions()
    if labels.shape != dna.shape:
        raise DataError(f"labels have shape {labels.shape}, the DNA image {dna.shape}")
    # All sums run over the foreground only, which is a small part of a field.
    rows, columns = np.nonzero(labels)
    index = labels[rows, columns].astype(np.int64)
    area = np.bincount(index)
    present = np.flatnonzero(area)
    area = area[present]

    def mean(values: NDArray[Any]) -> NDArray[np.float32]:
        return (np.bincount(index, weights=values)[present] / area).astype(np.float32)

    y, x, intensity = mean(rows), mean(columns), mean(dna[rows, columns])
    objects = find_objects(labels.astype(np.int32, copy=False))
    boxes = np.array(
        [[s.start for s in objects[k - 1]] + [s.stop for s in objects[k - 1]] for k in present], dtype=np.int32
    ).reshape(-1, 4)
    _refuse_scattered(labels, present, area, boxes)
    signal = intensity - _background(labels, dna)
    dirt = np.isin(present, np.array(list(debris), dtype=np.int64)) | _too_bright(signal, area)
    whole = (boxes[:, :2] > 0).all(axis=1) & (boxes[:, 2:] < labels.shape).all(axis=1)
    reason = _reasons(area * pixel_size_um**2, whole, fits(y, x, labels.shape, options.tile_size), dirt, options)
    return pd.DataFrame(
        {
            NUCLEUS: present.astype(np.int32),
            "y": y,
            "x": x,
            "area": area.astype(np.int32),
            "bbox_y0": boxes[:, 0],
            "bbox_x0": boxes[:, 1],
            "bbox_y1": boxes[:, 2],
            "bbox_x1": boxes[:, 3],
            "intensity": intensity,
            "signal": signal,
            "kept": reason == "",
            "reason": reason,
        }
    )


def _reasons(
    area_um2: NDArray[Any],
    whole: NDArray[np.bool_],
    fitting: NDArray[np.bool_],
    dirt: NDArray[np.bool_],
    options: NucleiOptions,
) -> NDArray[np.object_]:
    """Why each object is left out, "" when it is kept: the first of `REASONS` that applies."""
    reason = np.full(len(area_um2), "", dtype=object)
    for text, applies in (
        ("large", area_um2 > options.max_area_um2),
        ("small", area_um2 < options.min_area_um2),
        ("border", (options.border == "drop") & ~fitting),
        ("edge", ~whole),
        (DEBRIS, dirt),
    ):
        reason[applies] = text
    return reason


def _refuse_scattered(
    labels: NDArray[np.integer[Any]], present: NDArray[np.int64], area: NDArray[np.int64], boxes: NDArray[np.int32]
) -> None:
    """Raise a DataError for a label on separate objects: their common centroid would lie on neither."""
    from scipy.ndimage import label

    extent = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for k in np.flatnonzero(area < 0.5 * extent):
        top, left, bottom, right = boxes[k]
        pieces, count = label(labels[top:bottom, left:right] == present[k], structure=np.ones((3, 3)))
        sizes = np.sort(np.bincount(pieces.ravel())[1:])
        if count > 1 and sizes[-2] > 0.1 * area[k]:
            raise DataError(
                f"label {present[k]} marks {count} separate objects ({top}:{bottom}, {left}:{right} px); number every "
                "nucleus of a field separately, also in a label image assembled from parts"
            )


FEWEST = 5
"""Fewest objects from which a field defines the typical nucleus; with fewer, the plate does (`segment_plate`)."""


def _background(labels: NDArray[np.integer[Any]], dna: NDArray[Any]) -> np.float32:
    """Median count beside the objects, from every fourth pixel of every fourth row."""
    beside = dna[::4, ::4][labels[::4, ::4] == 0]
    return np.float32(np.median(beside)) if beside.size else np.float32(0)


def _too_bright(signal: NDArray[np.float32], area: NDArray[np.int64]) -> NDArray[np.bool_]:
    typical = float(np.median(signal)) if len(signal) else 0.0
    if len(signal) < FEWEST or typical <= 0:
        return np.zeros(len(signal), dtype=bool)
    return is_debris(signal, area, (typical, float(np.median(area))))


NUCLEI_PER_TILE = 112 * 0.598 / 20
"""Side of the paper's tile in diameters of a nucleus (112 px at 0.598 um per px; 20 um)."""


def advise_tile_size(nuclei: pd.DataFrame, tile_size: int) -> str:
    """Advice if nuclei are larger than their tiles, or tiles are mostly background; "" if they fit.

    nuclei: rows of `measure`, of a plate. A nucleus is larger than its tile when its box is; tiles are mostly
    background when the nucleus in them covers less than about a fiftieth (a sixth of the side).
    """
    whole = nuclei[~nuclei["reason"].isin([DEBRIS, "edge", "small"])]
    if whole.empty:
        return ""
    box = whole[["bbox_y0", "bbox_x0", "bbox_y1", "bbox_x1"]].to_numpy()
    side = (box[:, 2:] - box[:, :2]).max(axis=1)
    middle = float(np.median(side))
    larger = int((side > tile_size).sum())
    fitting = max(28, round(NUCLEI_PER_TILE * middle / 28) * 28)
    remedy = f"set tiles.size to {fitting} (as many nuclei wide as the paper's tiles), or check pixel_size_um"
    if larger > 0.05 * len(side):
        sizes = f"tiles of {tile_size} px, the median nucleus is {middle:.0f} px wide"
        return f"{larger} of {len(side)} nuclei are larger than their {sizes}; {remedy}"
    if middle < tile_size / 6:
        return f"tiles of {tile_size} px are mostly background, a nucleus is {middle:.0f} px wide (median); {remedy}"
    return ""
