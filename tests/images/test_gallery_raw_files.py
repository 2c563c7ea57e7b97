"""The user's own files: never changed, links followed, the same picture in two places found, lists as people have."""

import errno
import os
import stat
from pathlib import Path

import imagecodecs
import numpy as np
import pandas as pd
import pytest
import tifffile

from campfire.core.errors import ConfigError, DataError
from campfire.images.gallery import S3Options, fetch_plate, plan_download
from campfire.images.gallery.arrange import BUCKET, arrange, find_images, main, read_list
from campfire.images.gallery.connect import connect
from campfire.images.sites import read_site, read_sites

PATTERN = r"(?P<well>[A-P]\d+)_(?P<site>\d+)_(?P<channel>[A-Z]+)[.]"


def image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 900, (20, 24)).astype(np.uint16)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    for number, name in enumerate(("B02_1_DAPI", "B02_1_GFP", "B02_2_DAPI", "B02_2_GFP")):
        tifffile.imwrite(folder / f"{name}.tif", image(number))
    return folder


def state(folder: Path) -> dict[str, tuple[int, ...]]:
    return {
        path.name: (s.st_mode, s.st_mtime_ns, s.st_ctime_ns, s.st_nlink, s.st_ino, s.st_size)
        for path in sorted(folder.iterdir())
        for s in [path.lstat()]
    }


@pytest.mark.parametrize("copy", [False, True])
def test_raw_files_are_unchanged(raw: Path, tmp_path: Path, copy: bool) -> None:
    for path in raw.iterdir():
        path.chmod(0o440)
    before = state(raw)
    out = tmp_path / "out"
    for _ in range(2):  # arranging again replaces the links, not what they lead to
        arrange(find_images(raw, PATTERN, plate="P1"), out, copy)
    options = S3Options(folder=str(out), bucket=BUCKET, prefix="", disk_reserve_gb=0)
    client = connect(options)
    plan, _ = plan_download(client, options, "mine", "1", "P1", ["B02"], ["DAPI", "GFP"])
    fetch_plate(client, plan, tmp_path / "P1", options)
    assert state(raw) == before
    sites = read_sites(tmp_path / "P1")
    for path in (tmp_path / "P1").glob("*.tiff"):
        assert not path.is_symlink() and stat.S_IMODE(path.stat().st_mode) & 0o200
    np.testing.assert_array_equal(
        read_site(tmp_path / "P1", sites.to_dict("records")[1], ["GFP"]).images["GFP"], image(3)
    )
    assert all(path.is_symlink() != copy for path in out.rglob("*.tiff"))


def test_an_older_hard_link_is_replaced_not_written_through(raw: Path, tmp_path: Path) -> None:
    target = tmp_path / "out/mine/images/1/images/P1/B02_1_DAPI.tiff"
    target.parent.mkdir(parents=True)
    os.link(raw / "B02_1_GFP.tif", target)
    arrange(find_images(raw, PATTERN, plate="P1"), tmp_path / "out", copy=True)
    np.testing.assert_array_equal(tifffile.imread(target), image(0))
    np.testing.assert_array_equal(tifffile.imread(raw / "B02_1_GFP.tif"), image(1))


def test_links_to_files_and_folders_are_followed(raw: Path, tmp_path: Path) -> None:
    links = tmp_path / "links"
    (links / "deep").mkdir(parents=True)
    for path in raw.iterdir():
        (links / path.name).symlink_to(os.path.relpath(path, links))
    (links / "deep" / "again").symlink_to(links)  # a circle
    arrange(find_images(links, PATTERN, plate="P1"), tmp_path / "a")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "raw").symlink_to("../raw")
    arrange(find_images(folder, PATTERN, plate="P1"), tmp_path / "b")
    for name in ("a", "b"):
        written = next((tmp_path / name).rglob("B02_2_GFP.tiff"))
        np.testing.assert_array_equal(tifffile.imread(written), image(3))


