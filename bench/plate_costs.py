"""Processor seconds that a site of the real JUMP field costs from bytes to tiles: the costs behind docs/scale.md.

Each step is repeated and the median taken: verifying (MD5 and decoding of every channel, the processor's part of a
download), nuclei (decoding DNA, classical segmentation, measurement), tiles (decoding, cutting, writing).
"""

import argparse
import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile

from campfire.images.nuclei import NucleiOptions, measure, segment

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--field", type=Path, default=FIELD, help="folder with the field's TIFFs, at any depth")
    parser.add_argument("--quick", action="store_true", help="three repeats")
    given = parser.parse_args()
    paths = sorted(path for path in given.field.rglob("*.tiff") if "ch" in path.name)[:8]
    if len(paths) < 5:
        raise SystemExit(f"{given.field}: needs the five TIFFs of a field, has {len(paths)}")
    repeats = 3 if given.quick else 15
    largest = sorted(paths, key=lambda path: path.stat().st_size)[-5:]
    # The channel that segments into most nuclei is DNA; names differ between sources.
    found = {path: int(segment(tifffile.imread(path), PIXEL_UM).max()) for path in largest}
    dna = max(largest, key=lambda path: found[path])

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


if __name__ == "__main__":
    main()
