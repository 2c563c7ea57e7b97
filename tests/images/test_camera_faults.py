"""Images that are no pictures as the plate's others are: another size, dead lines, stripes, dark on bright, 12 bits."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from campfire.core.errors import ConfigError, DataError
from campfire.images.nuclei import NucleiOptions, match_objects, measure, segment, segment_plate
from campfire.images.options import QualityOptions
from campfire.images.quality import measure_site, settle_saturation
from support.nuclei_fields import simulate_field, write_folder

PIXEL = 20 / 30


def site(seed: int, size: tuple[int, int] = (320, 340)) -> NDArray[np.uint16]:
    return simulate_field(size, 30, 14, seed=seed)[0]


def reasons(folder: Path, odd: NDArray[Any], quality: QualityOptions | None = None) -> list[str]:
    """Reasons of the four sites of a plate whose last image is `odd`."""
    images = [site(1), site(2), site(3), odd]
    write_folder(folder, {("A01", str(n)): {"DNA": image} for n, image in enumerate(images, 1)})
    return list(segment_plate(folder, PIXEL, quality=quality)[1]["reason"])


def test_a_site_of_another_size_is_left_out(tmp_path: Path) -> None:
    """Binned 2 x 2 by the camera, or cropped: its nuclei and tiles would have another scale or another middle."""
    binned = site(4).reshape(160, 2, 170, 2).mean(axis=(1, 3)).astype(np.uint16)
    assert reasons(tmp_path / "P1", binned) == ["", "", "", "another size"]
    assert reasons(tmp_path / "P2", site(4)[:300]) == ["", "", "", "another size"]


@pytest.mark.parametrize("kind", ["black band", "black columns", "repeated rows", "padding"])
def test_dead_lines_are_seen(tmp_path: Path, kind: str) -> None:
    image = site(4)
    if kind == "black band":
        image[100:140] = 0
    elif kind == "black columns":
        image[:, ::10] = 0
    elif kind == "repeated rows":
        image[160:] = image[160]
    else:
        image[:, :30] = 512
    assert reasons(tmp_path / "P1", image) == ["", "", "", "dead rows"]
    assert reasons(tmp_path / "P2", image, QualityOptions(dead_max=None, stripes_max=None))[:3] == ["", "", ""]


def test_stripes_are_seen(tmp_path: Path) -> None:
    image = site(4).astype(np.int64)
    image[::2] += 400
    assert reasons(tmp_path / "P1", image.astype(np.uint16)) == ["", "", "", "striped"]


def test_dark_nuclei_on_bright_ground_are_seen(tmp_path: Path) -> None:
    image = site(4)
    assert reasons(tmp_path / "P1", image.max() - image) == ["", "", "", "inverted"]


def test_confluent_nuclei_are_not_called_inverted() -> None:
    image = np.random.default_rng(0).poisson(300, (400, 400))
    rng = np.random.default_rng(1)
    for y in range(0, 400, 25):
        for x in range(0, 400, 25):
            image[y : y + 23, x : x + 23] += rng.poisson(rng.lognormal(7.5, 0.3), (1, 1))
    assert not measure_site({"DNA": image.astype(np.uint16)})["inverted"]


def test_the_full_scale_of_a_camera_is_seen(shared: Path) -> None:
    folder = shared / "data/cases/images/twelve_bit_saturation/inputs"
    images = {"DNA": tifffile.imread(folder / "B02_1_DAPI.tif"), "ER": tifffile.imread(folder / "B02_1_GFP.tif")}
    row = measure_site(images)
    assert row["maximum_ER"] == 4095 and row["saturated_DNA"] == 0
    assert row["saturated_ER"] == pytest.approx((images["ER"] == 4095).mean())
    assert row["saturated_ER"] > 0.02


def test_saturation_is_judged_by_the_plate() -> None:
    import pandas as pd

    rows = pd.DataFrame({"maximum_DNA": [4095.0, 3000.0, 4095.0], "saturated_DNA": [0.1, 0.05, 0.0]})
    settled, bits = settle_saturation(rows)
    assert list(settled["saturated_DNA"]) == [0.1, 0.0, 0.0] and bits == {"DNA": 12}
    kept, _ = settle_saturation(rows, QualityOptions(saturation_value=3000))
    assert list(kept["saturated_DNA"]) == [0.1, 0.05, 0.0]


def test_depth_is_printed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        write_folder(tmp_path / "P1", {("A01", "1"): {"DNA": np.minimum(site(1), 1023)}})
        segment_plate(tmp_path / "P1", PIXEL, quality=QualityOptions(saturated_max=None))
    assert "P1: DNA 10 bits (largest count 1023, full scale in 1 of 1 sites)" in caplog.text


@pytest.mark.parametrize(
    "pixel, tile, message",
    [
        (PIXEL, 24, "nuclei are larger than their tiles of 24 px, the median nucleus is 3"),
        (PIXEL, 256, "tiles of 256 px are mostly background"),
        (PIXEL, 112, ""),
    ],
)
def test_tiles_that_do_not_fit_nuclei(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, pixel: float, tile: int, message: str
) -> None:
    write_folder(tmp_path / "P1", {("A01", "1"): {"DNA": site(1)}, ("A01", "2"): {"DNA": site(2)}})
    segment_plate(tmp_path / "P1", pixel, NucleiOptions(tile_size=tile, border="pad"))
    if message:
        assert message in caplog.text and "set tiles.size to 1" in caplog.text.replace("size to 84", "size to 1")
    else:
        assert "tiles" not in caplog.text


def test_the_case_of_nuclei_larger_than_tiles(shared: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    image = tifffile.imread(shared / "data/cases/images/nuclei_larger_than_tiles/inputs/B02_1_DAPI.tif")
    write_folder(tmp_path / "P1", {("B02", "1"): {"DNA": image}})
    segment_plate(tmp_path / "P1", 0.1)
    assert "2 of 2 nuclei are larger than their tiles of 112 px" in caplog.text
    assert "set tiles.size to " in caplog.text


@pytest.mark.parametrize(
    "value, unit", [(598.0, "nanometres"), (5.98e-7, "metres"), (300.0, "nanometres"), (0.0, "um")]
)
def test_pixel_sizes_that_no_microscope_has(value: float, unit: str) -> None:
    with pytest.raises(ConfigError, match=unit):
        segment(site(1), value)


def test_a_pixel_size_that_the_files_contradict(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_folder(tmp_path / "P1", {("A01", "1"): {"DNA": site(1)}})
    for stated, expected in ((PIXEL, False), (0.325, True)):
        caplog.clear()
        metadata = {"axes": "YX", "PhysicalSizeX": stated, "PhysicalSizeXUnit": "µm"}
        tifffile.imwrite(tmp_path / "P1/A01_1_DNA.tiff", site(1), ome=True, metadata=metadata)
        segment_plate(tmp_path / "P1", PIXEL)
        assert ("states 0.325 um per px, pixel_size_um is 0.6667" in caplog.text) == expected


def test_a_label_on_two_nuclei_is_refused() -> None:
    labels = np.zeros((100, 100), np.int32)
    labels[10:20, 10:20] = labels[70:80, 70:80] = 1
    with pytest.raises(DataError, match="label 1 marks 2 separate objects"):
        measure(labels, np.ones((100, 100), np.uint16), 0.6)
    rows, columns = np.mgrid[:100, :100]
    crescent = ((rows - 50) ** 2 + (columns - 50) ** 2 < 900) & ((rows - 50) ** 2 + (columns - 62) ** 2 > 900)
    assert len(measure(crescent.astype(np.int32), np.ones((100, 100), np.uint16), 0.6)) == 1


def test_uneven_background() -> None:
    """Light from one side, up to three times a nucleus's brightness."""
    image, truth = simulate_field((500, 500), 30, 40, seed=2)
    rows, columns = np.mgrid[:500, :500] / 500
    uneven = image + 6000 * rows**2 + 1500 * np.sin(3 * columns)
    assert match_objects(segment(np.rint(uneven).astype(np.uint16), PIXEL), truth).f1 >= 0.9
