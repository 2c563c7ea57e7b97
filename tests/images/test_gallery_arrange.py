"""Images of another screen, laid out for the images step and read from a local folder, without a server."""

import io
from pathlib import Path

import imagecodecs
import numpy as np
import pandas as pd
import pytest
import tifffile

from campfire.core.columns import BATCH, PLATE, SOURCE
from campfire.core.errors import ConfigError, DataError
from campfire.images.gallery import S3Options, check_source, differing, fetch_plate, plan_download, render_check
from campfire.images.gallery.arrange import BUCKET, arrange, find_images, main, read_list
from campfire.images.gallery.client import NotFoundError, list_objects, read_object
from campfire.images.gallery.connect import connect
from campfire.images.sites import channels_of, read_site, read_sites

PATTERN = r"(?P<well>[A-H]\d+)_(?P<site>\w+)_(?P<channel>[A-Za-z]+)[.]tif"


def image(seed: int, kind: str = "uint16") -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 200, (40, 48)).astype(kind)


@pytest.fixture
def screen(tmp_path: Path) -> Path:
    """Two wells with two sites each, of three channels, one of which is 8-bit."""
    folder = tmp_path / "screen"
    folder.mkdir()
    number = 0
    for well in ("B7", "C10"):
        for site in ("r000c000", "r000c001"):
            for channel, kind in (("DAPI", "uint16"), ("Actin", "uint8"), ("Brightfield", "uint16")):
                number += 1
                tifffile.imwrite(folder / f"{well}_{site}_{channel}.tif", image(number, kind))
    (folder / "notes.txt").write_text("not an image")
    return folder


def options(folder: Path) -> S3Options:
    return S3Options(folder=str(folder), bucket=BUCKET, prefix="")


def test_arranged_images_are_fetched_as_from_the_gallery(screen: Path, tmp_path: Path) -> None:
    found = find_images(screen, PATTERN, {"DAPI": "DNA", "Actin": "Actin"}, plate="P1")
    plates = arrange(found, tmp_path / "out")
    assert plates[["wells", "sites", "channels"]].to_numpy().tolist() == [[2, 4, "Actin, DNA"]]
    source = options(tmp_path / "out")
    client = connect(source)
    plan, summary = plan_download(client, source, "mine", "1", "P1", ["B07", "C10"], ["DNA", "Actin"])
    assert summary["objects"] == 8
    assert (plan["bytes"] > 0).all()
    record = fetch_plate(client, plan, tmp_path / "P1", source)
    assert (record["status"] == "ok").all()
    sites = read_sites(tmp_path / "P1")
    assert sites["Metadata_Site"].tolist() == ["1", "2", "1", "2"]
    assert set(channels_of(sites)) == {"DNA", "Actin"}
    last = read_site(tmp_path / "P1", sites.to_dict("records")[3], ["DNA", "Actin"])
    np.testing.assert_array_equal(last.images["DNA"], image(10))
    np.testing.assert_array_equal(last.images["Actin"], image(11, "uint8"))


def test_the_preflight_reads_a_folder(screen: Path, tmp_path: Path) -> None:
    arrange(find_images(screen, PATTERN, plate="P1"), tmp_path / "out")
    sheet = pd.DataFrame([{SOURCE: "mine", BATCH: "1", PLATE: "P1"}])
    source = options(tmp_path / "out")
    assert check_source(connect(source), source, sheet, ["DAPI"]).loc[0, "difference"] == ""
    assert "no channel DNA" in check_source(connect(source), source, sheet, ["DNA"]).loc[0, "difference"]


def test_the_preflight_of_a_folder_looks_at_every_plate(screen: Path, tmp_path: Path) -> None:
    for plate, channels in (("P1", {"DAPI": "DNA", "Actin": "Actin"}), ("P2", {"DAPI": "DNA"})):
        images = find_images(screen, PATTERN, {"DAPI": "DNA", "Actin": "Actin"}, plate=plate)
        arrange(images[images["channel"].isin(channels.values())], tmp_path / "out")
    sheet = pd.DataFrame([{SOURCE: "mine", BATCH: "1", PLATE: plate} for plate in ("P1", "P2")])
    source = options(tmp_path / "out")
    table = check_source(connect(source), source, sheet, ["DNA", "Actin"])
    assert differing(table) == ["1 / P2: no channel Actin in load_data"]
    assert "1 of 2 plates are as expected" in render_check(table)
    with pytest.raises(DataError, match=r"P2: .* has no channel Actin; it has DNA\. .* the sheet's column channels"):
        plan_download(connect(source), source, "mine", "1", "P2", ["B07"], ["DNA", "Actin"])


def test_a_folder_is_read_like_a_bucket(tmp_path: Path) -> None:
    for number in range(1003):
        (tmp_path / "a").mkdir(exist_ok=True)
        (tmp_path / f"a/{number:04d}").write_bytes(b"x" * (number % 7))
    source = options(tmp_path)
    client = connect(source)
    listed = list(list_objects(client, source, "a/0"))
    assert [key for key, _, _ in listed] == [f"a/{n:04d}" for n in range(1000)]
    assert len(list(list_objects(client, source, "a/"))) == 1003
    assert list(list_objects(client, source, "b/")) == []
    assert read_object(client, source, "a/0005") == b"xxxxx"
    for key in ("a/none", "a", "../" + tmp_path.name + "/a/0005"):
        with pytest.raises(NotFoundError, match="no such object"):
            read_object(client, source, key)
    with pytest.raises(ConfigError, match=r"s3\.folder: no such folder"):
        connect(options(tmp_path / "none"))


