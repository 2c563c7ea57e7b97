"""Classical segmentation on real fields with reference nuclei, and away from what it was tuned on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from campfire.core.errors import ConfigError, DataError
from campfire.images.nuclei import drop_edge_objects, match_objects, segment
from support.nuclei_fields import real_dna, simulate_field


def count_interior(labels: Any) -> Any:
    return len(np.unique(drop_edge_objects(labels))) - 1


def test_jump_field(shared: Path) -> None:
    image, reference, pixel_size = real_dna(shared)
    labels = segment(image, pixel_size_um=pixel_size)
    assert labels.dtype == np.int32 and labels.shape == image.shape
    assert match_objects(labels, reference).f1 >= 0.92
    assert abs(count_interior(labels) - 66) <= 6  # the gallery's own count, within 10 %


@pytest.mark.parametrize("well", ["B7", "D6", "F7"])
def test_nf1_fields(shared: Path, well: str) -> None:
    """Schwann cells; the pixel size is not published. Nuclei are 54 to 70 px wide, so 20 um give 0.33 um/px."""
    folder = shared / "data/images/nf1_plate2"
    image = tifffile.imread(next((folder / "images").glob(f"{well}*DAPI*")))
    reference = tifffile.imread(folder / f"reference/{well}_nuclei_labels.tif")
    assert match_objects(segment(image, pixel_size_um=0.33), reference).f1 >= 0.90


def test_dsb_field(shared: Path) -> None:
    """Clumped nuclei of very different brightness, 24 px wide; the pixel size is not published."""
    folder = shared / "data/images/stardist"
    image, reference = tifffile.imread(folder / "img2d.tif"), tifffile.imread(folder / "mask2d.tif")
    assert match_objects(segment(image, pixel_size_um=1.0, diameter_um=25), reference).f1 >= 0.78


@pytest.mark.parametrize("factor", [0.7, 1.4])
def test_tolerates_a_wrong_diameter(shared: Path, factor: float) -> None:
    image, reference, pixel_size = real_dna(shared)
    assert match_objects(segment(image, pixel_size, diameter_um=20 * factor), reference).f1 >= 0.9


@pytest.mark.parametrize("zoom", [0.5, 1.7])
def test_other_magnification_of_the_real_field(shared: Path, zoom: float) -> None:
    image, reference, pixel_size = real_dna(shared)
    image = np.clip(ndimage.zoom(image[:640, :640].astype(np.float32), zoom, order=1), 0, 65535).astype(np.uint16)
    reference = ndimage.zoom(reference[:640, :640], zoom, order=0)
    assert match_objects(segment(image, pixel_size / zoom), reference).f1 >= 0.9


@pytest.mark.parametrize("diameter, count", [(12, 20), (12, 250), (30, 60), (60, 25)])
def test_simulated_density_and_magnification(diameter: int, count: int) -> None:
    image, truth = simulate_field((500, 500), diameter, count, seed=diameter + count)
    score = match_objects(segment(image, pixel_size_um=20 / diameter), truth)
    assert score.n_reference > 0.4 * count
    assert score.f1 >= 0.9


def test_touching_nuclei_are_split() -> None:
    image, truth = simulate_field((500, 500), 30, 130, seed=4, overlap=True)
    score = match_objects(segment(image, pixel_size_um=20 / 30), truth)
    assert score.n_reference > 70
    assert score.f1 >= 0.85


@pytest.mark.parametrize("name", ["constant", "noise", "gradient", "one hot pixel"])
def test_field_without_nuclei(name: str) -> None:
    rng = np.random.default_rng(0)
    image = {
        "constant": np.full((300, 400), 7.0),
        "noise": rng.poisson(300, (600, 600)),
        "gradient": rng.poisson(np.linspace(200, 600, 700) + np.zeros((600, 1))),
        "one hot pixel": rng.poisson(300, (600, 600)) + 60000 * (np.arange(360000).reshape(600, 600) == 1000),
    }[name]
    assert segment(image.astype(np.uint16), pixel_size_um=0.6).max() == 0


def test_one_nucleus_and_repeatability() -> None:
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:300, :300]
    disk = (y - 150) ** 2 + (x - 140) ** 2 < 17**2
    image = rng.poisson(np.where(disk, 2000, 100)).astype(np.uint16)
    labels = segment(image, pixel_size_um=0.6)
    assert labels.max() == 1
    assert abs((labels > 0).sum() / disk.sum() - 1) < 0.15
    assert np.array_equal(labels, segment(image, pixel_size_um=0.6))
    # Brightness units do not matter.
    assert match_objects(labels, segment(image.astype(np.float64) / 65535, pixel_size_um=0.6), iou=0.95).f1 == 1


def test_labels_are_consecutive_and_connected(shared: Path) -> None:
    image, _, pixel_size = real_dna(shared)
    labels = segment(image, pixel_size)
    assert np.array_equal(np.unique(labels), np.arange(labels.max() + 1))
    assert all(ndimage.label(labels == n)[1] == 1 for n in range(1, labels.max() + 1))


def test_what_cannot_be_segmented_is_said() -> None:
    with pytest.raises(DataError, match="2-D"):
        segment(np.zeros((3, 50, 50), np.uint16), 0.6)
    with pytest.raises(DataError, match="finite"):
        segment(np.full((50, 50), np.nan), 0.6)
    with pytest.raises(ConfigError, match="pixel size"):
        segment(np.zeros((50, 50), np.uint16), 0)
    with pytest.raises(ConfigError, match=r"nuclei\.diameter_um: 0 must be at least 1"):
        segment(np.zeros((9, 9), np.uint16), pixel_size_um=0.6, diameter_um=0)
    with pytest.raises(ConfigError, match=r"nuclei\.method"):
        segment(np.zeros((50, 50), np.uint16), 0.6, method="otsu")
