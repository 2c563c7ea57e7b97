"""Bright objects hide no cells: debris, fibres, clumps, dust and hot pixels beside nuclei; bright cells stay cells."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from numpy.typing import NDArray

from campfire.core.columns import NUCLEUS
from campfire.images import attrition
from campfire.images.nuclei import NucleiOptions, match_objects, measure, segment, segment_all, segment_plate
from campfire.images.nuclei.debris import is_debris, typical_brightness
from campfire.images.options import QualityOptions
from campfire.simulate.artefacts import ARTEFACTS, BRIGHT_CELLS, paste
from support.nuclei_fields import simulate_field, write_folder

PIXEL = 20 / 30
OPTIONS = NucleiOptions(border="pad")


@pytest.fixture(scope="module")
def field() -> tuple[NDArray[np.uint16], NDArray[np.int32]]:
    """Nuclei 30 px wide, about 2,000 counts above a background of 300."""
    return simulate_field((600, 600), 30, 45, seed=3)


def pasted(
    field: tuple[NDArray[np.uint16], NDArray[np.int32]], kind: str, exposure: float = 1.0, scale: int = 65535
) -> Any:
    image, truth = field
    return paste(
        image, kind, 30, offset=300, brightness=2000, occupied=truth > 0, exposure=exposure, full_scale=scale, seed=1
    )


@pytest.mark.parametrize("exposure", [1.0, 0.25])
@pytest.mark.parametrize("kind", ARTEFACTS)
def test_cells_are_found_beside_artefacts(
    field: tuple[NDArray[np.uint16], NDArray[np.int32]], kind: str, exposure: float
) -> None:
    made = pasted(field, kind, exposure)
    score = match_objects(segment(made.image, PIXEL), field[1])
    assert score.f1 >= 0.92
    assert abs(score.n_found - score.n_reference) <= 0.1 * score.n_reference


@pytest.mark.parametrize("kind", ["debris", "brightest debris", "fibre", "clump", "dust"])
def test_debris_has_its_own_reason(field: tuple[NDArray[np.uint16], NDArray[np.int32]], kind: str) -> None:
    made = pasted(field, kind)
    found = segment_all([made.image], PIXEL, OPTIONS)[0]
    table = measure(found.labels, made.image, PIXEL, OPTIONS, found.debris)
    debris = table[table["reason"] == "debris"]
    assert len(debris) >= 1 and not debris["kept"].any()
    # What is brightest in the field lies on debris, and a nucleus does not.
    brightest = found.labels[made.added > 0.9 * made.added.max()]
    assert np.isin(brightest, debris[NUCLEUS]).mean() > 0.9
    plain = made.added[np.isin(found.labels, table.loc[table["reason"] != "debris", NUCLEUS])]
    assert np.median(plain) < 0.5


@pytest.mark.parametrize("kind", BRIGHT_CELLS)
def test_bright_cells_are_cells(field: tuple[NDArray[np.uint16], NDArray[np.int32]], kind: str) -> None:
    made = pasted(field, kind)
    found = segment_all([made.image], PIXEL, OPTIONS)[0]
    table = measure(found.labels, made.image, PIXEL, OPTIONS, found.debris).set_index(NUCLEUS)
    for cell in range(1, 5):
        labels, counts = np.unique(found.labels[made.labels == cell], return_counts=True)
        assert table.loc[labels[np.argmax(counts)], "reason"] in ("", "edge")


def test_a_clump_at_the_full_scale_of_the_camera_is_not_cut_up(
    field: tuple[NDArray[np.uint16], NDArray[np.int32]],
) -> None:
    """Twice as bright as a nucleus, since the camera shows no more: size and flatness tell."""
    made = pasted(field, "clump", scale=4095)
    found = segment_all([made.image], PIXEL, OPTIONS)[0]
    inside = (made.added > 3) & (field[1] == 0)
    assert len(np.setdiff1d(np.unique(found.labels[inside]), [0, *found.debris])) <= 1
    assert match_objects(found.nuclei, field[1]).f1 >= 0.9


def test_fields_without_debris_are_segmented_as_before(field: tuple[NDArray[np.uint16], NDArray[np.int32]]) -> None:
    found = segment_all([field[0]], PIXEL, OPTIONS)[0]
    assert found.debris == () and found.nuclei is found.labels


def test_the_real_case(shared: Path) -> None:
    folder = shared / "data/cases/images/bright_debris/inputs"
    counts = {name: int(segment(tifffile.imread(folder / f"{name}.tif"), 0.6).max()) for name in ("without", "with")}
    assert counts == {"without": 50, "with": 50}


def test_brightness_is_that_of_nuclei_not_of_what_is_brightest() -> None:
    signal = np.random.default_rng(0).normal(0, 1, (400, 400)).astype(np.float32)
    for n in range(12):
        y, x = divmod(n, 4)
        signal[40 + 90 * y : 60 + 90 * y, 40 + 90 * x : 60 + 90 * x] += 100 if n else 10000
    assert typical_brightness(signal, 400) == pytest.approx(100, rel=0.05)
    signal[:120, :120] = 8000  # a tenth of the field, in the place of one nucleus
    assert typical_brightness(signal, 400) == pytest.approx(100, rel=0.05)
    assert typical_brightness(np.zeros((50, 50), np.float32), 400) is None


def test_what_a_cell_can_hold() -> None:
    signal, area = np.array([1, 5, 11, 13, 1.2, 6]), np.array([300, 100, 80, 10, 4000, 3000])
    assert is_debris(signal, area, (1.0, 300.0)).tolist() == [False, False, False, True, False, True]


def test_a_site_of_debris_alone_is_judged_by_its_plate(tmp_path: Path) -> None:
    """Three discs and no nucleus: the field itself cannot tell that they are no cells."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:320, :340]
    only = np.zeros((320, 340))
    for centre in ((80, 80), (160, 250), (250, 120)):
        only += 60000 * ((y - centre[0]) ** 2 + (x - centre[1]) ** 2 < 15**2)
    sites = {("A01", str(n)): {"DNA": simulate_field((320, 340), 30, 14, seed=n)[0]} for n in range(1, 5)}
    sites[("A01", "5")] = {"DNA": np.clip(rng.poisson(300, only.shape) + only, 0, 65535).astype(np.uint16)}
    write_folder(tmp_path / "P1", sites)
    nuclei, quality = segment_plate(tmp_path / "P1", PIXEL, quality=QualityOptions(saturated_max=None))
    last = nuclei[nuclei["Metadata_Site"] == "5"]
    assert list(last["reason"]) == ["debris"] * 3
    row = quality.set_index("Metadata_Site").loc["5"]
    assert (row["nuclei"], row["debris"], row["reason"]) == (0, 3, "few nuclei")
    assert row["debris_area"] == pytest.approx(3 * np.pi * 15**2 / only.size, rel=0.15)
    download = nuclei[["Metadata_Plate", "Metadata_Well", "Metadata_Site"]].drop_duplicates().assign(status="ok")
    counts = attrition.count(download, quality, nuclei).set_index(["unit", "outcome"])["count"]
    assert counts["nucleus", "debris"] == 3


def test_a_site_covered_by_debris_is_left_out(tmp_path: Path) -> None:
    image = simulate_field((320, 340), 30, 14, seed=1)[0].astype(np.int64)
    covered = image.copy()
    covered[:140, :140] += 40000
    write_folder(
        tmp_path / "P1", {("A01", str(n)): {"DNA": part.astype(np.uint16)} for n, part in ((1, image), (2, covered))}
    )
    _, quality = segment_plate(tmp_path / "P1", PIXEL)
    assert list(quality["reason"]) == ["", "debris"]
    assert quality["debris_area"].iloc[1] == pytest.approx(140 * 140 / image.size, rel=0.1)
    _, quality = segment_plate(tmp_path / "P1", PIXEL, quality=QualityOptions(debris_max=None))
    assert pd.Series(quality["reason"]).eq("").all()
