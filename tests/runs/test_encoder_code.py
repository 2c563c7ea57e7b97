"""An edit of one kind of encoder reruns the embeddings of its own encoders alone."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from campfire.encoders import KINDS
from campfire.runs import definitions, fingerprint


@pytest.fixture
def package(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "campfire"
    shutil.copytree(repository / "src/campfire", folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(definitions, "PACKAGE", folder)
    fingerprint.forget()
    yield folder
    fingerprint.forget()


def codes(script: Path) -> dict[str, str]:
    fingerprint.forget()
    makers = {kind: f"{found.make.__module__}:{found.make.__name__}" for kind, found in KINDS.items()}
    return {kind: fingerprint.code_digest(script, maker) for kind, maker in makers.items()}


@pytest.mark.parametrize(
    ("file", "old", "new", "affected"),
    [
        ("encoders/kinds/morphem.py", '"preprocessing": PREPROCESSING', '"preprocessing": 7', {"morphem"}),
        ("encoders/features.py", "scale = 255.0", "scale = 254.0", {"features"}),
        ("model/peers/subcell.py", "(weights @ tokens)", "(weights @ tokens * 2)", {"subcell"}),
        ("model/peers/ca_mae.py", "INPUT_EPS = 1e-5", "INPUT_EPS = 1e-4", {"ca_mae", "openphenom"}),
        ("encoders/table_reader.py", "if broken.any():", "if broken.all():", {"table"}),
        ("encoders/embed.py", "np.unique(", "np.unique(*[], ", set(KINDS)),
    ],
)
def test_an_edit_affects_its_own_kinds(
    repository: Path, package: Path, file: str, old: str, new: str, affected: set[str]
) -> None:
    script = repository / "workflow/scripts/embed.py"
    before = codes(script)
    text = (package / file).read_text(encoding="utf-8")
    assert old in text
    (package / file).write_text(text.replace(old, new), encoding="utf-8")
    after = codes(script)
    assert {kind for kind in KINDS if before[kind] != after[kind]} == affected
