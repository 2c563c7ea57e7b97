"""Nuclei by thresholding and watershed; every scale follows from the expected diameter of a nucleus."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def segment_classical(dna: NDArray[Any], diameter: float) -> NDArray[np.int32]:
    """(H, W) int32 labels of the nuclei in `dna` (H, W); diameter: typical diameter of a nucleus in px."""
    from skimage.feature import peak_local_max
    from skimage.filters import threshold_otsu
    from skimage.segmentation import watershed

    smooth = ndimage.gaussian_filter(dna.astype(np.float32), 0.03 * diameter)
    mask = ndimage.binary_fill_holes(smooth > threshold_otsu(smooth))
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(mask), 0.06 * diameter)
    peaks = peak_local_max(distance, min_distance=max(1, int(0.25 * diameter)), labels=ndimage.label(mask)[0])
    seeds = np.zeros(dna.shape, dtype=np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return watershed(-distance, seeds, mask=mask).astype(np.int32)
