"""Nuclei without a trained model: local contrast, nested components judged by shape, half-maximum outlines.

The field is first resized so that a nucleus is `WORKING_DIAMETER` px wide; every other length is fixed at that scale.
So the result depends on the diameter in micrometres and the pixel size, not on one microscope's pixels. The constants
were set on five fields of three screens (JUMP U2OS, NF1 Schwann cells, DSB 2018) where the scores are flat around them;
a diameter that is wrong by a factor of 0.7 to 1.4 costs at most a few hundredths of F1.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from campfire.images.nuclei.components import choose_components
from campfire.images.nuclei.debris import Segmentation, remove_debris, with_debris
from campfire.images.resample import background, nearest, resize

WORKING_DIAMETER = 20.0
"""Diameter in px to which nuclei are scaled: large enough to show a nucleus's shape, small enough to be fast."""
TYPICAL_AREA = np.pi / 4 * WORKING_DIAMETER**2

SMOOTHING = 1.0
"""Gaussian sigma in working px."""
NOISE_FACTOR = 3.0
"""A pixel is foreground this many background deviations above the background."""
FAINTEST = 0.08
"""Foreground begins at this fraction of the nuclei's typical brightness; fainter objects are haze or debris."""
CONTRAST_SIGMA = 6.0
"""Sigma of the surroundings, in working px, to which a pixel's log brightness is compared."""
SMALLEST = 0.1
"""Smallest object, in typical areas."""
SATURATED_PIXELS = 50
"""More pixels than this at the largest value are the camera's full scale."""
OUTLINE = 0.43
"""A nucleus ends where the signal falls to this fraction of its own brightness (half maximum, a little outside)."""
BRIGHT = 1.5
"""Beyond this multiple of the median brightness the outline's level grows only with the square root: mitotic nuclei
are bright and blurred, and their half maximum lies well inside them."""


def segment_classical(dna: NDArray[Any], diameter: float) -> Segmentation:
    """The nuclei in `dna` (H, W), in reading order of their first pixels, and the debris beside them.

    diameter: typical diameter of a nucleus in px; right to about a factor of 1.5. Labels are zero everywhere for a
    field without signal.
    """
    scale = WORKING_DIAMETER / diameter
    full = (dna.shape[0], dna.shape[1])
    shape = (max(3, round(full[0] * scale)), max(3, round(full[1] * scale)))
    work = ndimage.gaussian_filter(resize(dna, shape), SMOOTHING, truncate=3.0)
    signal = work - background(work, round(3 * WORKING_DIAMETER))
    cleaned = remove_debris(signal, _saturated(dna, shape), WORKING_DIAMETER, TYPICAL_AREA)
    nuclei = _nuclei(cleaned.signal, full)
    return with_debris(nuclei, nearest(cleaned.debris, full)) if cleaned.count else Segmentation(nuclei)


def _nuclei(signal: NDArray[np.float32], full: tuple[int, int]) -> NDArray[np.int32]:
    """(H, W) labels of the nuclei in `signal` (h, w), at the `full` size."""
    floor = _foreground_level(signal)
    if floor is None:
        return np.zeros(full, dtype=np.int32)
    seeds, count = _seeds_by_contrast(signal, floor)
    if not count:
        return np.zeros(full, dtype=np.int32)
    objects, level = _outline(signal, floor, seeds, count)
    objects = _split_by_shape(objects)
    return _to_full_size(objects, signal - level, full)


def _saturated(dna: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.float32] | None:
    """(h, w) share of each working pixel at the image's largest value; None without a plateau there."""
    full = dna == dna.max()
    return resize(full, shape) if np.count_nonzero(full) > SATURATED_PIXELS else None


def _foreground_level(signal: NDArray[np.float32]) -> float | None:
    """Lowest signal of the foreground; None for a field without foreground."""
    from skimage.filters import threshold_otsu

    sample = signal[::2, ::2]
    if not sample.max() > sample.min():
        return None
    bright = sample > threshold_otsu(sample)
    dark = sample[~bright]
    middle = float(np.median(dark))
    noise = 1.4826 * float(np.median(np.abs(dark - middle)))
    level = max(middle + NOISE_FACTOR * noise, FAINTEST * float(np.median(sample[bright])))
    return level if 0 < level < signal.max() else None