def test_the_arranged_folder_can_be_moved(raw: Path, tmp_path: Path) -> None:
    arrange(find_images(raw, PATTERN, plate="P1"), tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    np.testing.assert_array_equal(tifffile.imread(next((tmp_path / "elsewhere").rglob("B02_1_DAPI.tiff"))), image(0))


def test_where_there_are_no_links_images_are_copied(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "symlink", refuse)
    arrange(find_images(raw, PATTERN, plate="P1"), tmp_path / "out")
    assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*.tiff"))


def test_moved_raw_data_are_named(raw: Path, tmp_path: Path) -> None:
    arrange(find_images(raw, PATTERN, plate="P1"), tmp_path / "out")
    raw.rename(tmp_path / "elsewhere")
    options = S3Options(folder=str(tmp_path / "out"), bucket=BUCKET, prefix="", disk_reserve_gb=0)
    client = connect(options)
    plan, _ = plan_download(client, options, "mine", "1", "P1", ["B02"], ["DAPI"])
    with pytest.raises(DataError, match=rf"leads to {raw}/B02_.*which does not exist; mount its disk"):
        fetch_plate(client, plan, tmp_path / "P1", options)


def test_a_copy_under_another_name_excludes_its_sites_or_the_plate(
    raw: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tifffile.imwrite(raw / "B02_2_GFP.tif", image(1), compression="lzw")  # the pixels of site 1
    with pytest.raises(
        DataError, match=r"same picture is in two places, .*B02_1_GFP.tif .*well B02, site 1, GFP.*B02_2"
    ):
        arrange(find_images(raw, PATTERN, plate="P1"), tmp_path / "out")
    for number in range(3, 50):
        tifffile.imwrite(raw / f"B02_{number}_DAPI.tif", image(100 + number))
        tifffile.imwrite(raw / f"B02_{number}_GFP.tif", image(200 + number))
    assert arrange(find_images(raw, PATTERN, plate="P1"), tmp_path / "out")["sites"].tolist() == [47]
    assert "the same picture is in two places" in caplog.text and "2 sites are left out" in caplog.text


def test_blank_images_may_recur(raw: Path, tmp_path: Path) -> None:
    for name in ("B02_1_GFP", "B02_2_GFP"):
        tifffile.imwrite(raw / f"{name}.tif", np.full((20, 24), 7, np.uint16))
    assert arrange(find_images(raw, PATTERN, plate="P1"), tmp_path / "out")["sites"].tolist() == [2]


def test_a_damaged_image_excludes_its_site(raw: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(3, 30):
        tifffile.imwrite(raw / f"B02_{number}_DAPI.tif", image(100 + number))
        tifffile.imwrite(raw / f"B02_{number}_GFP.tif", image(200 + number))
    (raw / "B02_2_GFP.tif").write_bytes((raw / "B02_2_GFP.tif").read_bytes()[:200])
    assert arrange(find_images(raw, PATTERN, plate="P1"), tmp_path / "out")["sites"].tolist() == [28]
    assert "B02_2_GFP.tif" in caplog.text and "1 sites are left out" in caplog.text


def test_a_list_that_names_one_file_twice_is_refused(raw: Path) -> None:
    path = raw / "images.csv"
    path.write_text("plate,well,channel,path\nP1,B02,DNA,B02_1_DAPI.tif\nP1,B03,DNA,./B02_1_DAPI.tif\n")
    with pytest.raises(DataError, match=r"line 3: .*listed for two positions, here for .*B03.*line 2 for .*B02"):
        read_list(path)


CELLPROFILER = {
    "Metadata_Plate": ["P1", "P1"],
    "Metadata_Well": ["B02", "B02"],
    "Metadata_Site": ["1", "2"],
    "FileName_OrigDNA": ["B02_1_DAPI.tif", "B02_2_DAPI.tif"],
    "PathName_OrigDNA": ["D:\\screen\\raw"] * 2,
    "FileName_OrigER": ["B02_1_GFP.tif", "B02_2_GFP.tif"],
    "PathName_OrigER": ["D:\\screen\\raw\\"] * 2,
    "FileName_IllumDNA": ["P1_IllumDNA.npy"] * 2,
    "PathName_IllumDNA": ["D:\\screen\\illum"] * 2,
}


@pytest.mark.parametrize("replace", ["D:\\screen=", "D:/screen/="])
def test_cellprofilers_own_table_is_taken(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], replace: str
) -> None:
    path = tmp_path / "load_data.csv"
    pd.DataFrame(CELLPROFILER).to_csv(path, index=False)
    out = tmp_path / "an out: #1"
    assert main([str(path), str(out)]) == 1
    told = capsys.readouterr().err
    assert "line 2: no file" in told and "--replace" in told and told.count("\n") == 1
    assert main([str(path), str(out), "--replace", f"{replace}{tmp_path}"]) == 0
    printed = capsys.readouterr().out
    import yaml

    pasted = yaml.safe_load(printed[printed.index("s3:") :])
    assert pasted["s3"]["folder"] == str(out) and pasted["s3"]["prefix"] == ""
    np.testing.assert_array_equal(tifffile.imread(next(out.rglob("B02_2_ER.tiff"))), image(3))


@pytest.mark.parametrize(
    ("name", "delimiter", "encoding"), [("l.csv", ";", "utf-16"), ("l.CSV", ",", "utf-8-sig"), ("l.txt", "\t", "utf-8")]
)
def test_lists_from_a_spreadsheet(raw: Path, name: str, delimiter: str, encoding: str) -> None:
    lines = [("Plate", "WELL", "Site", "Channel", "Path"), ("P1", "b2", "1", "DNA", "raw\\B02_1_DAPI.tif")]
    path = raw.parent / name
    path.write_bytes("\r\n".join(delimiter.join(line) for line in lines).encode(encoding))
    table = read_list(path)
    assert table[["well", "site", "source", "batch"]].to_numpy().tolist() == [["B02", "1", "mine", "1"]]
    assert table["path"][0] == raw / "B02_1_DAPI.tif"


def test_arguments_beside_a_list_are_used_or_refused(raw: Path) -> None:
    path = raw / "images.tsv"
    path.write_text("well\tchannel\tpath\nB02\tDNA\tB02_1_DAPI.tif\n")
    with pytest.raises(ConfigError, match=r"line 2: its plate is unknown.*--plate"):
        read_list(path)
    table = read_list(path, plate="P1", source="lab", batch="b7")
    assert table[["plate", "source", "batch"]].to_numpy().tolist() == [["P1", "lab", "b7"]]
    path.write_text("plate\tbatch\twell\tchannel\tpath\nP1\tb1\tB02\tDNA\tB02_1_DAPI.tif\n")
    with pytest.raises(ConfigError, match=r"its own column batch \(b1\), which differs from --batch b7"):
        read_list(path, batch="b7")
    assert read_list(path, batch="b1")["batch"].tolist() == ["b1"]


def test_lists_with_rows_and_columns(raw: Path) -> None:
    path = raw / "images.csv"
    path.write_text(
        "plate,Metadata_Row,Metadata_Col,channel,path\nP1,2,2,DNA,B02_1_DAPI.tif\nP1,C,3,DNA,B02_2_DAPI.tif\n"
    )
    assert read_list(path)["well"].tolist() == ["B02", "C03"]


def test_eight_bit_and_inverted_images_are_written_as_counts(raw: Path, tmp_path: Path) -> None:
    small = image(9).clip(0, 255).astype(np.uint8)
    for path in raw.glob("*_DAPI.tif"):  # all of them: a channel has one bit depth
        path.with_suffix(".png").write_bytes(imagecodecs.png_encode(small if "_1_" in path.name else 255 - small))
        path.unlink()
    tifffile.imwrite(raw / "B02_1_GFP.tif", 65535 - image(1), photometric="miniswhite")
    arrange(find_images(raw, PATTERN, plate="P1"), tmp_path / "out")
    read = {path.name: tifffile.imread(path) for path in (tmp_path / "out").rglob("B02_1_*.tiff")}
    np.testing.assert_array_equal(read["B02_1_DAPI.tiff"], small)
    np.testing.assert_array_equal(read["B02_1_GFP.tiff"], image(1))


def test_a_plate_that_copies_another_is_reported(raw: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for plate in ("P1", "P2"):
        (raw / plate).mkdir()
        for path in raw.glob("*.tif"):
            (raw / plate / path.name).write_bytes(path.read_bytes())
    for path in raw.glob("*.tif"):
        path.unlink()
    arrange(find_images(raw, r"(?P<plate>P\d)/" + PATTERN), tmp_path / "out")
    assert "plate P2: 4 of 4 images are the same pictures as on another plate" in caplog.text
    assert "of plate P1; is one plate a copy of the other?" in caplog.text


@pytest.mark.parametrize("channels", ["DAPI=DNA,GFP=DNA", "DAPI=DNA,GFP=dna", "DAPI=DNA,DAPI=ER"])
def test_two_channels_never_become_one(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], channels: str
) -> None:
    (raw / "B02_1_GFP.tif").unlink()
    (raw / "B02_2_DAPI.tif").unlink()  # the two would not meet in any site
    arguments = [str(raw), str(tmp_path / "out"), "--plate", "P1", "--pattern", PATTERN, "--channels", channels]
    assert main(arguments) == 1
    told = capsys.readouterr().err
    assert ("both to be called DNA" in told or "DAPI is named twice" in told) and told.count("\n") == 1


def test_mistakes_of_the_command_are_one_line(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    header = tmp_path / "list.csv"
    header.write_text("plate,well,channel,path\n")
    for arguments, words in (
        ([str(raw), str(raw), "--plate", "P1", "--pattern", "well-site"], "holds the images; give another folder"),
        ([str(raw / "B02_1_DAPI.tif"), str(tmp_path / "o")], "is an image; give the folder"),
        ([str(header), str(tmp_path / "o")], "lists no image"),
        ([str(tmp_path / "none"), str(tmp_path / "o")], "no such list of images; correct its path"),
    ):
        assert main(arguments) == 1
        told = capsys.readouterr().err
        assert words in told and told.count("\n") == 1
