"""Encoders are compared on the cells that both have, as when a table of embeddings lacks some."""

from pathlib import Path

import pandas as pd
import pytest

from campfire.core.columns import CELL_KEYS
from campfire.report import tables
from campfire.report.tables.differences import common_cells
from support.tables_synthetic import quadrants, write_probe


def test_cells_that_one_encoder_lacks_are_left_out_of_the_difference(tmp_path: Path) -> None:
    folders = [write_probe(tmp_path, name, "DNA", {"release": quadrants(5, 5, 5, 5)}) for name in ("a", "b")]
    path = folders[1] / "predictions.parquet"
    table = pd.read_parquet(path)
    cells = table[CELL_KEYS].drop_duplicates()
    lost = cells.sample(frac=0.05, random_state=0)
    kept = ~pd.MultiIndex.from_frame(table[CELL_KEYS]).isin(pd.MultiIndex.from_frame(lost))
    table[kept].to_parquet(path)
    options = tables.TableOptions(claims=[{"statement": "S", "first": "a/DNA", "second": "b/DNA"}], replicates=50)
    data = tables.differences.collect(tables.probe_results(folders), options)
    # Both have the same hits, so on common cells nothing differs.
    assert data["difference"].abs().max() == pytest.approx(0)


def test_tables_of_the_same_cells_are_unchanged() -> None:
    columns = ["task", "split", "fit", *CELL_KEYS]
    first = pd.DataFrame([("control", "test", 0, "P", "A01", "1", n) for n in range(4)], columns=columns)
    one, other = common_cells(first, first.copy())
    assert one is first and other.equals(first)
    one, other = common_cells(first, first.iloc[:3].assign(fit=[2, 3, 4]))
    assert len(one) == len(other) == 3
    assert one["fit"].tolist() == other["fit"].tolist() == [0, 0, 0]
    # Results that share little are left as they are: the statistics refuse them.
    one, other = common_cells(first, first.iloc[:1])
    assert len(one) == 4
