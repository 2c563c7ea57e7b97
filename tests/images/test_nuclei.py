"""Scoring, measuring, and the nuclei stage of a plate."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from campfire.core.errors import ConfigError, DataError
from campfire.images.nuclei import NucleiOptions, describe, match_objects, measure, segment_plate
from campfire.images.quality import QualityOptions
from support.nuclei_fields import real_folder, simulate_field, write_folder


def boxes(shape: Any, *corners: Any, side: int = 10) -> Any:
    labels = np.zeros(shape, dtype=np.int32)
    for n, (y, x) in enumerate(corners, 1):
        labels[y : y + side, x : x + side] = n
    return labels


def test_match_counts_pairs() -> None:
    reference = boxes((60, 60), (5, 5), (5, 30), (30, 5))
    found = boxes((60, 60), (30, 5), (5, 6), (40, 40))
    match = match_objects(found, reference)
    assert (match.n_found, match.n_reference, match.n_matched) == (3, 3, 2)
    assert match.f1 == pytest.approx(2 / 3)
    assert sorted(map(tuple, match.pairs.tolist())) == [(1, 3), (2, 1)]
    assert match.mean_iou == pytest.approx((1 + 90 / 110) / 2)
    # At IoU 0.9 the shifted box (IoU 0.82) is no match.
    assert match_objects(found, reference, iou=0.9).n_matched == 1


def test_match_interior_and_empty() -> None:
    found, reference = boxes((40, 40), (0, 5), (20, 20)), boxes((40, 40), (20, 20))
    assert match_objects(found, reference).f1 == 1
    assert match_objects(found, reference, interior=False).precision == 0.5
    empty = np.zeros((40, 40), np.int32)
    assert match_objects(empty, empty).f1 == 1
    assert match_objects(empty, reference).f1 == 0
    with pytest.raises(DataError, match="shape"):
        match_objects(empty, reference[:20])


def test_measure_columns_and_reasons() -> None:
    labels = np.zeros((200, 300), dtype=np.int32)
    labels[90:110, 100:120] = 3  # kept: centroid (99.5, 109.5)
    labels[0:20, 140:160] = 1  # cut by the edge
    labels[30:50, 200:220] = 5  # inside, its tile is not
    labels[120:122, 150:152] = 8  # small
    labels[60:140, 180:240] = 9  # large
    dna = np.arange(labels.size, dtype=np.uint16).reshape(labels.shape) % 1000
    options = NucleiOptions(min_area_um2=20, max_area_um2=1000)
    table = measure(labels, dna, 0.5, options).set_index("Metadata_Nucleus")
    assert list(table.index) == [1, 3, 5, 8, 9] and table.index.dtype == np.int32
    assert dict(table["reason"]) == {1: "edge", 3: "", 5: "border", 8: "small", 9: "large"}
    assert (table["kept"] == (table["reason"] == "")).all()
    row = table.loc[3]
    assert (row["y"], row["x"], row["area"]) == (99.5, 109.5, 400)
    assert tuple(row[["bbox_y0", "bbox_x0", "bbox_y1", "bbox_x1"]]) == (90, 100, 110, 120)
    assert row["intensity"] == pytest.approx(dna[90:110, 100:120].mean(), rel=1e-6)
    assert table["y"].dtype == np.float32
    padded = measure(labels, dna, 0.5, NucleiOptions(min_area_um2=20, max_area_um2=1000, border="pad"))
    assert dict(zip(padded["Metadata_Nucleus"], padded["reason"], strict=True))[5] == ""


def test_measure_border_is_exact() -> None:
    """A tile of 112 px fits when 56 px lie above the centre's pixel and 55 below."""
    kept = {}
    for y in (55, 56, 144, 145):
        labels = np.zeros((200, 200), np.int32)
        labels[y - 5 : y + 6, 95:106] = 1
        kept[y] = bool(measure(labels, labels, 1.0, NucleiOptions())["kept"].iloc[0])
    assert kept == {55: False, 56: True, 144: True, 145: False}


def test_measure_nothing() -> None:
    table = measure(np.zeros((50, 50), np.int32), np.zeros((50, 50), np.uint16), 0.6)
    assert table.empty and table["kept"].dtype == bool


