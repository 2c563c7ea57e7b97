"""The story of the page: chapter by chapter the question, its answers, figures and tables, as the page shows them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from campfire.evaluation.statistics import MEAN
from campfire.report.findings import CHAPTERS, SCREEN, Chapter, Sources, claims, describe_figure, open_figure
from campfire.report.tables.differences import Difference, sentence_end
from campfire.report.tables.options import TableOptions
from campfire.report.tables.render import Table, interval, load, number, numeric_columns
from campfire.report.tables.verdict import leading

FIGURE_FILES = ("csv", "pdf", "svg")
TABLE_FILES = ("csv", "md", "tex")


@dataclass(frozen=True)
class ShownFigure:
    """A figure of the page: a link to its picture, and to its data."""

    name: str
    caption: str
    width: int
    height: int
    """Screen pixels."""
    links: tuple[tuple[str, str], ...]
    """(suffix, address) of its data and of its vector formats."""
    address: str


@dataclass(frozen=True)
class ShownTable:
    """A table of the page; every row has the name of its block, so that rows can be sorted."""

    name: str
    title: str
    columns: tuple[tuple[str, bool], ...]
    """(head, whether it holds numbers)."""
    rows: tuple[tuple[tuple[str, bool], ...], ...]
    """Cells as (text, bold)."""
    notes: tuple[str, ...]
    links: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ShownChapter:
    """A question with its answers, figures and tables."""

    anchor: str
    title: str
    question: str
    answers: tuple[str, ...]
    figures: tuple[ShownFigure, ...]
    tables: tuple[ShownTable, ...]


def tell(
    files: Iterable[str | Path], options: TableOptions, above: str, chapters: Iterable[Chapter] = CHAPTERS
) -> list[ShownChapter]:
    """The chapters of which the run has a figure or table, from the json of tables and the png and csv of figures.

    above: path from the page's folder to that of results, before each address. DataError for a damaged file.
    """
    sources = Sources.of(files)
    told = []
    for chapter in chapters:
        figures = [
            _figure(sources.figures[name], options, above)
            for name in (*chapter.figures, *chapter.pictures)
            if name in sources.figures
        ]
        tables = [(name, load(sources.tables[name])) for name in chapter.tables if name in sources.tables]
        if not figures and not tables:
            continue
        shown = [_table(name, table, above) for name, table in tables]
        if sources.differences is not None and "differences" in chapter.tables:
            shown.insert(0, means_table(sources.differences, above))
        answers = claims(sources.differences, chapter.claims)
        answers += [table.answer for _, table in tables if table.answer] + [text for text, _ in figures if text]
        told.append(
            ShownChapter(
                anchor=chapter.title.lower().replace(" ", "-"),
                title=chapter.title,
                question=chapter.question,
                answers=tuple(answers),
                figures=tuple(figure for _, figure in figures),
                tables=tuple(shown),
            )
        )
    return told


def _links(folder: str, name: str, suffixes: Iterable[str], above: str) -> tuple[tuple[str, str], ...]:
    return tuple((suffix, f"{above}{folder}/{name}.{suffix}") for suffix in suffixes)


def _figure(path: Path, options: TableOptions, above: str) -> tuple[str, ShownFigure]:
    """The answer of a figure, "" where a table has it, and the figure."""
    answer, caption = describe_figure(path, options)
    with open_figure(path) as image:
        width, height = round(SCREEN * image.width), round(SCREEN * image.height)
    links = _links("figures", path.stem, FIGURE_FILES, above)
    return answer, ShownFigure(path.stem, caption, width, height, links, f"{above}figures/{path.name}")


def _table(name: str, table: Table, above: str) -> ShownTable:
    """The table with the name of a block in each of its rows."""
    rows, block = [], ""
    for cells in table.layout.to_numpy():
        block = str(cells[0]) or block
        rows.append(tuple(_cell(text) for text in (block, *map(str, cells[1:]))))
    columns = tuple(zip(map(str, table.layout.columns), numeric_columns(table.layout), strict=True))
    return ShownTable(name, table.title, columns, tuple(rows), table.notes, _links("tables", name, TABLE_FILES, above))


def means_table(path: Path, above: str) -> ShownTable:
    """Each comparison in a row: its mean difference over the quadrants, interval, and what it shows."""
    data = pd.read_csv(path)
    rows = []
    for record in data[data["split"] == MEAN].to_dict("records"):
        found = Difference(float(record["difference"]), *leading(record))
        value = (number(found.value, signed=True), bool(record["holds"]))
        bounds = interval(found.low, found.high, signed=True) or "–"
        texts = (bounds, found.over or "–", number(record["p_holm"]), sentence_end(record))
        rows.append(((str(record["statement"]), False), value, *((text, False) for text in texts)))
    heads = ("Comparison", "Difference", "Interval", "Over", "p, adjusted", "Shows")
    columns = tuple((head, head in ("Difference", "p, adjusted")) for head in heads)
    title = "The mean over the quadrants of each difference."
    links = _links("tables", path.stem, ("csv",), above)
    return ShownTable("differences-means", title, columns, tuple(rows), (), links)


def _cell(text: str) -> tuple[str, bool]:
    bold = len(text) > 4 and text.startswith("**") and text.endswith("**")
    return (text[2:-2], True) if bold else (text, False)
