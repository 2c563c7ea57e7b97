"""The table of a plate's sites, decoding, and decoding ahead."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from campfire.core.errors import DataError
from campfire.images.reader import read_image
from campfire.images.sites import channels_of, iterate_sites, read_sites, with_channels
from support.nuclei_fields import write_folder


def make(folder: Any, keys: Any) -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    sites = {key: {c: rng.integers(0, 65536, (40, 50), dtype=np.uint16) for c in ("DNA", "ER")} for key in keys}
    return sites, write_folder(folder, sites)


def test_sites_come_in_plate_order(tmp_path: Path) -> None:
    make(tmp_path, [("B01", "1"), ("A01", "10"), ("A01", "9"), ("A01", "1")])
    table = read_sites(tmp_path)
    order = list(zip(table["Metadata_Well"], table["Metadata_Site"], strict=True))
    assert order == [("A01", "1"), ("A01", "9"), ("A01", "10"), ("B01", "1")]
    assert channels_of(table) == ["DNA", "ER"]


def test_bad_tables_are_said(tmp_path: Path) -> None:
    _, table = make(tmp_path, [("A01", "1"), ("A01", "2")])
    path = tmp_path / "sites.parquet"
    for change, message in (
        (table.iloc[:0], "no site"),
        (table.drop(columns="Metadata_Well"), "no column Metadata_Well"),
        (table.assign(Metadata_Site="1"), "well A01 site 1 occurs twice"),
        (table.assign(Metadata_Plate=["P1", "P2"]), "names 2 plates"),
    ):
        change.to_parquet(path)
        with pytest.raises(DataError, match=message):
            read_sites(tmp_path)


def test_sites_that_lack_a_channel(tmp_path: Path) -> None:
    _, table = make(tmp_path, [("A01", "1"), ("A01", "2"), ("A01", "3")])
    table.loc[0, "path_ER"] = None
    table.loc[1, "path_ER"] = ""
    assert list(with_channels(table, ["DNA", "ER"], tmp_path)["Metadata_Site"]) == ["3"]
    assert len(with_channels(table, ["DNA"], tmp_path)) == 3
    with pytest.raises(DataError, match=r"channel Mito was not fetched for this plate \(it has DNA, ER\)"):
        with_channels(table, ["Mito"], tmp_path)


@pytest.mark.parametrize("compression", ["lzw", None])
def test_images_are_read_exactly(tmp_path: Path, compression: str | None) -> None:
    image = np.random.default_rng(0).integers(0, 65536, (64, 50), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tiff", image, compression=compression)
    assert np.array_equal(read_image(tmp_path / "a.tiff"), image)


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.tiff: no such image"):
        read_image(tmp_path / "a.tiff")
    for content in (b"", b"not a tiff", b"II*\x00" + bytes(100)):
        (tmp_path / "a.tiff").write_bytes(content)
        with pytest.raises(
            DataError, match=r"a\.tiff: (zero-filled or empty|neither TIFF nor PNG|not a readable TIFF)"
        ):
            read_image(tmp_path / "a.tiff")
    tifffile.imwrite(tmp_path / "a.tiff", np.zeros((3, 4, 5), np.uint16), photometric="minisblack")
    with pytest.raises(DataError, match="a stack of 3 planes"):
        read_image(tmp_path / "a.tiff")


@pytest.mark.parametrize("compression", ["lzw", None])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_an_image_cut_short_is_never_read_as_whole(tmp_path: Path, compression: str | None, share: float) -> None:
    image = np.random.default_rng(0).integers(0, 500, (300, 300), dtype=np.uint16)
    path = tmp_path / "a.tiff"
    tifffile.imwrite(path, image, compression=compression)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(DataError, match=r"a\.tiff: "):
        read_image(path)


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_sites_are_decoded_in_order(tmp_path: Path, threads: int) -> None:
    keys = [("A01", str(n)) for n in range(1, 8)]
    sites, _ = make(tmp_path, keys)
    seen = list(iterate_sites(tmp_path, read_sites(tmp_path), ["ER"], threads=threads))
    assert [(site.well, site.site) for site in seen] == keys
    for site in seen:
        assert list(site.images) == ["ER"]
        assert np.array_equal(site.images["ER"], sites[(site.well, site.site)]["ER"])


def test_channels_of_a_site_must_agree_in_shape(tmp_path: Path) -> None:
    make(tmp_path, [("A01", "1")])
    tifffile.imwrite(tmp_path / "A01_1_ER.tiff", np.ones((40, 40), np.uint16))
    with pytest.raises(DataError, match="plate P1 well A01 site 1: ER has shape"):
        list(iterate_sites(tmp_path, read_sites(tmp_path), ["DNA", "ER"]))


def test_decoding_stops_when_the_reader_does(tmp_path: Path) -> None:
    make(tmp_path, [("A01", str(n)) for n in range(1, 6)])
    (tmp_path / "A01_4_DNA.tiff").write_bytes(b"")
    reader = iterate_sites(tmp_path, read_sites(tmp_path), ["DNA"], threads=1)
    assert next(reader).site == "1"
    reader.close()


def test_rooms_import_no_torch() -> None:
    rooms = ("nuclei", "tiles", "quality", "illumination")
    code = f"import sys, {', '.join(f'campfire.images.{room}' for room in rooms)}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "cellpose", "matplotlib", "snakemake"} & set(loaded)