def sites(n: Any, seed: int = 0, channels: tuple[Any, ...] = ("DNA", "ER")) -> dict[str, Any]:
    out = {}
    for k in range(n):
        image, _ = simulate_field((320, 340), 30, 14, seed=seed + k)
        out[("B02" if k >= n // 2 else "A01", str(k + 1))] = {
            channel: image if channel == "DNA" else image[::-1] // 2 + 50 for channel in channels
        }
    return out


def test_plate_tables(tmp_path: Path) -> None:
    write_folder(tmp_path / "P1", sites(4))
    nuclei, quality = segment_plate(tmp_path / "P1", 20 / 30)
    assert list(nuclei.columns[:4]) == ["Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_Nucleus"]
    assert not nuclei.duplicated(["Metadata_Well", "Metadata_Site", "Metadata_Nucleus"]).any()
    assert nuclei["kept"].any() and set(nuclei["reason"]) <= {"", "edge", "border", "small", "large"}
    assert len(quality) == 4 and quality["kept"].all()
    for name in ("focus", "saturated", "background", "contrast"):
        assert {f"{name}_DNA", f"{name}_ER"} <= set(quality)
    found = nuclei.groupby(["Metadata_Well", "Metadata_Site"]).size()
    assert (quality.set_index(["Metadata_Well", "Metadata_Site"])["nuclei"] == found).all()


def test_workers_give_the_same_tables(tmp_path: Path) -> None:
    """From a script without a `__main__` guard, as Snakemake's are: it must run once only."""
    write_folder(tmp_path / "P1", sites(9))
    script = tmp_path / "script.py"
    script.write_text(
        f"""
from pathlib import Path
from campfire.images.nuclei import segment_plate
with open({str(tmp_path / "runs")!r}, "a") as runs:
    runs.write("run ")
nuclei, quality = segment_plate({str(tmp_path / "P1")!r}, 20 / 30, workers=2)
nuclei.to_parquet({str(tmp_path / "nuclei.parquet")!r})
quality.to_parquet({str(tmp_path / "quality.parquet")!r})
"""
    )
    subprocess.run([sys.executable, str(script)], check=True, timeout=120)
    assert (tmp_path / "runs").read_text() == "run "
    nuclei, quality = segment_plate(tmp_path / "P1", 20 / 30)
    pd.testing.assert_frame_equal(nuclei, pd.read_parquet(tmp_path / "nuclei.parquet"))
    pd.testing.assert_frame_equal(quality, pd.read_parquet(tmp_path / "quality.parquet"))


def test_bad_sites_are_left_out_with_their_reason(tmp_path: Path) -> None:
    from scipy.ndimage import gaussian_filter

    fields = sites(18, channels=("DNA",))
    keys = list(fields)
    sharp = fields[keys[3]]["DNA"].astype(np.float32)
    rng = np.random.default_rng(5)
    fields[keys[3]] = {"DNA": np.clip(gaussian_filter(sharp, 5) + rng.normal(0, 15, sharp.shape), 0, None).astype("u2")}
    fields[keys[7]] = {"DNA": rng.poisson(300, sharp.shape).astype(np.uint16)}
    saturated = fields[keys[9]]["DNA"].copy()
    saturated[:60] = 65535
    fields[keys[9]] = {"DNA": saturated}
    write_folder(tmp_path / "P1", fields)
    nuclei, quality = segment_plate(tmp_path / "P1", 20 / 30)
    left_out = quality[~quality["kept"]].set_index(["Metadata_Well", "Metadata_Site"])["reason"]
    assert dict(left_out) == {keys[3]: "blurred", keys[7]: "empty", keys[9]: "saturated"}
    of_blurred = nuclei.set_index(["Metadata_Well", "Metadata_Site"]).loc[[keys[3]]]
    assert not of_blurred["kept"].any() and "site blurred" in set(of_blurred["reason"])
    everything, quality = segment_plate(
        tmp_path / "P1",
        20 / 30,
        quality=QualityOptions(
            focus_deviations=None, saturated_max=None, debris_max=None, nuclei_min=None, empty_contrast=0
        ),
    )
    assert quality["kept"].all() and everything["kept"].sum() > nuclei["kept"].sum()


def test_plate_without_nuclei_is_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    write_folder(tmp_path / "P9", {("A01", "1"): {"DNA": rng.poisson(300, (300, 300)).astype("u2")}}, plate="P9")
    with pytest.raises(DataError, match=r"plate P9: no nucleus to keep.*empty.*diameter_um"):
        segment_plate(tmp_path / "P9", 0.6)


def test_site_without_a_channel_is_left_out(tmp_path: Path) -> None:
    fields = sites(3)
    table = write_folder(tmp_path / "P1", fields)
    table.loc[1, "path_ER"] = None
    table.to_parquet(tmp_path / "P1/sites.parquet")
    nuclei, quality = segment_plate(tmp_path / "P1", 20 / 30)
    assert len(quality) == 2
    assert (table["Metadata_Well"][1], table["Metadata_Site"][1]) not in set(
        zip(nuclei["Metadata_Well"], nuclei["Metadata_Site"], strict=True)
    )


def test_damaged_image_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path / "P1", sites(2))
    path = tmp_path / "P1/A01_1_DNA.tiff"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"A01_1_DNA\.tiff: damaged TIFF"):
        segment_plate(tmp_path / "P1", 20 / 30)


def test_unknown_channel_is_said(tmp_path: Path) -> None:
    write_folder(tmp_path / "P1", {key: {"ER": value["ER"]} for key, value in sites(1).items()})
    with pytest.raises(DataError, match="channel DNA was not fetched"):
        segment_plate(tmp_path / "P1", 20 / 30)


def test_real_field_as_a_plate(shared: Path, tmp_path: Path) -> None:
    nuclei, quality = segment_plate(real_folder(shared, tmp_path / "BR00117035"), 0.598)
    assert abs(int((nuclei["reason"] != "edge").sum()) - 66) <= 6
    # 59 of the reference's 68 nuclei have room for a tile.
    assert abs(int(nuclei["kept"].sum()) - 59) <= 4
    assert quality["kept"].all()


def test_options_are_checked_and_described() -> None:
    for bad in ({"method": "x"}, {"border": "keep"}, {"diameter_um": 0}, {"min_area_um2": 9, "max_area_um2": 3}):
        with pytest.raises(ConfigError, match=r"nuclei\."):
            NucleiOptions(**bad)
    record = describe(NucleiOptions(), 0.6, "gallery")
    assert record["method"] == "classical" and record["pixel_size_um"] == 0.6 and record["illumination"] == "gallery"
    assert "weights" not in record and "scikit-image" in record["software"]