def test_rows_and_columns_become_wells(tmp_path: Path) -> None:
    (tmp_path / "Row02_Well04_DAPI_r004.tif").write_bytes(b"")
    pattern = r"Row(?P<row>\d+)_Well(?P<column>\d+)_(?P<channel>\w+?)_(?P<site>r\d+)"
    assert find_images(tmp_path, pattern, plate="P")[["well", "site"]].to_numpy().tolist() == [["B04", "4"]]


def test_a_list_of_images_does_as_well(screen: Path, tmp_path: Path) -> None:
    files = sorted(screen.glob("*DAPI.tif"))[:2]
    table = pd.DataFrame({"plate": "P9", "well": ["B7", "b08"], "channel": "DNA", "path": [f.name for f in files]})
    table.to_csv(screen / "images.tsv", sep="\t", index=False)
    found = read_list(screen / "images.tsv")
    assert found[["plate", "well", "site"]].to_numpy().tolist() == [["P9", "B07", "1"], ["P9", "B08", "1"]]
    table.drop(columns="well").to_csv(screen / "images.tsv", sep="\t", index=False)
    with pytest.raises(ConfigError, match="column `well` is missing"):
        read_list(screen / "images.tsv")


@pytest.mark.parametrize(
    ("pattern", "plate", "error", "words"),
    [
        ("(", "P", ConfigError, "no regular expression"),
        ("(?P<well>B7)", "P", ConfigError, "needs the groups"),
        ("(?P<well>Z9)_(?P<channel>x)", "P", DataError, "no image matches .* the first of 12 is B7_"),
        (PATTERN, "", DataError, "its plate is unknown"),
        (PATTERN, "P 1", DataError, "may have only"),
        (r"(?P<well>[A-H]\d+)_.*_(?P<channel>[A-Za-z]+)", "P", DataError, "both are .* tell sites apart"),
        (r"(?P<well>[a-z]+)[.]tif|(?P<channel>x)", "P", DataError, "reads no channel"),
    ],
)
def test_mistakes_name_their_remedy(screen: Path, pattern: str, plate: str, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        find_images(screen, pattern, plate=plate)


def test_omitted_images_are_logged(screen: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (screen / "overview.tif").write_bytes(b"")
    (screen / "B7_r000c001_Actin.tif").unlink()
    images = find_images(screen, PATTERN, {"DAPI": "Nuclei", "Actin": "Actin"}, plate="P1")
    arrange(images, tmp_path / "out")
    assert "left out: 1 images that the pattern does not match: overview.tif" in caplog.text
    assert "left out, because --channels does not name them: Brightfield (4 images)" in caplog.text
    assert "1 of 4 sites have no Actin, the first is well B07, site 2" in caplog.text
    with pytest.raises(ConfigError, match="no image of channel DAPY; the images are of Actin, Brightfield, DAPI"):
        find_images(screen, PATTERN, {"DAPY": "DNA"}, plate="P1")


def test_pngs_are_accepted_and_colour_images_refused_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "a screen ü"
    for kind in ("uint8", "uint16"):  # one bit depth a plate: counts of two do not compare
        (folder / kind).mkdir(parents=True)
        (folder / kind / "B1_1_DAPI.png").write_bytes(imagecodecs.png_encode(image(len(kind), kind)))
        found = find_images(folder / kind, PATTERN.replace("tif", "png"), {"DAPI": "DNA"}, plate="P1")
        arrange(found, tmp_path / kind)
        (path,) = (tmp_path / kind).rglob("*.tiff")
        written = tifffile.imread(path)
        assert written.dtype == np.uint16
        np.testing.assert_array_equal(written, image(len(kind), kind))
    tifffile.imwrite(folder / "B7_1_DAPI.tif", np.zeros((40, 48, 3), np.uint8))
    with pytest.raises(DataError, match=r"B7_1_DAPI.tif: .*colour.*one 2-D, 8- or 16-bit grey plane per file"):
        arrange(find_images(folder, PATTERN, plate="P1"), tmp_path / "other")


def test_images_of_another_kind_are_named(screen: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tifffile.imwrite(screen / "B7_r000c000_DAPI.tif", np.zeros((40, 48), np.float32))
    arguments = [str(screen), str(tmp_path / "out"), "--pattern", PATTERN, "--plate", "P1"]
    assert main([*arguments, "--channels", "DAPI=DNA"]) == 1
    assert "B7_r000c000_DAPI.tif" in (told := capsys.readouterr().err)
    assert "float32" in told
    (screen / "B7_r000c000_DAPI.tif").write_bytes(io.BytesIO(b"II*\0").getvalue())
    assert main(arguments) == 1
    assert "not a readable TIFF" in capsys.readouterr().err
    assert main([*arguments, "--channels", "Actin"]) == 0
    assert "s3: {folder: " in capsys.readouterr().out