def _seeds_by_contrast(signal: NDArray[np.float32], floor: float) -> tuple[NDArray[np.int32], int]:
    """A seed for every nucleus: components of the log brightness against its surroundings.

    The logarithm makes a dim nucleus beside a bright one as clear as two of equal brightness.
    """
    brightness = np.log(np.maximum(signal, 0) + 0.5 * floor)
    contrast = brightness - ndimage.gaussian_filter(brightness, CONTRAST_SIGMA, truncate=2.5)
    foreground = signal > floor
    low, high = np.quantile(contrast[foreground], (0.01, 0.999))
    landscape = np.where(foreground, contrast, low - 2).astype(np.float32)
    levels = np.concatenate([[low - 1], np.arange(low, high, 0.08)])
    return choose_components(landscape, levels, TYPICAL_AREA, SMALLEST)


def _outline(
    signal: NDArray[np.float32], floor: float, seeds: NDArray[np.int32], count: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Objects grown from their seeds to the outline, and the outline's level at each pixel."""
    from skimage.segmentation import watershed

    pixels = np.flatnonzero(seeds)
    owner, values = seeds.ravel()[pixels], signal.ravel()[pixels]
    order = np.lexsort((values, owner))
    starts = np.searchsorted(owner[order], np.arange(1, count + 2))
    # The upper quintile of the seed: the nucleus's brightness, whatever its texture.
    brightness = values[order][(starts[:-1] + 0.8 * (starts[1:] - starts[:-1])).astype(np.int64)]
    knee = BRIGHT * np.median(brightness)
    brightness = np.where(brightness > knee, np.sqrt(brightness * knee), brightness)
    levels = np.concatenate([[np.inf], OUTLINE * brightness]).astype(np.float32)
    basins = watershed(-signal, seeds, mask=signal > floor)
    # Pixels just outside of the foreground need their neighbour's level for a smooth outline at full size.
    level = levels[np.where(basins > 0, basins, ndimage.grey_dilation(basins, size=3))]
    return np.where(signal > level, basins, 0).astype(np.int32), level


def _split_by_shape(objects: NDArray[np.int32]) -> NDArray[np.int32]:
    """Split objects that are two by outline but not by brightness, where they are narrow."""
    from skimage.segmentation import watershed

    inside = objects > 0
    if not inside.any():
        return objects
    # Pixels on the border of two objects count as outside, so that the distance sees both.
    apart = inside & (ndimage.minimum_filter(objects, 3) == objects)
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(apart).astype(np.float32), 0.7)
    distance[~inside] = 0
    levels = np.arange(0.5, max(float(distance.max()), 1.0), 0.75)
    seeds, _ = choose_components(distance, levels, TYPICAL_AREA, 1.2 * SMALLEST, margin=0.01, eroded=True)
    return watershed(-distance, seeds, mask=inside).astype(np.int32)


def _to_full_size(objects: NDArray[np.int32], excess: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.int32]:
    """Objects at the image's own size, holes filled, specks removed, relabelled in reading order."""
    areas = np.bincount(objects.ravel())
    objects = np.where((areas < SMALLEST * TYPICAL_AREA)[objects], 0, objects).astype(np.int32)
    grown = np.where(objects > 0, objects, ndimage.grey_dilation(objects, size=3)).astype(np.int32)
    # The zero line of the excess over the outline's level, interpolated, is smooth at any magnification.
    bound = resize(np.maximum(excess, -np.abs(excess[np.isfinite(excess)]).max()), shape)
    full = np.where(bound > 0, nearest(grown, shape), 0)
    return _tidy(full)


def _tidy(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Keep each object's largest piece, fill its holes, number from 1 in reading order."""
    out = np.zeros_like(labels)
    boxes = ndimage.find_objects(labels)
    present = [(box[0].start, box[1].start, n) for n, box in enumerate(boxes, 1) if box is not None]
    for number, (_, _, n) in enumerate(sorted(present), 1):
        box = boxes[n - 1]
        mask = labels[box] == n
        pieces, count = ndimage.label(mask)
        if count > 1:
            mask = pieces == np.argmax(np.bincount(pieces.ravel())[1:]) + 1
        # Holes are filled except where they belong to another object.
        mask = ndimage.binary_fill_holes(mask) & (mask | (labels[box] == 0))
        out[box][mask] = number
    return out
