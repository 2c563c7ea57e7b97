"""The run at a glance: four questions with a picture and a sentence each, at the top of the page."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from campfire.report.answers import ANSWERS
from campfire.report.findings import Sources
from campfire.report.tables.render import load


@dataclass(frozen=True)
class Card:
    """A question, the picture that answers it, and a sentence."""

    question: str
    answer: str
    picture: str
    """Address of the picture."""
    target: str
    """Address that a click opens."""
    crop: str
    """Class of the style that shows the part of the picture that matters."""


NUCLEI = "White: nuclei that became cells. Orange: left out, with the reason."
CELLS = "Random cells of each compound, controls first, all with the same contrast."


def glance(files: Iterable[str | Path], above: str) -> list[Card]:
    """The cards of which the run has the picture.

    files: results of the run; above: path from the page's folder to that of results. DataError for a damaged table.
    """
    paths = [Path(path) for path in files]
    sources = Sources.of(paths)
    sheets = [path for path in paths if path.parent.name == "contact_sheet"]
    cards = []
    if sheets:
        sheet = f"{above}figures/contact_sheet/{sheets[len(sheets) // 2].name}"
        text = " ".join([_answer(sources, "attrition"), NUCLEI]).strip()
        cards.append(Card("Did segmentation find the nuclei?", text, sheet, sheet, "sheet"))
    for question, names, text, target, crop in (
        ("What do treated cells look like?", ("cells",), CELLS, "#cells", "treated"),
        ("What does the model fill in?", ("unseen", "figure_3_3"), _learned(sources), "#pretraining", "filled"),
        ("What do the numbers say?", ("ood_gap", "figure_3_4"), _answer(sources, "ranking"), "#answers", "numbers"),
    ):
        name = next((name for name in names if name in sources.figures), None)
        if name:
            cards.append(Card(question, text, f"{above}figures/{name}.png", target, crop))
    return cards


def _answer(sources: Sources, table: str) -> str:
    """The finding of a table; "" where the run has no such table."""
    return load(sources.tables[table]).answer if table in sources.tables else ""


def _learned(sources: Sources) -> str:
    """Whether pretraining learned to fill in channels, in the first sentence of its finding."""
    path = sources.figures.get("training_curves")
    text = ANSWERS["training_curves"](pd.read_csv(path.with_suffix(".csv"))) if path else ""
    first, end, _ = text.partition(". ")
    return first + end.strip()
