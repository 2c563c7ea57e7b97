"""Writing the page: one HTML file with its style, script and index inside, and one script of details per plate.

A browser that opens the page as a file may load pictures and scripts beside it, but no JSON: hence scripts. The page's
content security policy allows the page's own script and files beside it, and nothing else: no network, and no code in
a name.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from campfire.core.files import write_text
from campfire.report.findings import about_numbers
from campfire.report.page.data import PlateFiles, index, read_plate
from campfire.report.page.glance import Card, glance
from campfire.report.page.map import read_map
from campfire.report.page.story import ShownChapter, tell
from campfire.report.tables.options import TableOptions

ASSETS = Path(__file__).parent / "assets"
STYLE, SCRIPT = ("page.css",), ("map.js", "page.js")
"""Assets that the page has inside."""
ABOVE = "../"
"""From the page's folder to that of results."""


def write_page(
    path: str | Path,
    plates: Iterable[PlateFiles],
    roles: pd.DataFrame,
    results: Iterable[str | Path],
    options: TableOptions,
    title: str,
    details: Callable[[str], str | Path],
) -> None:
    """Write the page at `path` and each plate's details at `details(plate)`.

    roles: as `page.data.index`. results: files of tables and figures, of which the story is made.
    """
    summaries = []
    for files in plates:
        summary = read_plate(files)
        write_text(details(files.name), plate_script(files.name, summary.details))
        summaries.append(replace(summary, details={}))  # those of 262 plates together are gigabytes
    results = list(results)
    chapters = tell(results, options, ABOVE)
    data = index(summaries, roles, options, title)
    data["maps"] = read_map(results, [row["plate"] for row in data["plates"]], data["wells"])
    write_text(path, render(data, chapters, about_numbers(options), glance(results, ABOVE)))


def plate_script(plate: str, details: Mapping[str, Any]) -> str:
    """The script that hands a plate's details to the page."""
    return f"campfire.plate({as_json(plate)}, {as_json(details)});\n"


def as_json(value: Any) -> str:
    """JSON that may stand inside a script element: no name in it can end the element or open a comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def render(data: Mapping[str, Any], chapters: Iterable[ShownChapter], about: str, cards: Sequence[Card] = ()) -> str:
    """The page in HTML. data: as `page.data.index`; every text is escaped by the template engine."""
    environment = Environment(loader=FileSystemLoader(ASSETS), autoescape=True, undefined=StrictUndefined)
    style, script = (
        "".join((ASSETS / name).read_text(encoding="utf-8") for name in names) for names in (STYLE, SCRIPT)
    )
    return environment.get_template("page.html").render(
        title=data["title"],
        about=about,
        chapters=list(chapters),
        cards=cards,
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        data=as_json(data),
    )


def _hash(text: str) -> str:
    """The digest by which a content security policy names an inline style or script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
