"""The simulated screen: the gallery's layout, the same bytes from the same seed, nuclei that can be found again."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from campfire.core.columns import BATCH, CHANNELS, COMPOUND, PLATE, SITE, SITE_KEYS, SOURCE, WELL
from campfire.core.errors import CampfireError, ConfigError
from campfire.images import gallery, nuclei
from campfire.images.gallery.connect import connect
from campfire.screen.metadata import NEGATIVE_CONTROL, UNTREATED, read_plates, read_sheet, read_wells
from campfire.screen.split import SplitOptions, assign_wells
from campfire.simulate import ScreenOptions, cells, serve, write_screen
from campfire.simulate.__main__ import read_options
from campfire.simulate.layout import plan_screen
from campfire.simulate.phenotype import FAMILIES, MECHANISMS, PARAMETERS
from campfire.simulate.screen import PIXEL_SIZE_UM, render_site

SMALL = ScreenOptions(
    id_plates=3, ood_plates=1, compound_plates=2, transfer_plates=2, positive_controls=2, compounds=2, dmso_wells=1,
    compound_wells=5, transfer_controls=1, transfer_genes=1, sites=1, field=200, cells=8, workers=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("screen")
    write_screen(root, SMALL)
    return root


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "screen.json"
    }


def test_same_seed_same_bytes_in_one_process_or_two(screen: Path, tmp_path: Path) -> None:
    options = ScreenOptions(**{**SMALL.__dict__, "workers": 2})
    write_screen(tmp_path / "again", options)
    assert digests(tmp_path / "again") == digests(screen)


def test_another_seed_gives_other_images() -> None:
    plate = plan_screen(SMALL).plates[0]
    one, _ = render_site(SMALL, plate, plate.wells[0], 1)
    other, _ = render_site(ScreenOptions(**{**SMALL.__dict__, "seed": 8}), plate, plate.wells[0], 1)
    assert (one != other).mean() > 0.5


def test_nothing_of_a_cell_is_outside_of_the_box_that_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    plate = plan_screen(SMALL).plates[0]
    pixels, labels = render_site(SMALL, plate, plate.wells[0], 1)
    monkeypatch.setattr(cells, "_extent", lambda covered: slice(0, cells.WINDOW))
    for drawn, whole in zip((pixels, labels), render_site(SMALL, plate, plate.wells[0], 1), strict=True):
        np.testing.assert_array_equal(drawn, whole)


def test_images_are_five_channel_lzw_tiffs_in_a_folder_with_a_space(screen: Path) -> None:
    paths = sorted(screen.rglob("*.tiff"))
    wells = sum(len(plate.wells) for plate in plan_screen(SMALL).everything)
    assert len(paths) == wells * 5
    assert all(path.parent.parent.name.endswith("-Measurement 1") for path in paths)
    zeros = 0
    for path in paths:
        with tifffile.TiffFile(path) as tiff:
            assert tiff.pages[0].compression.name == "LZW"
            image = tiff.asarray()
        assert image.shape == (200, 200) and image.dtype == np.uint16
        assert image.max() < 65535
        zeros += not image.any()
    assert zeros == SMALL.corrupt == 1


def test_the_gallery_code_reads_every_plate_over_http(screen: Path) -> None:
    styles = {}
    with serve(screen / "s3") as url:
        options = gallery.S3Options(bucket=SMALL.bucket, prefix=SMALL.prefix, endpoint_url=url)
        client = connect(options)
        for plate in plan_screen(SMALL).everything:
            index = gallery.read_index(client, options, SMALL.source, plate.batch, plate.name)
            assert set(index[WELL]) == {well.name for well in plate.wells}
            assert (index["problem"] == "").all()
            for channel in CHANNELS:
                for key in index[f"key_{channel}"]:
                    assert (screen / "s3" / SMALL.bucket / key).is_file()
            styles[plate.name] = index.attrs["load_data"].rsplit("/", 1)[1]
            if plate.load_data != "csv":
                illum = np.load(screen / "s3" / SMALL.bucket / index["illum_key_DNA"].iloc[0])
                assert illum.shape == (200, 200) and illum.mean() == pytest.approx(1, abs=1e-3)
    assert set(styles.values()) == {"load_data_with_illum.csv", "load_data_with_illum.parquet", "load_data.csv"}


def test_channels_are_what_load_data_says_not_what_the_number_says(screen: Path) -> None:
    """The true nuclei are brightest in the DNA image, on plates with either numbering."""
    truth = pd.read_parquet(screen / "truth" / "nuclei.parquet")
    numbers = set()
    for plate in plan_screen(SMALL).everything:
        home = screen / "s3" / SMALL.bucket / SMALL.prefix / SMALL.source / "workspace"
        path = next(home.glob(f"*/{plate.batch}/{plate.name}/load_data*"))
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype=str)
        row = table.iloc[0]
        sharpness = {}
        for channel in CHANNELS:
            url = row.get(f"URL_Orig{channel}") or row[f"PathName_Orig{channel}"] + row[f"FileName_Orig{channel}"]
            image = tifffile.imread(screen / "s3" / url.removeprefix("s3://")).astype(float)
            cells = truth[(truth[PLATE] == plate.name) & (truth[WELL] == row[WELL]) & (truth[SITE] == row[SITE])]
            inside = image[cells["y"].astype(int), cells["x"].astype(int)]
            sharpness[channel] = (inside.mean() - np.median(image)) / image.std()
            if channel == "DNA":
                numbers.add(url.split("-ch")[1][0])
        assert max(sharpness, key=sharpness.get) == "DNA", (plate.name, sharpness)  # type: ignore[arg-type]
    assert numbers == {"5"}


def test_metadata_and_sheets_are_read_by_the_code_for_the_real_ones(screen: Path) -> None:
    sheet = read_sheet(screen / "plates.tsv")
    assert sheet["role"].value_counts().to_dict() == {"id": 3, "ood": 1, "train": 2}
    assert sheet[PLATE].str.fullmatch(r"\d+").any()
    wells = read_wells(screen / "metadata" / "well.csv.gz", sheet)
    assert {NEGATIVE_CONTROL, UNTREATED} <= set(wells[COMPOUND])
    plates = read_plates(screen / "metadata" / "plate.csv.gz")
    assert set(plates[PLATE]) == {plate.name for plate in plan_screen(SMALL).everything}
    ood = sheet.loc[sheet["role"] == "ood", BATCH]
    assert set(ood) <= set(sheet.loc[sheet["role"] == "train", BATCH])
    controls = [NEGATIVE_CONTROL, "JCP2022_900001", "JCP2022_900002"]
    split = assign_wells(
        sheet, wells, SplitOptions(held_out=1, wells_train=1, wells_val=1, wells_test=1, controls=controls)
    )
    assert {"train", "val", "test", "test_ood_plate", "test_ood_compound", "test_ood_both"} <= set(split["split"])
    transfer = pd.read_csv(screen / "transfer.tsv", sep="\t", dtype=str, keep_default_na=False)
    assert list(transfer.columns) == [SOURCE, BATCH, PLATE, WELL, "group", "control", "treatment", "role"]
    assert set(transfer["control"]) == {"neg", "pos", ""} and set(transfer["group"]) == {"M1", "M2"}


def test_four_transfer_plates_have_each_group_trained_on_and_held_out() -> None:
    plates = plan_screen(ScreenOptions()).transfer
    assert sorted((plate.group, plate.role) for plate in plates) == [
        ("M1", "heldout"), ("M1", "train"), ("M2", "heldout"), ("M2", "train"),
    ]  # fmt: skip


def test_classical_segmentation_finds_the_true_nuclei() -> None:
    options = ScreenOptions()
    layout = plan_screen(options)
    found = reference = matched = 0
    for plate in (layout.plates[0], layout.plates[-3], layout.transfer[0], layout.transfer[1]):
        images, truth = render_site(options, plate, plate.wells[0], 1)
        labels = nuclei.segment(images[0], PIXEL_SIZE_UM, method="classical")
        match = nuclei.match_objects(labels, truth)
        found, reference = found + match.n_found, reference + match.n_reference
        matched += match.n_matched
    assert found == pytest.approx(reference, rel=0.1)
    assert 2 * matched / (found + reference) > 0.9


def test_mechanisms_are_known_parameters_and_each_is_in_one_family() -> None:
    for changes in MECHANISMS.values():
        assert set(changes) <= set(PARAMETERS)
    assert sorted(m for family in FAMILIES for m in family) == sorted(MECHANISMS)
    treatments = plan_screen(ScreenOptions()).treatments
    assert len({tuple(sorted(t.mechanisms)) for t in treatments}) == len(treatments)
    shared = {m for t in treatments for m in t.mechanisms}
    assert len(shared) < 2 * len(treatments)  # some overlap


def test_a_treatment_changes_the_cells_it_is_said_to_change(screen: Path) -> None:
    """Polyploidy makes nuclei larger: treated wells against the vehicle, same plate."""
    options = ScreenOptions()
    layout = plan_screen(options)
    plate = layout.plates[0]
    areas = {"polyploid": [], "vehicle": []}  # type: ignore[var-annotated]
    for well in plate.wells:
        kind = "polyploid" if "polyploidy" in well.treatment.mechanisms else "vehicle"
        if kind == "polyploid" or not well.treatment.mechanisms:
            _, labels = render_site(options, plate, well, 1)
            areas[kind].append(np.median(np.bincount(labels.ravel())[1:]))
    assert areas["polyploid"] and areas["vehicle"]
    assert np.mean(areas["polyploid"]) > 1.2 * np.mean(areas["vehicle"])


def test_truth_names_what_was_put_in(screen: Path) -> None:
    truth = json.loads((screen / "truth" / "screen.json").read_text())
    assert truth["treatments"][NEGATIVE_CONTROL] == {}
    assert len(truth["treatments"]["JCP2022_900001"]) == 2
    table = pd.read_parquet(screen / "truth" / "nuclei.parquet")
    assert table.groupby(SITE_KEYS).size().between(1, 40).all()
    assert not list(screen.glob(".partial-*"))


def test_writing_again_replaces_the_earlier_screen(screen: Path, tmp_path: Path) -> None:
    tiny = ScreenOptions(**{**SMALL.__dict__, "id_plates": 1, "ood_plates": 0, "compound_plates": 0,
                            "transfer_plates": 0, "corrupt": 0})  # fmt: skip
    stale = tmp_path / "s3" / "old" / "object"
    stale.parent.mkdir(parents=True)
    stale.write_text("old")
    write_screen(tmp_path, tiny)
    assert not stale.exists() and (tmp_path / "s3" / tiny.bucket).is_dir()


@pytest.mark.parametrize(
    ("text", "message"),
    [("fields: 3", "fields: no such option; did you mean `field`"), ("field: wide", "field: 'wide' is not valid"),
     ("field: 10", "field: 10 must be at least 136"),
     ("- 1", "name: value"), ("workers: true", "workers: True is not valid"),
     ("penetrance: 2.0", "penetrance: 2.0 must be at most 1")],
)  # fmt: skip
def test_wrong_options_are_answered_in_words(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "screen.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_options(path)


def test_command_line_reports_a_wrong_file_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "campfire.simulate", str(tmp_path / "none.yaml"), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and "none.yaml" in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
    assert issubclass(ConfigError, CampfireError)
