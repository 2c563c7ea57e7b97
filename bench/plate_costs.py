"""Processor seconds of one site of the real JUMP field from bytes to tiles, the costs behind docs/scale.md.

Each step is repeated and the median taken: verifying (MD5 and decoding of every channel, the processor's part of a
download), nuclei (decoding DNA, classical segmentation, measurement), tiles (decoding, cutting, writing). The
segmentation alone is compared with an Otsu threshold and watershed of the distance, without and with debris.
"""

import argparse
import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed

from campfire.images.nuclei import NucleiOptions, measure, segment
from campfire.simulate.artefacts import paste

FIELD = Path(__file__).resolve().parents[2] / "shared/data/images/s3_mirror"
PIXEL_UM = 0.597976


def median_seconds(step: Callable[[], object], repeats: int) -> float:
    """Median processor time of a step."""
    times = []
    for _ in range(repeats):
        began = time.process_time()
        step()
        times.append(time.process_time() - began)
    return statistics.median(times)


def otsu_watershed(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Labels of the textbook method, to measure its cost."""
    smooth = ndimage.gaussian_filter(image.astype(np.float32), 2)
    mask = ndimage.binary_fill_holes(smooth > threshold_otsu(smooth))
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(mask), 2)
    peaks = peak_local_max(distance, min_distance=10, labels=ndimage.label(mask)[0])
    markers = np.zeros(image.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return watershed(-distance, markers, mask=mask)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--field", type=Path, default=FIELD, help="folder with the field's TIFFs, at any depth")
    parser.add_argument("--dna", default="ch5", help="part of the DNA channel's file name")
    parser.add_argument("--quick", action="store_true", help="three repeats")
    given = parser.parse_args()
    paths = sorted(path for path in given.field.rglob("*.tiff") if "ch" in path.name)[:8]
    if len(paths) < 5:
        raise SystemExit(f"{given.field}: needs the five TIFFs of a field, has {len(paths)}")
    repeats = 3 if given.quick else 15
    largest = sorted(paths, key=lambda path: path.stat().st_size)[-5:]
    dna = next((path for path in paths if given.dna in path.name), None)
    if dna is None:
        raise SystemExit(f"{given.field}: no TIFF has {given.dna!r} in its name; name DNA's with --dna")

    def verify() -> None:
        for path in largest:
            hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
            tifffile.imread(path)

    def nuclei() -> None:
        image = tifffile.imread(dna)
        measure(segment(image, PIXEL_UM), image, PIXEL_UM, NucleiOptions())

    centres = np.random.default_rng(0).integers(56, 1080 - 56, (150, 2))

    def tiles() -> None:
        field = np.stack([tifffile.imread(path) for path in largest])
        cut = np.stack([field[:, y - 56 : y + 56, x - 56 : x + 56] for y, x in centres])
        with tempfile.NamedTemporaryFile() as handle:
            np.save(handle, cut)

    for name, step in (("verify", verify), ("nuclei", nuclei), ("tiles", tiles)):
        print(f"{name}: {median_seconds(step, repeats):.3f} s a site of {len(largest)} channels, {repeats} repeats")

    image = tifffile.imread(dna)
    empty = np.zeros(image.shape, bool)
    dirty = paste(image, "debris", 20 / PIXEL_UM, offset=600, brightness=4000, occupied=empty, exposure=0.5).image
    plain = median_seconds(lambda: otsu_watershed(image), repeats)
    for name, field in (("segmentation", image), ("segmentation beside debris", dirty)):
        cost = median_seconds(lambda field=field: segment(field, PIXEL_UM), repeats)
        print(f"{name}: {cost:.3f} s a field, {cost / plain:.2f} times Otsu and watershed ({plain:.3f} s)")


if __name__ == "__main__":
    main()
