"""The results as one page to read: question, answer in a sentence, figure, table; chapter by chapter.

The page is made from the files of tables and figures alone and needs no other file, script or network.
"""

import base64
import html
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from campfire.errors import DataError
from campfire.tables.render import STYLE


@dataclass(frozen=True)
class Chapter:
    """A question and the tables and figures, by name, that answer it."""

    title: str
    question: str
    figures: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()


CHAPTERS = (
    Chapter(
        "The split",
        "Which wells are trained on, and which are kept for which test?",
        ("figure_2_1",),
        ("quadrants",),
    ),
    Chapter(
        "Pretraining",
        "Did the model learn to fill in the parts of a cell it does not see?",
        ("figure_3_3", "training_curves"),
    ),
    Chapter(
        "Plates and compounds",
        "Do representations generalise to plates and compounds that were held out?",
        ("ood_gap",),
        ("table_3_1", "gaps"),
    ),
    Chapter(
        "Channels",
        "Does the representation improve as channels are added, and does it carry over to channels never seen?",
        ("figure_3_4",),
        ("table_3_2",),
    ),
    Chapter("Differences", "Which of the differences hold up?", ("claims",), ("differences",)),
    Chapter("Protocols", "What are the leaks of an evaluation worth?", (), ("leaks",)),
    Chapter(
        "Another screen", "Does the representation carry over to another cell type?", ("figure_3_5",), ("transfer",)
    ),
    Chapter("All numbers", "What was measured in all?", ("confusion",), ("accuracies",)),
)

_PARTS = re.compile(
    r"<h1>(?P<title>.*?)</h1>\s*(?P<answer><p class=\"answer\">.*?</p>)?\s*"
    r"(?P<table><table>.*?</table>)(?P<notes>.*?)</body>",
    re.DOTALL,
)


def _table(path: Path) -> tuple[str, str]:
    """The answer and the rest of a table's page."""
    found = _PARTS.search(path.read_text(encoding="utf-8"))
    if not found:
        raise DataError(f"{path}: not a table's page; delete it and make the table again")
    notes = f"<details><summary>What the numbers mean</summary>{found['notes']}</details>"
    return found["answer"] or "", f"<h3>{found['title']}</h3>\n{found['table']}\n{notes}"


def _figure(path: Path) -> str:
    """A figure as an image inside the page, at the size of its print (200 dpi)."""
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<img alt="{html.escape(path.stem)}" src="data:image/png;base64,{data}">'


def build(files: Iterable[str | Path], title: str, chapters: Iterable[Chapter] = CHAPTERS) -> str:
    """The page, from the html of tables and the png of figures among `files`; chapters without any are left out.

    Raises DataError when no file belongs to a chapter.
    """
    paths = [Path(path) for path in files]
    tables = {path.stem: path for path in paths if path.suffix == ".html"}
    figures = {path.stem: path for path in paths if path.suffix == ".png"}
    parts = []
    for chapter in chapters:
        chosen = [_table(tables[name]) for name in chapter.tables if name in tables]
        images = [_figure(figures[name]) for name in chapter.figures if name in figures]
        if not chosen and not images:
            continue
        answers = [answer for answer, _ in chosen if answer]
        parts.append(
            "\n".join(
                [
                    f"<section><h2>{html.escape(chapter.title)}</h2>",
                    f"<p><i>{html.escape(chapter.question)}</i></p>",
                    *answers,
                    *images,
                    *(rest for _, rest in chosen),
                    "</section>",
                ]
            )
        )
    if not parts:
        raise DataError("findings: none of the files is a table or figure of the report; make tables and figures first")
    style = (
        STYLE + "h2{margin-top:2.5rem}h3{font-size:.95rem}img{max-width:100%;margin:.5rem 0}section{overflow-x:auto}"
    )
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{style}</style></head><body>\n<h1>{html.escape(title)}</h1>\n{body}\n</body></html>\n"
    )
