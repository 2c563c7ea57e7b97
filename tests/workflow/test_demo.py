"""What the demo's tables must show, asserted on the tables that `make demo` wrote."""

import os
import re
from pathlib import Path

import pandas as pd
import pytest

from campfire.core.files import read_table_metadata
from support.browser import browser_path, opened


@pytest.fixture(scope="module")
def demo(repository: Path) -> Path:
    folder = repository / "results" / "demo"
    if not (folder / "tables" / "differences.csv").is_file():
        if os.environ.get("CI"):
            pytest.fail("the demo's tables are missing; `make demo` runs before the tests in CI")
        pytest.skip("run `make demo` first")
    return folder


def differences(demo: Path, claim: str) -> pd.Series:
    table = pd.read_csv(demo / "tables/differences.csv")
    rows = table[(table["claim"] == claim) & (table["split"] == "mean")]
    assert len(rows) == 1, f"{claim}: {len(rows)} rows"
    return rows.iloc[0]


def test_all_four_quadrants_beat_chance(demo: Path) -> None:
    table = pd.read_csv(demo / "tables/accuracies.csv")
    rows = table[(table["encoder"] == "campfire") & (table["channels"] == "DNA_AGP_Mito")]
    rows = rows[rows["protocol"] == "release"].set_index("split")
    assert sorted(rows.index) == ["test", "test_ood_both", "test_ood_compound", "test_ood_plate"]
    assert (rows["low"] > rows["chance"]).all(), rows[["accuracy", "low", "chance"]]


def test_training_beats_the_untrained_twin(demo: Path) -> None:
    row = differences(demo, "campfire_trained")
    assert row["low"] > 0, row


def test_three_channels_beat_the_best_single_one(demo: Path) -> None:
    row = differences(demo, "campfire_channels")
    assert row["difference"] > 0, row


def test_every_table_and_figure_is_there(demo: Path) -> None:
    tables = [
        "table_3_1",
        "table_3_2",
        "differences",
        "gaps",
        "leakage",
        "quadrants",
        "attrition",
        "accuracies",
        "transfer",
    ]
    tables += ["protocols", "profiles", "retrieval", "variance", "ranking"]
    figures = ["figure_2_1", "figure_3_3", "figure_3_4", "figure_3_5", "training_curves", "ood_gap", "claims"]
    figures += ["confusion", "profiles", "figure_2_2", "cells", "embedding_map", "similarity", "typical", "unseen"]
    for name in tables:
        for suffix in ("csv", "md", "tex", "html", "json"):
            assert (demo / f"tables/{name}.{suffix}").stat().st_size > 50, f"{name}.{suffix}"
    for name in figures:
        for suffix in ("svg", "pdf", "png", "csv"):
            assert (demo / f"figures/{name}.{suffix}").stat().st_size > 50, f"{name}.{suffix}"
    sheets = {path.stem: path.stat().st_size for path in (demo / "figures/contact_sheet").glob("*.jpg")}
    assert set(sheets) == {path.stem for path in (demo / "nuclei").glob("*.parquet")}
    assert all(10_000 < size < 600_000 for size in sheets.values()), sheets
    drawn = {name: (demo / f"figures/{name}.svg").stat().st_size for name in figures}
    assert all(size < 1_000_000 for size in drawn.values()), drawn
    assert 100_000 < (demo / "report.html").stat().st_size < 13_000_000


def test_embeddings_name_their_pooling_and_scale(demo: Path) -> None:
    for encoder, pooling, scale in (
        ("campfire", "mean", "tile"),
        ("untrained", "mean", "tile"),
        ("features", None, "counts"),
    ):
        paths = sorted((demo / "embeddings" / encoder).rglob("*.parquet"))
        assert paths
        facts = [read_table_metadata(path) for path in paths]
        assert {(fact.get("pooling"), fact["normalisation"]) for fact in facts} == {(pooling, scale)}


def test_the_findings_tell_the_whole_story(demo: Path) -> None:
    page = (demo / "findings.html").read_text()
    chapters = ["The split", "Pretraining", "Plates and compounds", "Channels", "Differences", "Protocols and leakage"]
    places = [page.index(f"<h2>{title}</h2>") for title in [*chapters, "Profiles of wells", "Another screen"]]
    assert places == sorted(places)
    assert len(page) < 1_400_000, "as base64 above 2 MB: browsers leave it blank inside the report"
    assert page.count("<figcaption>") == 13
    words = re.sub(r"data:image/[^\"]*", "", page)
    assert not re.search(r"\bnan\b", words, re.IGNORECASE), "a number is missing"


def test_the_page_to_browse_is_there_and_small(demo: Path) -> None:
    plates = {path.stem for path in (demo / "nuclei").glob("*.parquet")}
    assert (demo / "page/index.html").stat().st_size < 3_000_000
    for folder, suffix in (("sites", "jpg"), ("cells", "jpg"), ("plates", "js")):
        sizes = {path.stem: path.stat().st_size for path in (demo / "page" / folder).glob(f"*.{suffix}")}
        assert set(sizes) == plates and all(1_000 < size < 1_000_000 for size in sizes.values()), sizes


@pytest.mark.skipif(browser_path() is None, reason="no Chromium or Chrome on this machine")
def test_the_page_opens_at_once(demo: Path) -> None:
    with opened(demo / "page/index.html") as (tab, problems):
        tab.wait_for_selector("#wells tbody tr")
        took = tab.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
        assert took < 6_000, f"{took} ms; 2 s on an idle machine"
        assert problems == []


def test_raw_images_are_gone_and_nothing_is_half_written(demo: Path) -> None:
    assert not list((demo / "images").glob("*"))
    assert not list(demo.rglob("*.partial*"))
