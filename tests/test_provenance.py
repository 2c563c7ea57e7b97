"""The digest that decides what an edit reruns."""

from pathlib import Path

import pytest

from campfire import provenance


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small package with the shape of ours: a, b -> shared, and a script that uses only a."""
    package = tmp_path / "campfire"
    (package / "room").mkdir(parents=True)
    (package / "room" / "__init__.py").write_text("from .inner import area\n")
    (package / "room" / "inner.py").write_text("def area(x):\n    return x * x\n")
    (package / "shared.py").write_text("UNIT = 1\n")
    (package / "a.py").write_text("from campfire.shared import UNIT\n\n\ndef use():\n    from campfire import room\n")
    (package / "b.py").write_text("from campfire.shared import UNIT\n")
    (tmp_path / "script.py").write_text('"""Story."""\nfrom campfire.a import use\n\nuse()\n')
    monkeypatch.setattr(provenance, "PACKAGE", package)
    provenance._parsed.cache_clear()
    return tmp_path


def digest(library: Path) -> str:
    provenance._parsed.cache_clear()
    return provenance.code_digest(library / "script.py")


def test_reaches_relative_and_lazy_imports_only_where_used(library: Path) -> None:
    names = {path.relative_to(library).as_posix() for path in provenance.code_files(library / "script.py")}
    inside = {"campfire/a.py", "campfire/shared.py", "campfire/room/__init__.py", "campfire/room/inner.py"}
    assert names == {"script.py", *inside}


@pytest.mark.parametrize(
    ("file", "text", "changes"),
    [
        ("script.py", '"""Another story."""\n# a comment\nfrom campfire.a import use\n\n\nuse()\n', False),
        ("script.py", "from campfire.a import use\n\nuse(1)\n", True),
        ("campfire/room/inner.py", "def area(x):\n    '''Square.'''\n    return x*x  # px\n", False),
        ("campfire/room/inner.py", "def area(x):\n    return x * x + 1\n", True),
        ("campfire/shared.py", "UNIT = 2\n", True),
        ("campfire/b.py", "from campfire.shared import UNIT\nUNIT += 1\n", False),
    ],
)
def test_counts_code_but_not_comments_nor_unused_modules(library: Path, file: str, text: str, changes: bool) -> None:
    before = digest(library)
    (library / file).write_text(text)
    assert (digest(library) != before) is changes


def test_real_scripts_do_not_depend_on_stages_they_do_not_use(repository: Path) -> None:
    files = {path.name for path in provenance.code_files(repository / "workflow" / "scripts" / "split.py")}
    assert "files.py" in files
    assert not files & {"zprime.py", "objective.py"}


def test_versions_hardware_and_commit_are_filled(repository: Path) -> None:
    assert provenance.versions()["numpy"].count(".") == 2
    assert provenance.hardware()["cores"] >= 1
    assert len(provenance.git_commit(repository).split("+")[0]) in (7, 40)
    assert provenance.value_digest({"a": 1, "b": 2}) == provenance.value_digest({"b": 2, "a": 1})
