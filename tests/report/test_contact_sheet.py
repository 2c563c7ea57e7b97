"""The contact sheet of a plate: which sites, one contrast, outlines by fate, reasons, a true scale bar."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from campfire.images.nuclei import NucleiOptions, measure, outline_sites, segment, segment_plate
from campfire.images.options import QualityOptions
from campfire.report.figures.contact_sheet import (
    DROPPED,
    KEPT,
    choose_sites,
    draw,
    false_colour,
    make_view,
    plate_limits,
    save_picture,
    shown_channels,
    site_views,
)
from support.nuclei_fields import simulate_field, write_folder


def quality(n: int) -> pd.DataFrame:
    rows = {"Metadata_Plate": "P1", "Metadata_Well": [f"A{k:02d}" for k in range(1, n + 1)], "Metadata_Site": "1"}
    table = pd.DataFrame({**rows, "focus_DNA": np.linspace(-6, -2, n), "nuclei": np.arange(n)[::-1] + 5})
    return table.assign(saturated_DNA=0.0, kept=[True] * (n - 2) + [False] * 2, reason=[""] * (n - 2) + ["blurred"] * 2)


def test_sites_are_best_median_worst_and_left_out() -> None:
    chosen = choose_sites(quality(21))
    assert chosen[("P1", "A19", "1")] == "best focus, fewest nuclei"
    assert chosen[("P1", "A01", "1")] == "worst focus, most nuclei"
    assert chosen[("P1", "A20", "1")] == chosen[("P1", "A21", "1")] == "left out: blurred"
    assert len(chosen) <= 6
    assert len(choose_sites(quality(21).assign(kept=False, reason="empty"), left_out=4)) == 4
    assert choose_sites(quality(3).iloc[:1]) == {("P1", "A01", "1"): "first site"}


def test_contrast_is_the_plates() -> None:
    dim, bright = np.full((40, 40), 100), np.full((40, 40), 1000)
    limits = plate_limits([{"DNA": dim}, {"DNA": bright}])
    assert false_colour({"DNA": dim}, limits).max() < 0.05 < 0.9 < false_colour({"DNA": bright}, limits).max()


@pytest.mark.parametrize("side", [120, 600])
def test_outlines_tell_kept_from_dropped(tmp_path: Path, side: int) -> None:
    dna, _ = simulate_field((300, 330), 30, 14, seed=1)
    labels = segment(dna, 20 / 30)
    nuclei = measure(labels, dna, 20 / 30, NucleiOptions(border="pad"))
    assert set(nuclei["reason"]) == {"", "edge"}
    limits = plate_limits([{"DNA": dna}])
    view = make_view("A01", {"DNA": dna}, limits, labels, nuclei, 20 / 30, side)
    assert max(view.picture.shape) <= side and view.picture.dtype == np.uint8
    step = round(view.um_per_px / (20 / 30))
    for row in nuclei.to_dict("records"):
        box = view.picture[
            row["bbox_y0"] // step : row["bbox_y1"] // step, row["bbox_x0"] // step : row["bbox_x1"] // step
        ]
        colour = np.rint(255 * np.array(KEPT if row["kept"] else DROPPED)).astype(np.uint8)
        assert (box == colour).all(axis=-1).sum() > 5
    assert [why for _, _, why in view.notes] == ["edge"] * int((~nuclei["kept"]).sum())
    figure = draw("P1", [view] * 4)
    figure.savefig(tmp_path / "sheet.png", dpi=100)
    assert (tmp_path / "sheet.png").stat().st_size > 10000
    texts = [text.get_text() for text in figure.axes[0].texts]
    (bar,) = figure.axes[0].lines
    drawn = float(np.ptp(np.asarray(bar.get_xdata(), dtype=float)))
    assert f"{drawn * view.um_per_px:.0f} µm" in texts and texts.count("edge") == len(view.notes)


def test_a_plates_sheet_from_its_files(tmp_path: Path) -> None:
    """What the script does: the labels found again are those of the nuclei table, and the sheet is a small picture."""
    fields = {(f"A{k:02d}", "1"): simulate_field((300, 330), 30, 14, seed=k)[0] for k in range(1, 5)}
    images = {keys: {"DNA": dna, "AGP": dna // 2, "Mito": dna // 3, "ER": dna} for keys, dna in fields.items()}
    write_folder(tmp_path / "P1", images)
    options = NucleiOptions(border="pad")
    nuclei, judged = segment_plate(tmp_path / "P1", 20 / 30, options, QualityOptions(focus_min=-1e9))
    judged.loc[3, ["kept", "reason"]] = False, "blurred"
    chosen = choose_sites(judged)
    channels = shown_channels(["AGP", "Mito", "ER", "DNA"])
    assert channels == ["DNA", "AGP", "Mito"] and chosen["P1", "A04", "1"] == "left out: blurred"
    outlined = list(outline_sites(tmp_path / "P1", chosen, channels, 20 / 30, options))
    assert [site.well for site, _ in outlined] == sorted(well for _, well, _ in chosen)
    for site, labels in outlined:
        own = nuclei[nuclei["Metadata_Well"] == site.well]
        assert np.array_equal(np.bincount(labels.ravel())[1:], own.sort_values("Metadata_Nucleus")["area"])
    views = site_views(chosen, outlined, nuclei, 20 / 30)
    assert [view.title.split("\n")[1] for view in views] == list(chosen.values())
    renumbered = [(site, np.where(labels > 0, labels + 5, 0)) for site, labels in outlined]
    for view, other in zip(views, site_views(chosen, renumbered, nuclei, 20 / 30), strict=True):
        assert np.array_equal(view.picture, other.picture), "nuclei are found by place where numbers differ"
    first, second = tmp_path / "P1.jpg", tmp_path / "again.jpg"
    for path in (first, second):
        save_picture(draw("P1", views), path)
    assert first.read_bytes() == second.read_bytes() and first.stat().st_size < 500_000


def test_a_plate_has_at_most_twelve_sites() -> None:
    table = quality(60).assign(saturated_DNA=np.roll(np.linspace(0, 1, 60), 20))
    table.loc[30:, ["kept", "reason"]] = False, "blurred"
    assert len(choose_sites(table)) == 12
