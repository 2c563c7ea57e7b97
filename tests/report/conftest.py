"""Results of synthetic probes, which tests of tables share."""

from typing import Any

import pytest

from campfire.report import tables
from support.tables_synthetic import OPTIONS, write_probes


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folders = write_probes(tmp_path_factory.mktemp("results"))
    return tables.probe_results([folder / "scores.parquet" for folder in folders])


@pytest.fixture(scope="module")
def accuracies(results: Any) -> Any:
    return tables.accuracies.build(results, OPTIONS)
