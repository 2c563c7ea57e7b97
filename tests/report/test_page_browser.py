"""The page in a real browser: opened as a file, filtered, browsed with the keyboard, its pictures seen, no error."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from campfire.core.files import write_text
from campfire.report.page.data import index
from campfire.report.page.story import ShownChapter, ShownTable
from campfire.report.page.write import render
from campfire.report.tables.options import TableOptions
from support.browser import browser_path, opened, started
from support.page_run import EVIL, QUOTED, many_plates, write_run

pytestmark = pytest.mark.skipif(
    browser_path() is None, reason="no Chromium or Chrome on this machine (Debian: apt-get install chromium)"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with started() as running:
        yield running


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"))


BACKGROUND = "node => getComputedStyle(node).backgroundImage.slice(5, -2)"
SIZE = """async address => {
    const image = new Image();
    image.src = address;
    await image.decode();
    return [image.naturalWidth, image.naturalHeight];
}"""


def test_filters_and_sorting(browser: Any, page: Path) -> None:
    with opened(page, browser=browser) as (tab, problems):
        assert tab.title() == f"Run {QUOTED}"
        assert tab.locator("#wells tbody tr").count() == 5 and "5 of 5 wells on 2 plates" in tab.inner_text("#summary")
        tab.select_option("#filter-compound", EVIL)
        assert tab.locator("#wells tbody tr").count() == 2 and "2 of 5 wells" in tab.inner_text("#summary")
        tab.select_option("#filter-plate", "P2")
        assert tab.locator("#wells tbody tr").count() == 1 and "compound=" in tab.url
        tab.go_back()
        assert tab.locator("#wells tbody tr").count() == 2, "the back button undoes a filter"
        tab.get_by_role("button", name="Show all").click()
        tab.select_option("#filter-reason", "site blurred")
        assert tab.locator("#wells tbody tr").count() == 2
        tab.get_by_role("button", name="Show all").click()
        head = tab.locator("#wells th", has_text="Nuclei")
        head.get_by_role("button").click()
        values = [int(text) for text in tab.locator("#wells tbody tr td:nth-child(7)").all_inner_texts()]
        assert values == sorted(values) and head.get_attribute("aria-sort") == "ascending"
        accuracies = "#table-ranking tbody tr td:nth-child(2)"
        tab.locator("#table-ranking th", has_text="Accuracy").get_by_role("button").click()
        assert tab.locator(accuracies).all_inner_texts() == ["−0.100", "0.811", "0.912"]
        assert EVIL in tab.inner_text("#table-ranking"), "a name is shown as it is"
        assert problems == []


def test_a_long_table_shows_its_first_rows_and_all_on_request(browser: Any, tmp_path: Path) -> None:
    rows = tuple((("Encoder", False), (f"{k}", False)) for k in range(60))
    columns = (("Encoder", False), ("Rank", True))
    chapter = ShownChapter("a", "A", "Q?", (), (), (ShownTable("long", "Long", columns, rows, (), ()),))
    path = tmp_path / "index.html"
    write_text(path, render(index([], pd.DataFrame(columns=["Metadata_Plate"]), TableOptions(), "All"), [chapter], ""))
    shown = "#table-long tbody tr:visible"
    with opened(path, browser=browser) as (tab, problems):
        assert tab.locator(shown).count() == 25
        head = tab.locator("#table-long th", has_text="Rank").get_by_role("button")
        head.click()
        head.click()
        assert tab.locator(shown).count() == 25 and tab.locator(f"{shown} td:nth-child(2)").first.inner_text() == "59"
        tab.get_by_role("button", name="Show all 60 rows").click()
        assert tab.locator(shown).count() == 60
        assert problems == []


def test_a_map_of_wells_opens_the_well_by_mouse_and_keyboard(browser: Any, page: Path) -> None:
    with opened(page, browser=browser) as (tab, problems):
        canvas = tab.locator("#map-canvas")
        titles = ["Campfire: wells, raw", "Campfire: cells, raw"]
        assert tab.locator("#map-kind option").all_inner_texts() == titles
        assert f"{EVIL} (2)" in tab.locator("#map-legend li").all_inner_texts(), "a name is shown as it is"
        tab.select_option("#map-colour", "plate")
        assert tab.locator("#map-legend li").all_inner_texts() == ["P1 (3)", "P2 (2)"]
        canvas.focus()
        said = []
        for key in ("ArrowUp", "ArrowRight", "ArrowRight", "ArrowLeft"):
            tab.keyboard.press(key)
            said.append(tab.inner_text("#map-says").split(":")[0])
        assert said == ["P1 B02", "P2 A01", "P2 C03", "P2 A01"], "the first key chooses the point in the middle"
        tab.keyboard.press("Enter")
        tab.wait_for_selector("#well h3")
        assert "Well A01 of plate P2" in tab.inner_text("#well")
        canvas.scroll_into_view_if_needed()
        canvas.click(position={"x": 15, "y": 505})
        tab.wait_for_function("() => document.getElementById('well').textContent.includes('Well A01 of plate P1')")
        tab.select_option("#filter-plate", "P2")
        assert tab.locator("#map-legend li").all_inner_texts() == ["P2 (2)"], "the filter counts"
        assert problems == []


def test_a_map_is_coloured_by_well_position(browser: Any, page: Path) -> None:
    with opened(page, browser=browser) as (tab, problems):
        tab.select_option("#map-colour", "well row")
        assert tab.locator("#map-legend li").all_inner_texts() == ["A", "B", "C"], "in the order of the plate"
        tab.select_option("#map-colour", "well column")
        assert tab.locator("#map-legend li").all_inner_texts() == ["1", "2", "3"]
        shades = [mark.evaluate("node => node.style.background") for mark in tab.locator("#map-legend i").all()]
        assert shades == ["rgb(68, 1, 84)", "rgb(33, 145, 140)", "rgb(253, 231, 37)"]
        assert problems == []


def test_a_cell_of_the_map_shows_its_picture(browser: Any, page: Path) -> None:
    pictured = {}
    with opened(page, browser=browser) as (tab, problems):
        tab.select_option("#map-kind", "1")
        canvas = tab.locator("#map-canvas")
        canvas.focus()
        for _ in range(8):
            tab.keyboard.press("ArrowUp")
            said = tab.inner_text("#map-says")
            assert ", site " in said and ", nucleus " in said
            tab.keyboard.press("Enter")
            tab.wait_for_selector("#map-cell .picture")
            address = tab.locator("#map-cell .picture").evaluate(BACKGROUND)
            pictured[said] = address.rsplit("/", 2)[-2]
            assert min(tab.evaluate(SIZE, address)) > 50
        assert set(pictured.values()) == {"cells", "sites"}, "a cell without a picture is shown on that of its site"
        tab.locator("#map-cell button").click()
        tab.wait_for_selector("#well h3")
        assert "of plate P1" in tab.inner_text("#well")
        tab.select_option("#map-kind", "0")
        assert tab.locator("#map-cell .picture").count() == 0
        assert problems == []


def test_from_plate_to_cell_with_the_keyboard_alone(browser: Any, page: Path) -> None:
    with opened(page, browser=browser) as (tab, problems):
        tab.locator("#plates tbody button").first.focus()
        tab.keyboard.press("Enter")
        tab.wait_for_selector("#plate .grid button")
        tab.locator("#plate .grid button").first.focus()
        tab.keyboard.press("ArrowRight")
        assert "Well A02" in (tab.locator(":focus").get_attribute("aria-label") or "")
        tab.keyboard.press("Enter")
        tab.wait_for_selector("#well .site circle")
        assert "Well A02 of plate P1" in tab.inner_text("#well")
        assert tab.locator("#well .site").count() == 2 and tab.locator("#well circle").count() > 8
        assert "µm" in (tab.locator("#well svg text").last.text_content() or "")
        cell = tab.locator("#well .cells button").first
        cell.focus()
        assert tab.locator("#well circle.chosen").count() == 1, "a cell shows where it is in its site"
        for selector in ("#plate .grid button", "#well .picture", "#well .cells button"):
            address = tab.locator(selector).first.evaluate(BACKGROUND)
            width, height = tab.evaluate(SIZE, address)
            assert min(width, height) > 50, f"{selector}: no picture at {address}"
        tab.keyboard.press("Escape")
        assert tab.locator("#well h3").count() == 0 and tab.locator("#plate .grid").count() == 1
        assert problems == []


def test_a_view_can_be_sent_as_an_address(browser: Any, page: Path) -> None:
    with opened(page, "#open=P1&well=B02", browser=browser) as (tab, problems):
        tab.wait_for_selector("#well .site circle.lost")
        assert "left out: blurred" in tab.inner_text("#well")
        assert problems == []


def test_a_lost_file_is_named(browser: Any, page: Path, tmp_path: Path) -> None:
    alone = tmp_path / "index.html"
    write_text(alone, page.read_text())
    with opened(alone, "#open=P1", browser=browser) as (tab, _):
        tab.wait_for_selector("[role=alert]")
        assert "plates/P1.js cannot be read" in tab.inner_text("[role=alert]")


def test_262_plates_open_and_filter_in_seconds(browser: Any, tmp_path: Path) -> None:
    summaries, roles = many_plates(262, 384, 9)
    path = tmp_path / "index.html"
    write_text(path, render(index(summaries, roles, TableOptions(), "All"), [], ""))
    started = time.monotonic()
    with opened(path, browser=browser) as (tab, problems):
        assert "100,608 of 100,608 wells" in tab.inner_text("#summary")
        assert time.monotonic() - started < 60, "loose: machines differ, and so does their load"
        tab.select_option("#filter-plate", "BR00000007")
        assert tab.locator("#wells tbody tr").count() == 25
        tab.get_by_role("button", name="Show more (25 of 384)").click()
        assert tab.locator("#wells tbody tr").count() == 125
        assert problems == []
