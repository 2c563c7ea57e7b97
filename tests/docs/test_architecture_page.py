"""The tree that docs/architecture.md and CONTRIBUTING.md describe is the one that is there."""

import re
from pathlib import Path

import pytest


@pytest.mark.parametrize("doc", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_every_file_that_is_named_exists(doc: str, repository: Path) -> None:
    text = (repository / doc).read_text(encoding="utf-8")
    named = {name for name in re.findall(r"`([\w./-]+\.(?:py|smk|yaml|tsv|md))`", text) if "<" not in name}
    roots = [repository, repository / "src/campfire", repository / "workflow", repository / "src/campfire/screen/split"]
    roots += [repository / f"src/campfire/images/{room}" for room in ("gallery", "tiles")]
    missing = [name for name in sorted(named) if not any((root / name).exists() for root in roots)]
    assert len(named) > 10 and not missing, missing


def test_the_walks_visit_no_file_twice(repository: Path) -> None:
    text = (repository / "docs/architecture.md").read_text(encoding="utf-8").partition("## Three walks")[2]
    walks = [
        part for part in re.split(r"^\*\*.*\*\*$", text, flags=re.MULTILINE) if re.search(r"^1\. ", part, re.MULTILINE)
    ]
    assert len(walks) == 3
    for walk in walks:
        steps = re.findall(r"^\d+\. `([^`]+)`", walk, re.MULTILINE)
        assert len(steps) == len(set(steps)) and len(steps) >= 6, steps


def test_every_room_is_in_the_tree(repository: Path) -> None:
    text = (repository / "docs/architecture.md").read_text(encoding="utf-8")
    rooms = [path.parent.name for path in (repository / "src/campfire").glob("*/__init__.py")]
    assert all(re.search(rf"^  {room}/ ", text, re.MULTILINE) for room in rooms), rooms
