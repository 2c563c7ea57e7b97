"""Tiles of plates of other pixel sizes: the same specimen at the same scale."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from numpy.typing import NDArray

from campfire.core.columns import CELL_KEYS, SITE_KEYS
from campfire.core.files import write_table
from campfire.images.tiles import TileOptions, open_plate, write_plate
from campfire.images.tiles.cut import native_size, resample

SIZE = 32
CENTRE = 60.0
"""Centre of the nucleus in the coarse image, px."""


def specimen(pixels: int, scale: float) -> NDArray[np.uint16]:
    """A field with a bright disc and a gradient, sampled with `scale` px per px of the coarse image."""
    axis = (np.arange(pixels) + 0.5) / scale - 0.5
    y, x = np.meshgrid(axis, axis, indexing="ij")
    disc = 1 / (1 + np.exp(np.hypot(y - CENTRE, x - CENTRE) - 8))
    return np.asarray(1000 + 5 * y + 3 * x + 3000 * disc, np.uint16)


def cut_plate(folder: Path, scale: float, pixel_size_um: float, options: TileOptions) -> Path:
    """The tiles of one nucleus of one field."""
    images = folder / "images"
    images.mkdir(parents=True)
    tifffile.imwrite(images / "dna.tiff", specimen(round(120 * scale), scale))
    keys = pd.DataFrame({name: [value] for name, value in zip(SITE_KEYS, ("P", "A01", "1"), strict=True)})
    write_table(keys.assign(path_DNA="dna.tiff"), images / "sites.parquet")
    centre = (CENTRE + 0.5) * scale - 0.5
    nuclei = keys.assign(**{CELL_KEYS[-1]: np.int32(1)}, y=np.float32(centre), x=np.float32(centre), kept=True)
    write_plate(folder / "P.npy", images, nuclei, ["DNA"], options, pixel_size_um=pixel_size_um)
    return folder / "P.npy"


@pytest.mark.parametrize("scale", [2.0, 1.5, 0.75])
def test_a_finer_and_a_coarser_camera_give_the_same_tile(tmp_path: Path, scale: float) -> None:
    options = TileOptions(size=SIZE, pixel_size_um=0.6)
    coarse = open_plate(cut_plate(tmp_path / "coarse", 1.0, 0.6, options))
    other = open_plate(cut_plate(tmp_path / "other", scale, 0.6 / scale, options))
    assert "native_size" not in coarse.metadata and coarse.metadata["pixel_size_um"] == 0.6
    assert other.metadata["native_size"] == round(SIZE * scale) and other.metadata["pixel_size_um"] == 0.6
    assert other.metadata["native_pixel_size_um"] == pytest.approx(0.6 / scale)
    assert other.images.shape == coarse.images.shape and other.images.dtype == np.uint16
    a, b = (plate.images[0, 0].astype(float) for plate in (coarse, other))
    # Half a pixel of rounding of the centre moves the disc's edge; the contrast of the disc is 3,000 counts.
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.99
    assert abs(a.mean() - b.mean()) < 30


def test_without_a_common_scale_tiles_are_cut_as_they_are(tmp_path: Path) -> None:
    path = cut_plate(tmp_path, 2.0, 0.3, TileOptions(size=SIZE))
    store = open_plate(path)
    image = specimen(240, 2.0)
    at = int(np.floor((CENTRE + 0.5) * 2 - 0.5 + 0.5)) - SIZE // 2
    assert np.array_equal(store.images[0, 0], image[at : at + SIZE, at : at + SIZE])
    assert store.metadata["pixel_size_um"] == 0.3


def test_sides_are_even_and_within_a_pixel_of_the_scale() -> None:
    for pixel_size in np.linspace(0.1, 2, 50):
        side = native_size(112, float(pixel_size), 0.6)
        assert side % 2 == 0 and abs(side - 112 * 0.6 / pixel_size) <= 1
    assert native_size(112, None, 0.6) == native_size(112, 0.3, None) == 112


def test_resampling_keeps_flat_images_flat() -> None:
    flat = np.full((2, 3, 48, 48), 700, np.uint16)
    assert np.array_equal(resample(flat, 32), np.full((2, 3, 32, 32), 700, np.float32))
