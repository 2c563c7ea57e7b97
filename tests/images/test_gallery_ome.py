"""Plates in OME-Zarr and multi-channel OME-TIFF are arranged as they are: planes, wells, channels, pixel size."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from campfire import cli
from campfire.core.errors import DataError
from campfire.images.gallery.ome import read_ome, row_letters
from campfire.images.reader import read_image
from support.ome_plates import pixels, write_zarr

LOADED = "mine/workspace/load_data_csv/1/{}/load_data.csv"


def arranged(out: Path, plate: str) -> dict[tuple[str, str, str], np.ndarray]:
    """(well, site, channel) -> pixels, read through the load_data as the images step does."""
    table = pd.read_csv(out / LOADED.format(plate), dtype=str)
    return {
        (row["Metadata_Well"], row["Metadata_Site"], name.removeprefix("URL_Orig")): read_image(
            out / row[name].removeprefix("s3://images/")
        )
        for row in table.to_dict("records")
        for name in table.columns
        if name.startswith("URL_Orig")
    }


@pytest.mark.parametrize("version", [2, 3])
def test_an_ome_zarr_plate(tmp_path: Path, version: int) -> None:
    data = pixels(2, 2, 2, 3)
    path, out = write_zarr(tmp_path / "P7.ome.zarr", data, version), tmp_path / "images"
    ask = ["arrange", str(path), str(out), "--channels", "Hoechst=DNA,WGA=AGP", "--plane"]
    assert cli.main([*ask, "2"]) == 0
    found = arranged(out, "P7")
    assert len(found) == 8
    for well, name in enumerate(("A01", "B12")):
        for site in range(2):
            for channel, stain in enumerate(("DNA", "AGP")):
                np.testing.assert_array_equal(found[name, str(site), stain], data[well, site, channel, 1])
    assert float(pd.read_csv(out / LOADED.format("P7"))["Metadata_ImageResolutionX"].iloc[0]) == pytest.approx(0.65e-6)
    assert cli.main([*ask, "max"]) == 0
    np.testing.assert_array_equal(arranged(out, "P7")["B12", "1", "AGP"], data[1, 1, 1].max(axis=0))


def test_ome_tiff_with_the_well_in_its_name(tmp_path: Path) -> None:
    data, folder, out = pixels(2, 3), tmp_path / "tiffs", tmp_path / "images"
    folder.mkdir()
    metadata = {"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP", "Cy5"]}, "PhysicalSizeX": 0.325}
    for number, image in enumerate(data):
        tifffile.imwrite(folder / f"exp_B0{number + 2}_s1.ome.tif", image, metadata=metadata, photometric="minisblack")
    ask = ["arrange", str(folder), str(out), "--plate", "P1", "--channels", "DAPI=DNA,Cy5=Mito"]
    assert cli.main([*ask, "--pattern", r"_(?P<well>[A-H][0-9]+)_s(?P<site>[0-9]+)"]) == 0
    found = arranged(out, "P1")
    assert set(found) == {(well, "1", stain) for well in ("B02", "B03") for stain in ("DNA", "Mito")}
    np.testing.assert_array_equal(found["B03", "1", "Mito"], data[1, 2])
    assert float(pd.read_csv(out / LOADED.format("P1"))["Metadata_ImageResolutionX"].iloc[0]) == pytest.approx(0.325e-6)


def test_one_ome_tiff_of_a_plate_names_its_wells(tmp_path: Path) -> None:
    data, path, out = pixels(2, 2), tmp_path / "screen.ome.tif", tmp_path / "images"
    with tifffile.TiffWriter(path, ome=True) as writer:
        for image in data:
            writer.write(image, metadata={"axes": "CYX", "Channel": {"Name": ["DNA", "ER"]}}, photometric="minisblack")
    sample = '<WellSample ID="S:{0}" Index="{0}"><ImageRef ID="Image:{0}"/></WellSample>'
    well = f'<Well ID="Well:{{0}}" Row="{{1}}" Column="{{2}}">{sample}</Well>'
    plate = f'<Plate ID="Plate:0" Name="P9">{well.format(0, 0, 4)}{well.format(1, 7, 11)}</Plate>'
    text = tifffile.TiffFile(path).ome_metadata
    tifffile.tiffcomment(path, text.replace("<Image ", plate + "<Image ", 1).encode())
    assert cli.main(["arrange", str(path), str(out)]) == 0
    found = arranged(out, "P9")
    assert set(found) == {(well, "1", stain) for well in ("A05", "H12") for stain in ("DNA", "ER")}
    np.testing.assert_array_equal(found["H12", "1", "ER"], data[1, 1])


def test_what_cannot_be_read_is_explained(tmp_path: Path) -> None:
    path = write_zarr(tmp_path / "P7.zarr", pixels(2, 2, 2, 1).astype(np.float32), 2)
    with pytest.raises(DataError, match="pixels are float32, not counts"):
        read_ome(path, tmp_path / "out")
    field = path / "A/1/0/.zattrs"
    content = json.loads(field.read_text())
    content["omero"]["channels"].pop()
    field.write_text(json.dumps(content))
    with pytest.raises(DataError, match="names 1 channels but holds 2"):
        read_ome(path, tmp_path / "out")
    folder = tmp_path / "tiffs"
    folder.mkdir()
    tifffile.imwrite(folder / "one.ome.tif", pixels(2), metadata={"axes": "CYX"}, photometric="minisblack")
    with pytest.raises(DataError, match="neither its metadata nor its name give the well"):
        read_ome(folder, tmp_path / "out", pattern="(?P<well>[A-H][0-9]+)_")


def test_rows_beyond_z() -> None:
    assert [row_letters(number) for number in (0, 25, 26, 31)] == ["A", "Z", "AA", "AF"]
