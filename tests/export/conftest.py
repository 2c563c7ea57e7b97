"""A small finished run for all exports."""

from pathlib import Path

import pytest

from support.finished_run import make_finished_run


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results folder of a finished run; tests do not change it."""
    return make_finished_run(tmp_path_factory.mktemp("finished") / "results")
