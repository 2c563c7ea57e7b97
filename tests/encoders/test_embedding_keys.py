"""Keys of embeddings made elsewhere: joined however pandas has read them, or the mismatch named from both sides."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from campfire.core.columns import CELL_KEYS, COMPOUND, NUCLEUS, PLATE, SITE, WELL
from campfire.core.errors import DataError
from campfire.encoders import embedding_table
from campfire.evaluation.probes.evaluate import gather

Change = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture
def sample() -> pd.DataFrame:
    rows = [("1100000001", f"B{8 + n:02d}", str(n + 1), n + 10) for n in range(4)]
    cells = pd.DataFrame(rows, columns=CELL_KEYS).astype({NUCLEUS: np.int32})
    return cells.assign(**{COMPOUND: ["x", "x", "y", "y"], "order": np.arange(4)})


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c,
        lambda c: c.assign(**{SITE: c[SITE].astype(int)}),
        lambda c: c.assign(**{SITE: c[SITE].astype(float)}),
        lambda c: c.assign(**{SITE: "0" + c[SITE]}),
        lambda c: c.assign(**{SITE: c[SITE].astype("category")}),
        lambda c: c.assign(**{NUCLEUS: c[NUCLEUS].astype(str)}),
        lambda c: c.assign(**{NUCLEUS: c[NUCLEUS].astype(float)}),
        lambda c: c.assign(**{PLATE: c[PLATE].astype(int)}),
        lambda c: c.assign(**{PLATE: c[PLATE].astype(float)}),
        lambda c: c.assign(**{WELL: [f"b{int(well[1:])}" for well in c[WELL]]}),
        lambda c: c.assign(**{WELL: " " + c[WELL] + " "}),
    ],
)
def test_keys_are_joined_however_they_were_read(tmp_path: Path, sample: pd.DataFrame, change: Change) -> None:
    vectors = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    path = tmp_path / "e.parquet"
    embedding_table.write(path, change(sample[CELL_KEYS]), vectors)
    keys, read = embedding_table.read(path)
    _, features, _ = gather(keys, read, sample)
    np.testing.assert_array_equal(features, vectors)


def test_keys_of_our_own_are_left_as_they_are(tmp_path: Path, sample: pd.DataFrame) -> None:
    assert embedding_table.plain_keys(sample, "e.parquet") is sample


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.assign(**{NUCLEUS: ["a", "b", "c", "d"]}), "nucleus 'a' is no whole number"),
        (lambda c: c.assign(**{NUCLEUS: c[NUCLEUS] + 0.5}), "is no whole number"),
        (lambda c: c.assign(**{SITE: [None, "1", "2", "3"]}), "1 rows have no Metadata_Site"),
    ],
)
def test_keys_that_are_none_are_named(tmp_path: Path, sample: pd.DataFrame, change: Change, words: str) -> None:
    with pytest.raises(DataError, match=words):
        embedding_table.write(tmp_path / "e.parquet", change(sample[CELL_KEYS]), np.zeros((4, 3), np.float32))


def test_a_mismatch_is_named_by_one_example_of_each_side(tmp_path: Path, sample: pd.DataFrame) -> None:
    cells = sample[CELL_KEYS].assign(**{PLATE: "P7"})
    with pytest.raises(DataError, match=r"4 of 4 sampled cells.*plate '1100000001', well 'B08'.*of 'P7', 'B08', '1'"):
        gather(cells, np.zeros((4, 3), np.float32), sample)


def test_memory_for_sampled_cells_does_not_grow_with_the_plate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every tile is embedded, a few cells are probed: no more than a row group is in memory beside them."""
    monkeypatch.setattr(embedding_table, "ROW_GROUP", 500)
    rng, peaks = np.random.default_rng(0), []
    for number in (2_000, 40_000):
        keys = pd.DataFrame({PLATE: "P1", WELL: "A01", SITE: "1", NUCLEUS: np.arange(number, dtype=np.int32)})
        values = rng.normal(size=(number, 64)).astype(np.float32)
        path = tmp_path / f"{number}.parquet"
        embedding_table.write(path, keys, values)
        chosen = keys.iloc[rng.permutation(number)[:100]]
        found, vectors = embedding_table.read(path, chosen)
        rows = np.sort(chosen[NUCLEUS].to_numpy())
        assert (found[NUCLEUS].to_numpy() == rows).all() and (vectors == values[rows]).all()
        chosen.to_parquet(tmp_path / "chosen.parquet")
        code = (
            "import sys, pandas, pyarrow; from campfire.encoders.embedding_table import read; "
            "cells = pandas.read_parquet(sys.argv[2]); read(sys.argv[1], cells); "
            "print(pyarrow.default_memory_pool().max_memory())"
        )
        command = [sys.executable, "-c", code, str(path), str(tmp_path / "chosen.parquet")]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        peaks.append(int(done.stdout))
    assert peaks[1] < 2 * peaks[0] < 5e6 < values.nbytes, peaks
    whole, every = embedding_table.read(path)
    assert len(whole) == len(every) == 40_000
    none, empty = embedding_table.read(path, chosen.assign(**{WELL: "B01"}))
    assert len(none) == 0 and empty.shape == (0, 64)
