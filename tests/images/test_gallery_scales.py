"""Images of a plate are on one scale: bits and micrometres that files state are compared, never ignored."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile

from campfire.core.errors import DataError
from campfire.images.gallery import S3Options, check_source
from campfire.images.gallery.arrange import arrange, find_images
from campfire.images.gallery.folder import FolderClient

SHAPE = (24, 32)
PATTERN = r"(?P<plate>P\d)_(?P<well>[A-H]\d+)_(?P<site>\d)_(?P<channel>\w+)[.]tif"


def write(folder: Path, name: str, seed: int, kind: str = "uint16", **stated: Any) -> None:
    pixels = np.random.default_rng(seed).integers(1, 250, SHAPE).astype(kind)
    folder.mkdir(exist_ok=True)
    tifffile.imwrite(folder / f"{name}.tif", pixels, **stated)


def ome(size: float | None, unit: str | None = None) -> dict[str, Any]:
    metadata: dict[str, Any] = {"axes": "YX"}
    if size is not None:
        metadata |= {"PhysicalSizeX": size, "PhysicalSizeY": size}
    if unit:
        metadata |= {"PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit}
    return {"ome": True, "metadata": metadata}


def imagej(per_unit: float, unit: str) -> dict[str, Any]:
    return {"imagej": True, "resolution": (per_unit, per_unit), "metadata": {"unit": unit}}


def arranged(folder: Path, out: Path) -> pd.DataFrame:
    present = {path.stem.rsplit("_", 1)[-1] for path in folder.iterdir()}
    channels = {old: new for old, new in (("DAPI", "DNA"), ("GFP", "ER")) if old in present}
    images = find_images(folder, PATTERN, channels, "", "mine", "1", out=out)
    return arrange(images, out)


STATED: dict[str, tuple[dict[str, Any], str]] = {
    "OME in um": (ome(0.65), "0.65"),
    "OME in named um": (ome(0.65, "µm"), "0.65"),
    "OME in nm": (ome(650.0, "nm"), "0.65"),
    "OME in mm": (ome(0.00065, "mm"), "0.65"),
    "OME without a size": (ome(None), "not stated"),
    "ImageJ in micron": (imagej(2.0, "micron"), "0.5"),
    "ImageJ in um": (imagej(4.0, "um"), "0.25"),
    "ImageJ in inch": (imagej(300.0, "inch"), "not stated"),
    "dots per inch": ({"resolution": (300, 300), "resolutionunit": "INCH"}, "not stated"),
    "nothing": ({}, "not stated"),
}


@pytest.mark.parametrize(("stated", "size"), list(STATED.values()), ids=list(STATED))
def test_the_pixel_size_of_files_is_logged(stated: dict[str, Any], size: str, tmp_path: Path) -> None:
    for seed, name in enumerate(("P1_A01_1_DAPI", "P1_A01_1_GFP", "P1_B02_1_DAPI", "P1_B02_1_GFP")):
        write(tmp_path / "raw", name, seed, **stated)
    assert arranged(tmp_path / "raw", tmp_path / "out")["pixel_size_um"].tolist() == [size]


@pytest.mark.parametrize(("configured", "difference"), [(0.65, ""), (0.597976, "0.65 um per px, 0.598 was expected")])
def test_the_preflight_compares_it_with_the_config(configured: float, difference: str, tmp_path: Path) -> None:
    for seed, name in enumerate(("P1_A01_1_DAPI", "P1_A01_1_GFP")):
        write(tmp_path / "raw", name, seed, **ome(0.65))
    arranged(tmp_path / "raw", tmp_path / "out")
    options = S3Options(folder=str(tmp_path / "out"), bucket="images", prefix="")
    sheet = pd.DataFrame({"Metadata_Source": ["mine"], "Metadata_Batch": ["1"], "Metadata_Plate": ["P1"]})
    table = check_source(FolderClient(tmp_path / "out"), options, sheet, ["DNA", "ER"], pixel_size_um=configured)
    assert difference in table["difference"][0] and bool(table["difference"][0]) == bool(difference)


MIXED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "8 among 16 bits": ({}, {"kind": "uint8"}, "1 images are uint8 and 3 are uint16"),
    "16 among 8 bits": ({"kind": "uint8"}, {"kind": "uint16"}, "1 images are uint16 and 3 are uint8"),
    "signed among unsigned": ({}, {"kind": "int16"}, "1 images are int16 and 3 are uint16"),
    "20x among 40x": (ome(0.325), ome(0.65), "state pixels of 0.325 and of 0.65 um"),
    "nm among um": (ome(0.65), ome(325.0, "nm"), "state pixels of 0.325 and of 0.65 um"),
    "ImageJ beside OME": (ome(0.65), imagej(1.0, "um"), "state pixels of 0.65 and of 1 um"),
}


@pytest.mark.parametrize(("usual", "odd", "said"), list(MIXED.values()), ids=list(MIXED))
def test_one_image_on_another_scale_is_refused(
    usual: dict[str, Any], odd: dict[str, Any], said: str, tmp_path: Path
) -> None:
    for seed, well in enumerate(("A01", "A02", "B01", "B02")):
        write(tmp_path / "raw", f"P1_{well}_1_DAPI", seed, **(odd if well == "B01" else usual))
    with pytest.raises(DataError, match=said) as error:
        arranged(tmp_path / "raw", tmp_path / "out")
    assert "P1_B01_1_DAPI.tif" in str(error.value)


SAME: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "rounded sizes": (ome(0.65), ome(0.6503)),
    "one without a size": (ome(0.65), {}),
    "the same in other units": (ome(0.65), ome(650.0, "nm")),
}


@pytest.mark.parametrize(("usual", "odd"), list(SAME.values()), ids=list(SAME))
def test_equal_pixel_sizes_pass(usual: dict[str, Any], odd: dict[str, Any], tmp_path: Path) -> None:
    for seed, well in enumerate(("A01", "A02", "B01")):
        write(tmp_path / "raw", f"P1_{well}_1_DAPI", seed, **(odd if well == "B01" else usual))
    assert arranged(tmp_path / "raw", tmp_path / "out")["pixel_size_um"].tolist() == ["0.65"]


def test_channels_may_differ_in_bits(tmp_path: Path) -> None:
    for seed, well in enumerate(("A01", "A02")):
        write(tmp_path / "raw", f"P1_{well}_1_DAPI", seed)
        write(tmp_path / "raw", f"P1_{well}_1_GFP", seed + 10, kind="uint8")
    assert arranged(tmp_path / "raw", tmp_path / "out")["channels"].tolist() == ["DNA, ER"]


@pytest.mark.parametrize(
    ("other", "said"),
    [({"kind": "uint8"}, "plates differ in stored type"), (ome(0.325), "plates differ in pixel size")],
)
def test_plates_on_other_scales_are_reported(
    other: dict[str, Any], said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "raw", "P1_A01_1_DAPI", 1, **ome(0.65))
    write(tmp_path / "raw", "P2_A01_1_DAPI", 2, **other)
    with caplog.at_level(logging.WARNING):
        arranged(tmp_path / "raw", tmp_path / "out")
    assert said in caplog.text
