"""Photograph the page of a run for the README: python tools/screenshots.py results/demo docs/images.

Needs Chromium or Chrome, without a network. It shows the wells of a plate, a well with its nuclei, and a map of cells.
"""

import argparse
import hashlib
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
WIDTH, HEIGHT = 1300, 760
ASSETS = Path(__file__).resolve().parents[1] / "src/campfire/report/page/assets"
DIGEST = "page.sha256"
"""Beside the pictures: digest of the page's template, style and script when they were taken."""


def assets_digest() -> str:
    """SHA-256 of the page's template, style and script."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(ASSETS.iterdir()))).hexdigest()


def browser_path() -> str | None:
    """The browser of this machine, None without one (Debian: apt-get install chromium)."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def photograph(page: Path, folder: Path) -> list[Path]:
    """Write page_plate.jpg and page_well.jpg (of the last plate out of distribution) and page_map.jpg to `folder`."""
    from playwright.sync_api import sync_playwright

    written = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        tab = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, offline=True).new_page()
        tab.goto(page.resolve().as_uri())
        plates = tab.locator("#plates tbody tr", has_text="ood").get_by_role("button")
        plates.last.click()
        for selector, name in (("#plate .grid button", "page_plate.jpg"), ("#well .site circle", "page_well.jpg")):
            tab.wait_for_selector(selector)
            tab.wait_for_timeout(500)
            path = folder / name
            tab.screenshot(path=path, type="jpeg", quality=80)
            written.append(path)
            tab.locator("#plate .grid button").first.click()
        written.append(_photograph_map(tab, page, folder))
        browser.close()
    return written


def _photograph_map(tab: "Page", page: Path, folder: Path) -> Path:
    """Write page_map.jpg to `folder`: the last map, cells after normalisation by batch, with a cell's picture."""
    tab.set_viewport_size({"width": 900, "height": 1400})  # the header covers no part of the map
    tab.goto("about:blank")
    tab.goto(page.resolve().as_uri())
    tab.select_option("#map-kind", index=tab.locator("#map-kind option").count() - 1)
    tab.select_option("#map-colour", "batch")
    tab.locator("#map-canvas").focus()
    for key in ("ArrowRight", "ArrowRight", "Enter"):
        tab.keyboard.press(key)
    tab.wait_for_selector("#map-cell .picture")
    tab.wait_for_timeout(500)
    path = folder / "page_map.jpg"
    tab.locator("#map").screenshot(path=path, type="jpeg", quality=80)
    return path


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, help="results folder of a run with its page")
    parser.add_argument("folder", type=Path, help="where the pictures go")
    given = parser.parse_args(arguments)
    page = given.results / "page/index.html"
    if not page.is_file():
        print(f"{page}: no such page; run the target `page` of this run first", file=sys.stderr)
        return 1
    if browser_path() is None:
        print("no Chromium or Chrome on this machine; install one (Debian: apt-get install chromium)", file=sys.stderr)
        return 1
    for path in photograph(page, given.folder):
        print(path)
    (given.folder / DIGEST).write_text(assets_digest() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
