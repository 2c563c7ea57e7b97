"""A real browser without a window, for tests of the page."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def browser_path() -> str | None:
    """The browser of this machine, None without one (Debian: apt-get install chromium)."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@contextmanager
def started() -> Iterator[Any]:
    """A browser for several pages; no event loop can be started beside it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(page: Path, fragment: str = "", browser: Any = None) -> Iterator[tuple[Any, list[str]]]:
    """The page in a browser that has no network, and a list that collects its errors and its requests of addresses.

    Without a `browser` one is started for this page; nothing is kept from one page to the next.
    """
    problems: list[str] = []
    with nullcontext(browser) if browser else started() as running:
        context = running.new_context(viewport={"width": 1300, "height": 900}, offline=True)
        tab = context.new_page()
        tab.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on("requestfailed", lambda request: problems.append(f"failed: {request.url}"))
        tab.on("request", lambda request: problems.append(request.url) if request.url.startswith("http") else None)
        tab.goto(page.resolve().as_uri() + fragment)
        yield tab, problems
        context.close()
