"""The results as one page to read: question, answer in a sentence, figure, table; chapter by chapter.

It is built from saved tables and figures and needs no other file, script or network.
"""

import base64
import html
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from campfire.core.errors import DataError
from campfire.evaluation.statistics import MEAN
from campfire.report import answers, captions
from campfire.report.tables.differences import sentence
from campfire.report.tables.options import TableOptions
from campfire.report.tables.render import STYLE, html_table, load

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Chapter:
    """A question and the tables and figures, by name, that answer it."""

    title: str
    question: str
    figures: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    """Suffixes of the names of paired differences whose sentence comes first."""
    pictures: tuple[str, ...] = ()
    """Figures of the page to browse alone, after the others: pages inside the Snakemake report hold 2 MB."""


CHAPTERS = (
    Chapter("Encoders", "Which encoder is best?", (), ("ranking",)),
    Chapter(
        "The split",
        "Which wells are used for training, and which are held out for which test?",
        ("figure_2_1",),
        ("quadrants", "attrition"),
    ),
    Chapter("Cells", "What do the cells of a compound look like?", ("cells",)),
    Chapter(
        "Pretraining",
        "Did the model learn to fill in the parts of a cell that it does not see?",
        ("training_curves", "figure_3_3", "figure_2_2"),
        pictures=("unseen",),
    ),
    Chapter(
        "Plates and compounds",
        "Do representations generalise to held-out plates and compounds?",
        ("ood_gap",),
        ("table_3_1", "seeds", "gaps", "laboratories"),
    ),
    Chapter(
        "Channels",
        "Does the representation improve as channels are added, and does it transfer to unseen channels?",
        ("figure_3_4",),
        ("table_3_2", "unseen_channels", "training_channels"),
        ("_channels",),
    ),
    Chapter("Differences", "Which differences hold up?", ("claims",), ("differences", "seed_differences")),
    Chapter(
        "Protocols and leakage",
        "How much does data leakage add to the accuracies?",
        (),
        ("leakage", "outside_cell", "protocols"),
    ),
    Chapter(
        "Profiles of wells",
        "Are replicates retrieved across plates, and how much of a profile is plate and batch?",
        ("profiles", "embedding_map", "similarity"),
        ("profiles", "retrieval", "variance"),
        pictures=("typical",),
    ),
    Chapter("Another screen", "Does the representation transfer to another cell type?", ("figure_3_5",), ("transfer",)),
    Chapter("All numbers", "What are all accuracies?", ("confusion",), ("accuracies",)),
)

PAGE_STYLE = STYLE + (
    "h2{margin-top:3rem;border-top:1px solid #ddd;padding-top:1rem}h3{font-size:.95rem;margin-top:1.6rem}"
    "img{max-width:100%;height:auto}figure{margin:1rem 0}figcaption{color:#555;font-size:.85rem;max-width:62rem}"
    ".question{font-style:italic;margin-bottom:.2rem}.wide{overflow-x:auto}dt{margin-top:.6rem}dd{margin-left:1rem}"
    "summary{cursor:pointer;color:#555;font-size:.85rem}body{max-width:80rem}td,th{white-space:nowrap}"
    ".wide table{font-size:.82rem}.wide td,.wide th{padding:.15rem .45rem}.name{white-space:normal;max-width:16rem}"
)


@dataclass(frozen=True)
class _Written:
    """A chapter in HTML and its entry in the contents."""

    section: str
    contents: str


def _table(path: Path) -> tuple[str, str]:
    """The answer of a table, and the table with its title and notes (html)."""
    table = load(path)
    notes = "\n".join(f'<p class="note">{html.escape(note)}</p>' for note in table.notes)
    details = f"<details><summary>What the numbers mean</summary>{notes}</details>" if notes else ""
    shown = f'<div class="wide">{html_table(table)}</div>'
    return html.escape(table.answer), f"<h3>{html.escape(table.title)}</h3>\n{shown}\n{details}"


SCREEN = 0.7
"""Screen pixels per printed dot (200 dpi) at which the page shows a figure."""


def _small(image: "Image.Image") -> bytes:
    """The image as WebP; sheets of images at the size at which they are shown, since pages of the report hold 2 MB."""
    if image.width * image.height > 2_000_000:
        return _webp(image.resize((round(SCREEN * image.width), round(SCREEN * image.height)), resample=3), quality=50)
    # Line drawings are often shorter without loss, and then sharp.
    return min(_webp(image, quality=75), _webp(image, lossless=True), key=len)


