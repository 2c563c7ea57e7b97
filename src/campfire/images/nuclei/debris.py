"""Debris: bright objects that are not cells, separated from bright cells before nuclei are segmented.

A field's brightness is taken from its typical nucleus, one vote per object, never from its brightest pixels: a speck of
dust may be a hundred times as bright. The criterion is the DNA that a nucleus can hold. Metaphase plates and
condensed nuclei of dying cells are up to `BRIGHTEST` times as bright as a resting nucleus, but hold no more than a few
times its DNA; they are cells. An object of more than `RICHEST` nuclei's DNA, or brighter than that, is debris.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

BRIGHTEST = 12.0
"""Brightness, in typical nuclei, above which an object is not a cell."""
RICHEST = 10.0
"""Total signal of an object, in typical nuclei, above which it is no single cell (polyploid cells reach 4 to 8)."""
SUSPECT = 4.0
"""Pixels brighter than this many typical nuclei are examined; most fields have none or only mitotic cells."""
EDGE = 0.3
"""Debris ends where its signal falls to this fraction of its brightness; its halo beyond is subtracted."""
RING = 1.5
"""A halo is at most this multiple of the median at equal distance from the debris."""
REACH = 4.0
"""How far a halo is followed, in diameters of a nucleus."""
MOST_SATURATED = 0.3
"""Share of an object's pixels at full scale above which its brightness is unknown, so that its size decides."""
LARGEST_SATURATED = 3.5
"""Area, in typical nuclei, above which a saturated object is a clump, not a nucleus."""

SHORTEST_FIBRE = 1.2
WIDEST_FIBRE = 0.2
"""A bright object of more than 1.2 nuclei's area that is nowhere wider than twice 0.2 diameters is a fibre."""


@dataclass(frozen=True)
class Segmentation:
    """The objects of one field."""

    labels: NDArray[np.int32]
    """(H, W): nuclei from 1 without a gap, then debris; 0 is background."""
    debris: tuple[int, ...] = ()
    """The labels that are debris: the highest ones."""

    @property
    def nuclei(self) -> NDArray[np.int32]:
        """(H, W) labels of the nuclei only."""
        return np.where(self.labels < self.debris[0], self.labels, 0) if self.debris else self.labels


def with_debris(nuclei: NDArray[np.int32], debris: NDArray[np.int32]) -> Segmentation:
    """Both in one label image (H, W), nuclei first; a pixel of both is the nucleus's."""
    free = np.where(nuclei == 0, debris, 0)
    present = np.flatnonzero(np.bincount(free.ravel(), minlength=1))
    present = present[present > 0]
    first = int(nuclei.max()) + 1
    number = np.zeros(int(free.max()) + 1, dtype=np.int32)
    number[present] = np.arange(first, first + len(present))
    return Segmentation(np.where(free > 0, number[free], nuclei), tuple(range(first, first + len(present))))


def is_debris(signal: NDArray[Any], area: NDArray[Any], typical: tuple[float, float]) -> NDArray[np.bool_]:
    """(N,) which objects cannot be cells, by their mean signal and area relative to a typical nucleus.

    A giant nucleus of normal brightness is not debris: `max_area_um2` handles objects that are only large.
    """
    bright = np.asarray(signal, dtype=np.float64) / typical[0]
    content = bright * np.asarray(area, dtype=np.float64) / typical[1]
    return (bright > BRIGHTEST) | ((content > RICHEST) & (bright > SUSPECT))


@dataclass(frozen=True)
class Cleaned:
    """A field's signal without its debris."""

    signal: NDArray[np.float32]
    """(h, w) signal; zero on debris, without its halo beside it."""
    debris: NDArray[np.int32]
    """(h, w) labels of debris from 1."""
    count: int


def typical_brightness(signal: NDArray[np.float32], typical_area: float) -> float | None:
    """Signal of a typical nucleus: the median over objects, each weighted as at most three nuclei.

    signal: (h, w) above the background. typical_area: of a nucleus, px. None for a field without objects.
    """
    sample = signal[::2, ::2]
    middle = float(np.median(sample))
    noise = 1.4826 * float(np.median(np.abs(sample - middle)))
    if not sample.max() > middle + 6 * noise:
        return None
    # On a logarithmic scale nuclei lie between background and debris, however bright that is. Where debris covers much,
    # the first cut parts it from all else, and the next one down has the nuclei: the cut with the most objects counts.
    # In a field of few nuclei that next cut would lie in the noise, so it is held well above it.
    offset = max(3 * noise, 1e-3 * float(np.quantile(sample, 0.99) - middle))
    scaled = np.log(np.maximum(sample - middle, 0) + offset)
    level, above_noise = _otsu(scaled), float(np.log(6 * noise + offset))
    best = _objects(sample, scaled > level, typical_area / 4)
    below = scaled[scaled <= level]
    lower = _objects(sample, scaled > max(_otsu(below), above_noise), typical_area / 4) if below.size else best
    if len(lower[0]) > 2 * len(best[0]) + 2:
        best = lower
    bright, weight = best
    if not weight.any():
        return None
    order = np.argsort(bright, kind="stable")
    cumulative = np.cumsum(weight[order])
    return float(bright[order][np.searchsorted(cumulative, 0.5 * cumulative[-1])])


