"""Somebody else's embeddings: a script that knows nothing of this project but the images and their list.

    python outside_embeddings.py S3_FOLDER TABLE.csv [TABLE.h5ad]

finds cells by its own threshold, describes each by simple numbers of a window, and loses one cell in twenty.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import ndimage
from skimage.filters import gaussian, threshold_otsu
from skimage.io import imread

CHANNELS = ("DNA", "AGP", "Mito")


def listed(folder: Path) -> Iterator[tuple[str, str, str, list[Path]]]:
    """(plate, well, site, paths of the channels) of every site in the lists of images below the folder."""
    for path in sorted(found for found in folder.rglob("load_data*") if found.is_file()):
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
        for row in table.astype(str).to_dict("records"):
            images = []
            for channel in CHANNELS:
                place = row.get(f"URL_Orig{channel}")
                place = place or f"{row[f'PathName_Orig{channel}']}/{row[f'FileName_Orig{channel}']}"
                images.append(folder / place.removeprefix("s3://"))
            yield row["Metadata_Plate"], row["Metadata_Well"], row["Metadata_Site"], images


def describe(images: list[Any], y: float, x: float, half: int = 20) -> Any:
    """Mean, deviation and quantiles of each channel in a window round a cell."""
    top, left = max(0, int(y) - half), max(0, int(x) - half)
    windows = [image[top : top + 2 * half, left : left + 2 * half] for image in images]
    numbers: list[float] = []
    for window in windows:
        numbers += [window.mean(), window.std(), *np.quantile(window, (0.1, 0.5, 0.9, 0.99))]
    return np.log1p(numbers)


def write_anndata(table: pd.DataFrame, path: str) -> None:
    """The numbers as X and the rest as obs, in the layout that anndata writes."""
    import h5py

    numbers = [name for name in table if name.startswith("feature_")]
    with h5py.File(path, "w") as file:
        file.attrs["encoding-type"] = "anndata"
        file["X"] = table[numbers].to_numpy(np.float32)
        obs = file.create_group("obs")
        obs.attrs["column-order"] = [name for name in table if name not in numbers]
        for name in obs.attrs["column-order"]:
            obs[name] = table[name].astype("S" if table[name].dtype == object else float).to_numpy()


def main(folder: str, output: str, anndata: str = "") -> None:
    random = np.random.default_rng(1)
    rows = []
    for plate, well, site, paths in listed(Path(folder)):
        if not all(path.is_file() for path in paths):
            continue
        images = [imread(path).astype(float) for path in paths]
        smooth = gaussian(images[0], 2)
        labels, count = ndimage.label(smooth > threshold_otsu(smooth))
        for y, x in ndimage.center_of_mass(labels > 0, labels, range(1, count + 1)):
            if random.random() >= 0.05:
                rows.append([plate, well, site, y, x, *describe(images, y, x)])
    names = ["plate", "well", "field", "center_y", "center_x"]
    names += [f"feature_{number}" for number in range(len(rows[0]) - len(names))]
    table = pd.DataFrame(rows, columns=names)
    table.to_csv(output, index=False)
    if anndata:
        write_anndata(table, anndata)


if __name__ == "__main__":
    main(*sys.argv[1:])
