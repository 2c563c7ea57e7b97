"""The configs that docs/encoders.md shows are ones that the kinds take."""

import re
from pathlib import Path

import pytest
import yaml

from campfire.encoders import KINDS
from campfire.encoders.registry import options_of


@pytest.fixture(scope="module")
def shown(repository: Path) -> list[dict[str, object]]:
    text = (repository / "docs/encoders.md").read_text(encoding="utf-8")
    return [yaml.safe_load(found) for found in re.findall(r"\{kind: .*?\}(?=`|\n)", text)]


def test_every_shown_config_is_valid(shown: list[dict[str, object]]) -> None:
    for spec in shown:
        options_of(spec)


def test_every_kind_has_an_example(shown: list[dict[str, object]]) -> None:
    assert {str(spec["kind"]) for spec in shown} == set(KINDS)


def test_licences_are_in_the_table(repository: Path) -> None:
    text = (repository / "docs/encoders.md").read_text(encoding="utf-8")
    for name, kind in KINDS.items():
        if kind.source is not None:
            row = next(line for line in text.splitlines() if f"{{kind: {name}," in line)
            known = kind.source.code_licence.split(" by ")[0]
            assert known in row or "the same" in row, name
