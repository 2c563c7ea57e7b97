"""Fixtures that every test may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

# Sums depend on the number of threads in their last bits: tests that compare bytes, also with processes that they
# start, run with one. Set before NumPy and torch are imported.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import pytest  # noqa: E402

if TYPE_CHECKING:
    from support.gallery_bucket import Bucket
    from support.gallery_proxy import Proxy

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files come first: a process that began one last would keep the others waiting for minutes."""
    long = [REPOSITORY / "tests" / room for room in ("workflow", "training", "bench")]
    items.sort(key=lambda item: long.index(item.path.parent) if item.path.parent in long else len(long))


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


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Bucket, str]]:
    """A small gallery bucket nobody alters, served once, and its address; faults come from each test's own proxy."""
    from campfire.simulate import serve
    from support.gallery_bucket import make_bucket

    bucket = make_bucket(tmp_path_factory.mktemp("intact"), "intact-bucket")
    with serve(bucket.root) as url:
        yield bucket, url


@pytest.fixture
def proxy(intact: tuple[Bucket, str]) -> Iterator[Proxy]:
    """A proxy before the intact bucket that breaks the answers it is told to."""
    from support.gallery_proxy import proxy_before

    with proxy_before(intact[1]) as running:
        yield running
