"""The page of a run, without a browser: what it lists, links that lead somewhere, names that stay names, its size."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from campfire.core.files import read_table, read_table_metadata
from campfire.evaluation.profiles.maps import MOST_CELLS
from campfire.report.page.data import PlateFiles, PlateSummary, count_wells, index, read_plate
from campfire.report.page.glance import glance
from campfire.report.page.map import read_map
from campfire.report.page.pictures import choose_pictures
from campfire.report.page.story import means_table
from campfire.report.page.write import as_json, render
from campfire.report.tables.options import TableOptions
from campfire.runs.pages import plate_facts
from support.page_run import EVIL, QUOTED, many_plates, write_map, write_results, write_run

MIB = 1024 * 1024


class Elements(HTMLParser):
    """Elements of a page with their attributes, and the text of its scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def elements(page: Path) -> Elements:
    elements = Elements()
    elements.feed(page.read_text())
    return elements


def embedded(page: Path) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found
    return json.loads(found[1])


def test_plates_and_wells_are_listed_with_their_counts(page: Path) -> None:
    data = embedded(page)
    assert [row["plate"] for row in data["plates"]] == ["P1", "P2"]
    nuclei, quality = (read_table(page.parents[1] / f"{name}/P1.parquet") for name in ("nuclei", "quality"))
    first = data["plates"][0]
    assert (first["sites"], first["kept"]) == (6, 5) == (len(quality), int(quality["kept"].sum()))
    assert (first["nuclei"], first["cells"]) == (len(nuclei), int(nuclei["kept"].sum()))
    wells = pd.DataFrame(data["wells"])
    assert wells["well"].tolist() == ["A01", "A02", "B02", "A01", "C03"]
    last = wells.iloc[2]
    assert (last["sites"], last["kept"]) == (2, 1)
    assert "site blurred" in [data["reasons"][number] for number in last["reasons"]]
    assert data["compounds"][wells["compound"][0]] == ["JCP2022_033924", "DMSO"]
    assert [QUOTED, f"{QUOTED} label"] in data["compounds"]


def test_details_of_a_plate_match_its_tables(page: Path) -> None:
    text = (page.parent / "plates/P1.js").read_text()
    found = re.fullmatch(r'campfire\.plate\("P1",(.*)\);\n', text.replace('"P1", ', '"P1",'))
    assert found
    details = json.loads(found[1])
    nuclei = read_table(page.parents[1] / "nuclei/P1.parquet")
    assert len(details["pictures"]) == 6 and sum(len(shown["x"]) for shown in details["pictures"]) == len(nuclei)
    facts = read_table_metadata(page.parent / "pictures/P1.parquet")
    for shown in details["pictures"]:
        own = nuclei[(nuclei["Metadata_Well"] == shown["well"]) & (nuclei["Metadata_Site"] == shown["site"])]
        assert np.allclose(np.array(shown["x"]) * facts["step"], own["x"], atol=facts["step"])
        assert {number for number, _ in shown["cells"]} <= set(own.loc[own["kept"], "Metadata_Nucleus"])