def _webp(image: "Image.Image", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", method=4, **options)
    return buffer.getvalue()


@contextmanager
def open_figure(path: Path) -> Iterator["Image.Image"]:
    """The picture of a figure; DataError where it cannot be read."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            yield image
    except (OSError, SyntaxError) as error:
        raise DataError(f"{path}: not a readable PNG ({error}); delete it and make the figure again") from error


def describe_figure(path: Path, options: TableOptions) -> tuple[str, str]:
    """The answer of a figure ("" where a table has it) and its caption with the sample sizes of its csv."""
    source = path.with_suffix(".csv")
    if not source.is_file():
        raise DataError(f"{source}: the data behind {path.name} is missing; make the figure again")
    columns = pd.read_csv(source, nrows=0).columns
    data = pd.read_csv(source, usecols=[name for name in columns if not re.fullmatch(r"x\d+", name)])
    shown = " ".join([captions.text("figure", path.stem, options), answers.counts(path.stem, data)])
    return answers.ANSWERS[path.stem](data) if path.stem in answers.ANSWERS else "", shown


def _figure(path: Path, options: TableOptions) -> tuple[str, str]:
    """The answer, and the figure inside the page with its caption."""
    with open_figure(path) as image:
        content, width = _small(image.convert("RGB")), int(SCREEN * image.width)
    answer, shown = describe_figure(path, options)
    embedded = base64.b64encode(content).decode("ascii")
    return html.escape(answer), (
        f'<figure><img width="{width}" alt="{html.escape(path.stem)}" src="data:image/webp;base64,{embedded}">'
        f"<figcaption>{html.escape(shown)}</figcaption></figure>"
    )


def claims(path: Path | None, endings: tuple[str, ...]) -> list[str]:
    """Sentences on the mean over the quadrants, from tables/differences.csv."""
    if path is None or not endings:
        return []
    rows = pd.read_csv(path)
    rows = rows[(rows["split"] == MEAN) & rows["claim"].str.endswith(endings)]
    return [sentence(record) for record in rows.to_dict("records")]


@dataclass(frozen=True)
class Sources:
    """The saved tables (json) and figures (png) of a run by name, and its table of differences."""

    tables: Mapping[str, Path]
    figures: Mapping[str, Path]
    differences: Path | None

    @classmethod
    def of(cls, files: Iterable[str | Path]) -> "Sources":
        paths = [Path(path) for path in files]
        return cls(
            tables={path.stem: path for path in paths if path.suffix == ".json"},
            figures={path.stem: path for path in paths if path.suffix == ".png"},
            differences=next((path for path in paths if path.name == "differences.csv"), None),
        )


def _chapter(chapter: Chapter, sources: Sources, options: TableOptions) -> _Written | None:
    """Question, answers, figures, tables; None for a chapter without any of the run's items."""
    tables = [_table(sources.tables[name]) for name in chapter.tables if name in sources.tables]
    images = [_figure(sources.figures[name], options) for name in chapter.figures if name in sources.figures]
    if not tables and not images:
        return None
    found = [html.escape(claim) for claim in claims(sources.differences, chapter.claims)]
    found += [answer for answer, _ in [*tables, *images] if answer]
    anchor, question = chapter.title.lower().replace(" ", "-"), html.escape(chapter.question)
    lines = [
        f'<section id="{anchor}"><h2>{html.escape(chapter.title)}</h2>',
        f'<p class="question">{question}</p>',
        *(f'<p class="answer">{answer}</p>' for answer in found),
        *(image for _, image in images),
        *(table for _, table in tables),
        "</section>",
    ]
    contents = f'<dt><a href="#{anchor}">{question}</a></dt><dd>{" ".join(found[:2])}</dd>' if found else ""
    return _Written("\n".join(lines), contents)


def about_numbers(options: TableOptions) -> str:
    """What all numbers of a run have in common, in a few sentences."""
    about = (
        f"Numbers are those of protocol {options.protocol} unless a table says otherwise. Intervals "
        f"({100 * options.level:g} %) say what they are over, plates or wells. A pretrained encoder stands for one "
        "pretraining seed; only the tables over seeds cover others."
    )
    if not options.paper_screen:
        about += " This run is not on the paper's screen: its numbers neither confirm nor contradict the paper's."
    return about


def build(
    files: Iterable[str | Path],
    title: str,
    options: TableOptions | None = None,
    chapters: Iterable[Chapter] = CHAPTERS,
) -> str:
    """The page, from the json of tables and the png and csv of figures; empty chapters are left out.

    It opens with every question and its answer. Raises DataError when no file belongs to a chapter or one is damaged.
    """
    options, sources = options or TableOptions(), Sources.of(files)
    written = [found for chapter in chapters if (found := _chapter(chapter, sources, options))]
    if not written:
        raise DataError("findings: none of the files is a table or figure of the report; make tables and figures first")
    about = about_numbers(options)
    contents = "".join(chapter.contents for chapter in written)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{PAGE_STYLE}</style></head><body>\n<h1>{html.escape(title)}</h1>\n"
        f'<p class="note">{html.escape(about)}</p>\n<dl>{contents}</dl>\n'
        + "\n".join(chapter.section for chapter in written)
        + "\n</body></html>\n"
    )
