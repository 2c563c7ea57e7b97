"""Cutting tiles and writing the store."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile

from campfire.core.errors import ConfigError, DataError
from campfire.core.files import read_table_metadata
from campfire.images.nuclei import describe, segment_plate
from campfire.images.options import NucleiOptions
from campfire.images.tiles import TileOptions, fits, open_plate, origins, write_plate
from campfire.images.tiles.cut import cut
from support.nuclei_fields import CHANNEL_FILES, real_folder
from support.tile_plates import CHANNELS, KEYS, make_plate


def expected_tile(images: Any, cell: Any, channel: Any) -> Any:
    y, x = int(np.floor(cell.y + np.float32(0.5))), int(np.floor(cell.x + np.float32(0.5)))
    image = images[(cell.Metadata_Well, cell.Metadata_Site)][channel]
    return image[y - 56 : y + 56, x - 56 : x + 56]


def test_origins_and_fits() -> None:
    assert origins([55.5, 56.4, 99.49], [56, 56, 56]).tolist() == [[0, 0], [0, 0], [43, 0]]
    assert fits([55.4, 55.5, 143.5, 144.4, 144.5], [100] * 5, (200, 200)).tolist() == [False, True, True, True, False]
    assert fits([], [], (200, 200)).tolist() == []


def test_cut_reflects_at_the_edge() -> None:
    image = np.arange(40 * 50, dtype=np.uint16).reshape(40, 50)
    tile = cut({"DNA": image}, [3.0], [46.0], ["DNA"], size=16)[0, 0]
    assert np.array_equal(tile, np.pad(image, 20, mode="reflect")[3 - 8 + 20 : 3 + 8 + 20, 46 - 8 + 20 : 46 + 8 + 20])
    assert np.array_equal(tile[5:, :12], image[:11, 38:])
    with pytest.raises(DataError, match="outside its field"):
        cut({"DNA": image}, [41.0], [10.0], ["DNA"], size=16)
    with pytest.raises(DataError, match="too small"):
        cut({"DNA": image}, [3.0], [10.0], ["DNA"], size=112)


def test_every_tile_is_the_crop_of_its_image(plate: tuple[Any, ...]) -> None:
    path, images, nuclei = plate
    tiles = open_plate(path)
    assert tiles.images.shape == (44, 2, 112, 112) and tiles.images.dtype == np.uint16
    assert isinstance(tiles.images, np.memmap) and tiles.channels == CHANNELS
    cells = tiles.index.merge(nuclei, on=KEYS, how="left", validate="one_to_one")
    assert len(cells) == nuclei["kept"].sum() and cells["kept"].all()
    for cell in cells.itertuples():
        for c, channel in enumerate(CHANNELS):
            assert np.array_equal(tiles.images[cell.row, c], expected_tile(images, cell, channel))


def test_order_wells_are_contiguous_and_sites_numeric(plate: tuple[Any, ...]) -> None:
    index = open_plate(plate[0]).index
    assert list(index["Metadata_Well"]) == ["A01"] * 22 + ["B02"] * 22
    assert list(index["Metadata_Site"][:22].drop_duplicates()) == [str(n) for n in range(1, 12)]
    assert list(index["Metadata_Nucleus"][:4]) == [1, 3, 1, 3]
    assert open_plate(plate[0]).well("B02") == slice(22, 44)
    assert open_plate(plate[0]).well("C03") == slice(0, 0)


def test_read_in_two_lines_without_the_library(plate: tuple[Any, ...]) -> None:
    tiles = np.load(plate[0], mmap_mode="r")
    index = pd.read_parquet(plate[0].with_suffix(".parquet"))
    assert len(tiles) == len(index)


def test_metadata_describes_the_array(plate: tuple[Any, ...]) -> None:
    metadata = read_table_metadata(plate[0].with_suffix(".parquet"))
    assert metadata["channels"] == CHANNELS and metadata["shape"] == [44, 2, 112, 112]
    assert metadata["dtype"] == "uint16" and metadata["ranges"] is None
    assert metadata["pixel_size_um"] == 0.6 and metadata["segmentation"] == {"method": "classical"}
    assert metadata["illumination"] == "none" and metadata["illumination_functions"] is None
    assert metadata["software"].startswith("campfire ")
    assert set(metadata["wells"]) == {"A01", "B02"} and metadata["bytes"] == plate[0].stat().st_size
    assert open_plate(plate[0].with_suffix("")).path == open_plate(plate[0].with_suffix(".parquet")).path == plate[0]


def test_same_input_same_bytes(plate: tuple[Any, ...], tmp_path: Path) -> None:
    again = tmp_path / "again/P1.npy"
    write_plate(again, tmp_path / "images/P1", plate[2], CHANNELS, pixel_size_um=0.6, threads=0)
    assert again.read_bytes() == plate[0].read_bytes()
    assert open_plate(again).metadata["digest"] == open_plate(plate[0]).metadata["digest"]


def test_channels_are_chosen_and_ordered(plate: tuple[Any, ...], tmp_path: Path) -> None:
    write_plate(tmp_path / "er.npy", tmp_path / "images/P1", plate[2], ["ER"])
    assert np.array_equal(open_plate(tmp_path / "er.npy").images[:, 0], open_plate(plate[0]).images[:, 1])
    with pytest.raises(DataError, match="channel RNA was not fetched"):
        write_plate(tmp_path / "rna.npy", tmp_path / "images/P1", plate[2], ["RNA"])


def test_real_field_byte_for_byte(shared: Path, tmp_path: Path) -> None:
    folder = real_folder(shared, tmp_path / "BR00117035")
    nuclei, _ = segment_plate(folder, 0.598)
    channels = list(CHANNEL_FILES)
    write_plate(tmp_path / "t.npy", folder, nuclei, channels, segmentation=describe(NucleiOptions(), 0.598))
    tiles = open_plate(tmp_path / "t.npy", verify="full")
    assert tiles.images.shape[1:] == (5, 112, 112) and len(tiles) == nuclei["kept"].sum() > 50
    cells = tiles.index.merge(nuclei, on=KEYS)
    for c, channel in enumerate(channels):
        image = tifffile.imread(folder / f"A01_1_{channel}.tiff")
        for cell in cells.itertuples():
            y, x = int(np.floor(cell.y + 0.5)), int(np.floor(cell.x + 0.5))
            crop = image[y - 56 : y + 56, x - 56 : x + 56]
            assert tiles.images[cell.row, c].tobytes() == crop.tobytes()


def test_uint8_by_recorded_range(tmp_path: Path) -> None:
    images, nuclei = make_plate(tmp_path / "P1", n_sites=2)
    ranges = {"DNA": [1000, 61000], "ER": [0, 65535]}
    write_plate(tmp_path / "t.npy", tmp_path / "P1", nuclei, CHANNELS, TileOptions(dtype="uint8", ranges=ranges))
    tiles = open_plate(tmp_path / "t.npy", verify="full")
    assert tiles.images.dtype == np.uint8 and tiles.metadata["ranges"] == ranges
    cell = tiles.index.merge(nuclei, on=KEYS).iloc[5]
    truth = np.stack([expected_tile(images, cell, channel) for channel in CHANNELS]).astype(np.float32)
    truth[0] = np.clip(truth[0], 1000, 61000)
    step = np.array([60000, 65535])[:, None, None] / 255
    assert (np.abs(tiles.counts([cell["row"]])[0] - truth) <= step / 2 + 0.1).all()


def test_uint8_range_is_sampled_from_the_plate(tmp_path: Path) -> None:
    _, nuclei = make_plate(tmp_path / "P1", n_sites=4)
    options = TileOptions(dtype="uint8", range_sites=3, range_quantiles=[0.1, 0.9])
    write_plate(tmp_path / "t.npy", tmp_path / "P1", nuclei, CHANNELS, options)
    low, high = open_plate(tmp_path / "t.npy").metadata["ranges"]["ER"]
    assert low == pytest.approx(6553, abs=300) and high == pytest.approx(58982, abs=300)
    with pytest.raises(ConfigError, match="no range for channel ER"):
        write_plate(
            tmp_path / "u.npy", tmp_path / "P1", nuclei, CHANNELS, TileOptions(dtype="uint8", ranges={"DNA": [0, 9]})
        )


def test_illumination_is_divided_out(tmp_path: Path) -> None:
    images, nuclei = make_plate(tmp_path / "P1", n_sites=1)
    function = np.linspace(1, 2, 160, dtype=np.float32) + np.zeros((150, 1), np.float32)
    for channel in CHANNELS:
        np.save(tmp_path / f"P1/illum_{channel}.npy", function)
    write_plate(tmp_path / "t.npy", tmp_path / "P1", nuclei, CHANNELS, illumination="gallery")
    tiles = open_plate(tmp_path / "t.npy")
    assert tiles.metadata["illumination"] == "gallery"
    assert tiles.metadata["illumination_functions"] == dict.fromkeys(CHANNELS, sha256(function.tobytes()).hexdigest())
    cell = tiles.index.merge(nuclei, on=KEYS).iloc[0]
    corrected = {key: {c: np.rint(image / function) for c, image in site.items()} for key, site in images.items()}
    assert np.array_equal(tiles.images[0, 1], expected_tile(corrected, cell, "ER"))


def test_border_rules(tmp_path: Path) -> None:
    images, nuclei = make_plate(tmp_path / "P1", n_sites=1)
    nuclei.loc[0, ["y", "kept"]] = [20.0, True]
    with pytest.raises(DataError, match=r"plate P1 well .* no room for a tile"):
        write_plate(tmp_path / "t.npy", tmp_path / "P1", nuclei, CHANNELS)
    write_plate(tmp_path / "t.npy", tmp_path / "P1", nuclei, CHANNELS, TileOptions(border="pad"))
    tiles = open_plate(tmp_path / "t.npy")
    row = tiles.index.merge(nuclei, on=KEYS).query("y == 20")["row"].iloc[0]
    image = images[(nuclei["Metadata_Well"][0], nuclei["Metadata_Site"][0])]["DNA"]
    x = int(np.floor(nuclei["x"][0] + 0.5))
    assert np.array_equal(tiles.images[row, 0], np.pad(image, ((36, 0), (0, 0)), mode="reflect")[:112, x - 56 : x + 56])


def test_tables_that_do_not_belong_together(tmp_path: Path) -> None:
    _, nuclei = make_plate(tmp_path / "P1", n_sites=2)
    out = tmp_path / "t.npy"
    with pytest.raises(DataError, match="plate P1: none of its 12 nuclei is kept"):
        write_plate(out, tmp_path / "P1", nuclei.assign(kept=False), CHANNELS)
    with pytest.raises(DataError, match="plate P1 well A01 site 9: 8 nuclei have no image"):
        write_plate(out, tmp_path / "P1", nuclei.assign(Metadata_Well="A01", Metadata_Site="9"), CHANNELS)
    with pytest.raises(DataError, match="names a nucleus twice"):
        write_plate(out, tmp_path / "P1", pd.concat([nuclei, nuclei]), CHANNELS)
    with pytest.raises(DataError, match="no column y"):
        write_plate(out, tmp_path / "P1", nuclei.drop(columns="y"), CHANNELS)
    with pytest.raises(DataError, match=r"sites\.parquet: no such table"):
        write_plate(out, tmp_path / "P2", nuclei, CHANNELS)
    assert not out.exists()


def test_options_are_checked() -> None:
    for bad in ({"size": 111}, {"border": "crop"}, {"dtype": "float32"}):
        with pytest.raises(ConfigError, match=r"tiles\."):
            TileOptions(**bad)