def test_a_picture_shows_the_nucleus_where_its_circle_is(page: Path) -> None:
    """At the centre of a circle the picture is brighter than the site is on average."""
    summary = read_plate(
        PlateFiles(
            {"plate": "P1", "batch": "", "type": "", "role": ""},
            *(str(page.parents[1] / f"{name}/P1.parquet") for name in ("quality", "nuclei", "page/pictures")),
        )
    )
    sheet = np.asarray(Image.open(page.parent / "sites/P1.jpg").convert("L"), dtype=float)
    facts = summary.details["facts"]
    for shown in summary.details["pictures"]:
        y, x = (part * facts["site_px"] for part in divmod(shown["place"], facts["columns"]))
        picture = sheet[y : y + facts["site_px"], x : x + facts["site_px"]]
        assert picture[shown["y"], shown["x"]].mean() > 1.5 * picture.mean()
    cells = np.asarray(Image.open(page.parent / "cells/P1.jpg").convert("L"), dtype=float)
    px, count = facts["cell_px"], sum(len(shown["cells"]) for shown in summary.details["pictures"])
    assert count > 10
    for _, place in (cell for shown in summary.details["pictures"] for cell in shown["cells"]):
        y, x = (part * px for part in divmod(place, facts["columns"]))
        tile = cells[y : y + px, x : x + px]
        assert tile[px // 2 - 4 : px // 2 + 4, px // 2 - 4 : px // 2 + 4].mean() > tile.mean()


def test_names_stay_names(page: Path, elements: Elements) -> None:
    """No name from a sheet becomes markup or code: in the story, in the data, in a plate's script."""
    text = page.read_text()
    assert EVIL not in text and "<b>bold</b>" not in text
    assert "&lt;/script&gt;" in text and "\\u003c/script\\u003e" in text
    kinds = [attributes.get("type") for attributes in elements.of("script")]
    assert kinds == ["application/json", None], "only the page's own two script elements"
    assert "</script" not in as_json({"a": "</script><!--"}) and json.loads(as_json({"a": "<&>"})) == {"a": "<&>"}


def test_nothing_comes_from_a_network(page: Path, elements: Elements) -> None:
    (policy,) = [a["content"] or "" for a in elements.of("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy and "http" not in policy
    addresses = [
        a.get("src") or a.get("href") or "" for tag in ("img", "a", "script", "link") for a in elements.of(tag)
    ]
    assert not [address for address in addresses if "//" in address]
    assert "innerHTML" not in page.read_text() and "fetch(" not in page.read_text()


def test_links_lead_to_files(page: Path, elements: Elements) -> None:
    addresses = [a["src"] for a in elements.of("img")] + [a["href"] for a in elements.of("a")]
    files = [address for address in addresses if address and not address.startswith("#")]
    assert any(address.endswith(".csv") for address in files) and len(files) >= 8
    for address in files:
        assert (page.parent / address).is_file(), address
    anchors = {a["id"] for _, a in elements.found if a.get("id")}
    assert {(a["href"] or "")[1:] for a in elements.of("a") if (a["href"] or "").startswith("#")} <= anchors
    assert all(image.get("alt") and image.get("loading") == "lazy" for image in elements.of("img"))
    assert elements.of("html")[0]["lang"] == "en"


def test_rows_of_a_block_are_named_so_that_they_can_be_sorted(page: Path) -> None:
    rows = re.findall(r"<tr>(.*?)</tr>", page.read_text())[1:]
    assert len(rows) == 3 and rows[1].startswith("<td>&lt;/script&gt;") and "<b>0.912</b>" in rows[0]


def test_a_run_is_shown_at_a_glance(tmp_path: Path) -> None:
    results = write_results(tmp_path)
    sheets = [tmp_path / f"figures/contact_sheet/P{k}.jpg" for k in range(3)]
    cards = glance([*results, *sheets, tmp_path / "figures/cells.png"], "../")
    assert [(card.question, card.picture) for card in cards] == [
        ("Did segmentation find the nuclei?", "../figures/contact_sheet/P1.jpg"),
        ("What do treated cells look like?", "../figures/cells.png"),
        ("What do the numbers say?", "../figures/ood_gap.png"),
    ]
    assert cards[-1].answer == f"{EVIL} wins.", "the finding of the ranking"
    assert glance([], "../") == []


def test_262_plates_fit_into_30_megabytes(tmp_path: Path) -> None:
    """With maps of all their wells, as if every plate were evaluated, and of as many cells as a map may have."""
    summaries, roles = many_plates(262, 384, 9)
    shown = index(summaries, roles, TableOptions(), "All")
    rng = np.random.default_rng(0)
    cells = roles.sample(MOST_CELLS, random_state=0).assign(Metadata_Site="9", Metadata_Nucleus=1234, unit="cell")
    points = pd.concat([roles.assign(unit="well"), cells])[
        ["Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_Nucleus", "unit"]
    ].assign(encoder="E", share1=0.5, share2=0.2)
    points[["pc1", "pc2"]] = rng.normal(size=(len(points), 2))
    table = pd.concat([points.assign(representation=kind) for kind in ("raw", "sphered")])
    table.astype({"Metadata_Nucleus": "Int64"}).to_csv(tmp_path / "embedding_map.csv", index=False)
    shown["maps"] = read_map(
        [tmp_path / "embedding_map.csv"], [row["plate"] for row in shown["plates"]], shown["wells"]
    )
    assert sorted(len(found["wells"]) for found in shown["maps"]) == [1500, 1500, 262 * 384, 262 * 384]
    text = render(shown, [], "")
    assert len(text.encode()) < 12 * MIB, "the page may have 30 MB with its tables"
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    assert len(data["wells"]["well"]) == 262 * 384


def test_every_well_has_a_picture_before_any_has_two() -> None:
    wells = [f"A{k:02d}" for k in range(1, 11) for _ in range(3)]
    quality = pd.DataFrame(
        {"Metadata_Plate": "P", "Metadata_Well": wells, "Metadata_Site": ["1", "2", "3"] * 10, "kept": True}
    )
    quality.loc[0, "kept"] = False
    chosen = quality.loc[choose_pictures(quality, {("P", "A05", "3")}, 11)]
    assert chosen["Metadata_Well"].nunique() == 10 and len(chosen) == 11
    assert ((chosen["Metadata_Well"] == "A05") & (chosen["Metadata_Site"] == "3")).any()
    assert chosen["kept"].all() and chosen.index.is_monotonic_increasing
    assert len(choose_pictures(quality, (), 1000)) == 30


def test_wells_may_have_more_reasons_than_a_number_has_bits() -> None:
    """`leave_out` and known-bad lists bring reasons in the user's own words."""
    texts = [f"site: reason {number:02d}" for number in range(40)]
    wells = pd.DataFrame(
        {"Metadata_Well": [f"A{n + 1:02d}" for n in range(40)], "sites": 1, "kept": 0, "nuclei": 0, "cells": 0}
    )
    wells["reasons"] = [{text} for text in texts]
    roles = pd.DataFrame(columns=["Metadata_Plate", "Metadata_Well", "Metadata_JCP2022", "split"])
    page = index([PlateSummary({"plate": "P1"}, wells, {})], roles, TableOptions())
    assert [page["reasons"][number] for (number,) in page["wells"]["reasons"]] == texts


def test_reasons_of_a_well_are_of_its_sites_and_nuclei() -> None:
    quality = pd.DataFrame(
        {"Metadata_Well": ["A01", "A01"], "Metadata_Site": ["1", "2"], "kept": [True, False], "reason": ["", "blurred"]}
    )
    nuclei = pd.DataFrame(
        {"Metadata_Well": "A01", "kept": [True, False, False], "reason": ["", "edge", "site blurred"]}
    )
    (row,) = count_wells(quality, nuclei).to_dict("records")
    assert row["reasons"] == {"site blurred", "nucleus edge"} and row["cells"] == 1 and row["kept"] == 1


def test_a_plate_without_images_is_listed() -> None:
    sheet = pd.DataFrame(
        {"Metadata_Plate": ["P1"], "Metadata_Batch": "B", "Metadata_PlateType": "TARGET2", "role": "id"}
    )
    (facts,) = plate_facts(sheet, None)
    roles = pd.DataFrame({"Metadata_Plate": ["P1"], "Metadata_Well": "A01", "Metadata_JCP2022": "X", "split": "test"})
    data = index([read_plate(PlateFiles(facts))], roles, TableOptions(), "t")
    assert data["plates"][0]["sites"] is None and data["wells"]["sites"] == [0]


def test_a_map_has_the_wells_that_the_page_lists(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    wells = pd.DataFrame(
        {"Metadata_Plate": ["P1", "P1", "P2", "P2", "P2"], "Metadata_Well": ["A01", "A02"] * 2 + ["B1"]}
    )
    path = write_map(tmp_path, wells)
    listed = {"plate": [0, 1, 1], "well": ["A02", "A01", "A02"]}
    (found,) = read_map([path], ["P1", "P2"], listed)
    assert found["wells"] == [0, 1, 2] and found["x"] == [0, 500, 1000] and found["y"] == [1000, 500, 0]
    assert found["title"] == "Campfire: wells, raw" and found["axes"] == ["PC 1 (60 %)", "PC 2 (30 %)"]
    assert read_map([], ["P1"], listed) == [] and read_map([path], ["P8", "P7"], listed) == []


def test_a_map_of_cells_names_each_cell(page: Path) -> None:
    wells, cells = embedded(page)["maps"]
    assert (wells["unit"], cells["unit"]) == ("well", "cell") and "nucleus" not in wells
    nuclei = read_table(page.parents[1] / "nuclei/P1.parquet").query("kept")
    listed = pd.DataFrame(embedded(page)["wells"])
    named = list(zip(listed["well"][cells["wells"]], cells["site"], cells["nucleus"], strict=True))
    keys = ["Metadata_Well", "Metadata_Site", "Metadata_Nucleus"]
    assert named == list(nuclei[keys].itertuples(index=False, name=None)) and len(named) > 20
    assert (listed["plate"][cells["wells"]] == 0).all()


def test_points_far_from_all_others_stand_on_the_border(tmp_path: Path) -> None:
    names = [f"A{k:02d}" for k in range(1, 42)]
    table = pd.DataFrame({"Metadata_Plate": "P1", "Metadata_Well": names, "Metadata_Site": "", "Metadata_Nucleus": ""})
    table = table.assign(encoder="E", unit="well", representation="raw", share1=0.6, share2=0.3, pc1=range(41), pc2=0.0)
    table.loc[40, "pc1"] = 4000
    table.to_csv(tmp_path / "embedding_map.csv", index=False)
    (found,) = read_map([tmp_path / "embedding_map.csv"], ["P1"], {"plate": [0] * 41, "well": names})
    assert found["far"] == [40] and found["x"][-1] == 1000 and found["x"][20] > 250, (
        "one far well does not squeeze the others"
    )
    assert set(found["y"]) == {500}


def test_the_page_has_each_difference_in_a_row(tmp_path: Path) -> None:
    row = {
        "split": "mean", "difference": 0.1, "low": 0.05, "high": 0.15, "low_plates": 0.02, "high_plates": 0.18,
        "p_plates": 0.01, "p_holm": 0.02, "holds": True, "statement": "One against two",
    }  # fmt: skip
    rows = [
        row,
        {**row, "split": "test", "difference": 0.9},
        {**row, "statement": "Not", "p_holm": 0.3, "holds": False},
    ]
    path = tmp_path / "differences.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    shown = [[text for text, _ in cells] for cells in means_table(path, "../").rows]
    assert shown[0] == ["One against two", "+0.100", "[+0.020, +0.180]", "plates", "0.020", "above zero"]
    assert len(shown) == 2 and shown[1][5].startswith("above zero, but not after adjustment")
