"""Captions: every table and figure has one, valid for Snakemake's report, and none states a result."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from docutils.core import publish_parts
from jinja2 import Environment, StrictUndefined

from campfire.report import captions, catalogue
from campfire.report.catalogue import Entry
from campfire.report.tables.inputs import function
from campfire.report.tables.options import TableOptions

ENTRIES = [*catalogue.TABLES, *catalogue.FIGURES, catalogue.CONTACT_SHEET]
OPTIONS = TableOptions(protocol="strict", replicates=300, level=0.9)


def to_html(text: str) -> str:
    strict = {"report_level": 1, "halt_level": 2}
    return str(publish_parts(text, writer="html", settings_overrides=strict)["body"])


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.kind} {entry.name}")
def test_every_entry_of_the_catalogue_is_complete(entry: Entry) -> None:
    assert callable(function(entry.function))
    assert entry.section in catalogue.SECTIONS
    caption = captions.of(entry.kind, entry.name)
    text = captions.text(entry.kind, entry.name, OPTIONS)
    assert caption.question.endswith("?") and "{" not in text
    assert ("Protocol: strict." in text) == caption.has_protocol
    assert ("90 % percentile intervals of 300 bootstrap" in text) == caption.has_intervals
    assert not re.search(r"\b0\.[0-9]{3}\b", text), "a caption states no result"
    assert "<strong>" in to_html(captions.restructured(entry.kind, entry.name, OPTIONS))


def test_names_are_unique_and_nothing_is_without_an_entry() -> None:
    for known, entries in ((captions.TABLES, catalogue.TABLES), (captions.FIGURES, catalogue.FIGURES)):
        names = [entry.name for entry in entries]
        assert len(names) == len(set(names))
        assert set(known) - {"ablation", "contact_sheet"} == set(names)


def test_the_paper_is_named_on_its_own_screen_only() -> None:
    assert "Paper: Table 3.1." in captions.text("table", "table_3_1", OPTIONS)
    other = TableOptions(paper_screen=False)
    assert not [e.name for e in ENTRIES if "Paper:" in captions.text(e.kind, e.name, other)]


def test_captions_of_files_render(repository: Path) -> None:
    config = yaml.safe_load((repository / "config" / "config.yaml").read_text())
    params: Any = SimpleNamespace(caption=captions.restructured("figure", "claims", OPTIONS))
    for path in sorted((repository / "workflow" / "report").glob("*.rst")):
        given = SimpleNamespace(config=config, params=params)
        text = Environment(undefined=StrictUndefined).from_string(path.read_text()).render(snakemake=given)
        assert "<strong>" in to_html(text), path.name
