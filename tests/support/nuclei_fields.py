"""Simulated fields of nuclei with the truth, and image folders as the images stage writes them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tifffile
from scipy import ndimage

CHANNEL_FILES = {"DNA": 5, "AGP": 2, "Mito": 1, "ER": 4, "RNA": 3}
"""Channel number in the file names of the real field (source_4)."""


def simulate_field(shape: Any, diameter: Any, count: Any, seed: Any, overlap: bool = False) -> tuple[Any, ...]:
    """A DNA image (H, W) uint16 and its labels: textured ellipses of varying brightness, blur, haze and shot noise."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, dtype=np.int32)
    signal = np.zeros(shape, dtype=np.float32)
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    for _ in range(count * 10):
        if labels.max() == count:
            break
        y, x = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        long, short = diameter / 2 * rng.uniform(0.95, 1.3), diameter / 2 * rng.uniform(0.75, 0.95)
        angle = rng.uniform(0, np.pi)
        reach = int(long) + 3
        box = np.s_[max(0, int(y) - reach) : int(y) + reach, max(0, int(x) - reach) : int(x) + reach]
        dy, dx = rows[box] - y, columns[box] - x
        u, v = dy * np.cos(angle) + dx * np.sin(angle), dx * np.cos(angle) - dy * np.sin(angle)
        inside = (u / long) ** 2 + (v / short) ** 2 < 1
        taken = (labels[box] > 0) & inside
        if taken.sum() > (0.1 if overlap else 0.0) * inside.sum() or not inside.any():
            continue
        inside &= ~taken
        labels[box][inside] = labels.max() + 1
        signal[box][inside] = rng.lognormal(np.log(2000), 0.35)
    texture = ndimage.gaussian_filter(rng.standard_normal(shape), diameter / 12)
    signal *= 1 + 0.15 * texture / texture.std()
    signal = ndimage.gaussian_filter(signal, max(0.5, diameter / 25))
    haze = ndimage.gaussian_filter(signal, diameter) * 0.15
    image = rng.poisson(np.clip(signal + haze + 300, 0, None)) + rng.normal(0, 8, shape)
    return np.clip(image, 0, 65535).astype(np.uint16), labels


def real_dna(shared: Path) -> tuple[Any, ...]:
    """The DNA image and reference labels of the real JUMP field, and its pixel size in micrometres."""
    image = tifffile.imread(next((shared / "data/images/s3_mirror").rglob("*ch5sk1fk1fl1.tiff")))
    folder = shared / "data/images/reference/jump_BR00117035_A01_s1"
    return image, tifffile.imread(folder / "nuclei_labels_from_outlines.tif"), 0.598


def write_folder(folder: Path, sites: dict, plate: str = "P1") -> pd.DataFrame:
    """Write images as the images stage lays them out. sites: (well, site) -> {channel: uint16 image}."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for (well, site), images in sites.items():
        row = {"Metadata_Plate": plate, "Metadata_Well": well, "Metadata_Site": site}
        for channel, image in images.items():
            row[f"path_{channel}"] = f"{well}_{site}_{channel}.tiff"
            tifffile.imwrite(folder / row[f"path_{channel}"], image, compression="lzw")
        rows.append(row)
    table = pd.DataFrame(rows)
    table.to_parquet(folder / "sites.parquet")
    return table


def real_folder(shared: Path, folder: Path) -> Path:
    """The real field as an image folder; the TIFFs are links to the gallery's own bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    row = {"Metadata_Plate": "BR00117035", "Metadata_Well": "A01", "Metadata_Site": "1"}
    for channel, number in CHANNEL_FILES.items():
        source = next((shared / "data/images/s3_mirror").rglob(f"*ch{number}sk1fk1fl1.tiff"))
        row[f"path_{channel}"] = f"A01_1_{channel}.tiff"
        (folder / row[f"path_{channel}"]).symlink_to(source)
    pd.DataFrame([row]).to_parquet(folder / "sites.parquet")
    return folder
