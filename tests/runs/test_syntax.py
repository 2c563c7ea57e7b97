"""What is read of a file's statements, and what is remembered of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from campfire.runs import syntax

TEXT = '''"""A module."""
import numpy as np
from typing import TYPE_CHECKING

from ..core import files as f

if TYPE_CHECKING:
    from campfire.model import Late

A, B = 1, 2


def area(x):
    from campfire.room import side

    return np.linalg.norm(x) * side + len("campfire.room")


if __name__ == "__main__":
    area(f)
'''


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    syntax.memory.cache_clear()
    syntax.statements.cache_clear()
    yield tmp_path
    syntax.memory.cache_clear()
    syntax.statements.cache_clear()


def test_statements_say_what_they_bind_import_and_name() -> None:
    found = list(syntax.read(TEXT))
    assert [one.kind for one in found] == ["text", "import", "import", "import", "types", "code", "code", "main"]
    assert found[3].imports == (syntax.Import("core", 2, "files", "f"),)
    assert found[4].imports == (syntax.Import("campfire.model", 0, "Late", ""),)
    assert found[5].bound == ("A", "B") and found[6].bound == ("area",)
    assert ("np", ("linalg", "norm")) in found[6].attributes and "campfire.room" in found[6].texts
    assert found[6].imports == (syntax.Import("campfire.room", 0, "side", ""),)


def test_what_is_remembered_is_what_is_read(memory: Path) -> None:
    first = syntax.statements(TEXT)
    syntax.statements.cache_clear()
    (kept,) = memory.rglob("*.json")
    assert syntax.statements(TEXT) == first == tuple(syntax.read(TEXT))
    kept.write_text(kept.read_text().replace('"area"', '"volume"'))
    syntax.statements.cache_clear()
    assert syntax.statements(TEXT)[6].bound == ("volume",), "memory was not used"


@pytest.mark.parametrize("damage", ["", "[{", "[1]", '[{"kind": "code"}]'])
def test_damaged_memory_is_read_again(memory: Path, damage: str) -> None:
    first = syntax.statements(TEXT)
    (kept,) = memory.rglob("*.json")
    kept.write_text(damage)
    syntax.statements.cache_clear()
    assert syntax.statements(TEXT) == first
    syntax.statements.cache_clear()
    assert syntax.statements(TEXT) == first and len(kept.read_text()) > 100


def test_a_folder_that_cannot_be_written_is_no_obstacle(memory: Path) -> None:
    (memory / "campfire").write_text("a file in its place")
    assert syntax.statements(TEXT) == tuple(syntax.read(TEXT))
