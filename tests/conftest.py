"""Fixtures that every test may use."""

import os
from pathlib import Path

# Sums depend on the number of threads in their last bits: tests that compare bytes, also with processes that they
# start, run with one. Set before NumPy and torch are imported.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import pytest  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real metadata, images and reference outputs kept beside the project; tests skip where they are absent."""
    folder = REPOSITORY.parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip(f"the shared reference data is not at {folder}")
    return folder