def _objects(
    sample: NDArray[np.float32], foreground: NDArray[np.bool_], typical_area: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean signal and weight (area, of three nuclei at most) of the foreground's objects of a third of a nucleus up."""
    labels, count = ndimage.label(foreground)
    area = np.bincount(labels.ravel(), minlength=count + 1)[1:].astype(float)
    bright = np.bincount(labels.ravel(), weights=sample.ravel(), minlength=count + 1)[1:] / area
    large = area >= 0.3 * typical_area
    return bright[large], np.minimum(area[large], 3 * typical_area)


def _otsu(values: NDArray[np.float32]) -> float:
    from skimage.filters import threshold_otsu

    return float(threshold_otsu(values)) if values.max() > values.min() else float(values.max())


def remove_debris(
    signal: NDArray[np.float32], saturated: NDArray[np.float32] | None, diameter: float, typical_area: float
) -> Cleaned:
    """`signal` (h, w) without debris and its halo; the same array object for a field without debris.

    saturated: (h, w) share of each pixel at the camera's full scale, or None. diameter, typical_area: of a nucleus, px.
    """
    none = Cleaned(signal, np.zeros((0, 0), np.int32), 0)
    brightest = float(signal.max())
    typical = typical_brightness(signal, typical_area)
    if typical is None or typical <= 0 or (brightest <= SUSPECT * typical and saturated is None):
        return none
    core = signal > SUSPECT * typical
    if saturated is not None:
        core |= saturated > 0.5
    labels, count = ndimage.label(core)
    if not count:
        return none
    area = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    content = np.bincount(labels.ravel(), weights=signal.ravel(), minlength=count + 1)[1:]
    peak = np.asarray(ndimage.maximum(signal, labels, np.arange(1, count + 1)))
    guilty = (peak > BRIGHTEST * typical) | (content > RICHEST * typical * typical_area)
    if saturated is not None:
        full = np.bincount(labels.ravel(), weights=saturated.ravel(), minlength=count + 1)[1:] / area
        guilty |= (full > MOST_SATURATED) & (area > LARGEST_SATURATED * typical_area)
    boxes = ndimage.find_objects(labels)
    for n in np.flatnonzero(~guilty & (area > SHORTEST_FIBRE * typical_area)).tolist():
        inner = ndimage.distance_transform_edt(np.pad(labels[boxes[n]] == n + 1, 1)).max()
        guilty[n] = inner < WIDEST_FIBRE * diameter
    if not guilty.any():
        return none
    return _subtract(signal, labels, (np.flatnonzero(guilty) + 1).tolist(), peak, typical, diameter)


def _subtract(
    signal: NDArray[np.float32],
    cores: NDArray[np.int32],
    guilty: list[int],
    peak: NDArray[Any],
    typical: float,
    diameter: float,
) -> Cleaned:
    """Grow each core to its edge and remove its halo, but not the nuclei within the halo."""
    from skimage.morphology import reconstruction

    left = signal.copy()
    debris = np.zeros(signal.shape, dtype=np.int32)
    boxes = ndimage.find_objects(cores)
    reach = round(REACH * diameter)
    # The brightest first, so that objects in its halo are then judged without it.
    for n in sorted(guilty, key=lambda n: -peak[n - 1]):
        box = tuple(slice(max(0, side.start - reach), side.stop + reach) for side in boxes[n - 1])
        window, core = left[box], cores[box] == n
        # Above the nuclei, where the camera's range allows it, so that a touching nucleus is not included.
        edge = max(EDGE * peak[n - 1], min(2 * typical, 0.8 * peak[n - 1]))
        body, count = ndimage.label(window > edge)
        touched = np.zeros(count + 1, dtype=bool)
        touched[body[core]] = True
        touched[0] = False
        inside = touched[body] | core
        marker = np.where(inside, window, min(float(window.min()), 0.0)).astype(np.float32)
        halo = reconstruction(marker, window, method="dilation").astype(np.float32)
        halo = np.minimum(halo, _ring_limit(window, inside, reach))
        debris[box][inside & (debris[box] == 0)] = n
        left[box] = np.where(inside, 0, window - np.maximum(halo, 0))
    left[debris > 0] = 0
    labels, count = ndimage.label(debris > 0)
    return Cleaned(left, labels.astype(np.int32), int(count))


def _ring_limit(window: NDArray[np.float32], inside: NDArray[np.bool_], reach: int) -> NDArray[np.float32]:
    """Upper bound of a halo at each pixel: half above the median at its distance from the debris.

    A nucleus that touches debris leads down from it without a dip; the rest of its ring shows how bright the halo is.
    """
    distance = np.minimum(np.rint(ndimage.distance_transform_edt(~inside)).astype(np.int32), reach)
    order = np.lexsort((window.ravel(), distance.ravel()))
    starts = np.searchsorted(distance.ravel()[order], np.arange(reach + 2))
    middles = np.minimum((starts[:-1] + starts[1:]) // 2, order.size - 1)
    ring = np.maximum(window.ravel()[order][middles], 0)
    ring[0] = np.inf
    return (RING * np.minimum.accumulate(ring)).astype(np.float32)[distance]
