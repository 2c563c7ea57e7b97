"""A finished run without its work: what tests of plans start from."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from campfire.runs import definitions
from campfire.runs import fingerprint as reach
from support.plans import Run, checkout, finish


@pytest.fixture(scope="module")
def finished(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A checkout whose run is finished; tests work on copies."""
    folder = tmp_path_factory.mktemp("finished") / "campfire"
    folder.mkdir()
    before = definitions.PACKAGE
    definitions.PACKAGE = folder / "src/campfire"
    run = checkout(repository, folder)
    finish(run)
    definitions.PACKAGE = before
    return run


@pytest.fixture
def run(finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    folder = tmp_path / "campfire"
    shutil.copytree(finished.folder, folder, copy_function=shutil.copy2)
    monkeypatch.setattr(definitions, "PACKAGE", folder / "src/campfire")
    yield Run(folder)
    reach.forget()
