"""A table of embeddings whose keys match other cells than its own is refused, not evaluated."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from campfire.core.columns import CELL_KEYS, NUCLEUS, SITE, WELL
from campfire.core.errors import DataError
from campfire.encoders import load_table


@pytest.fixture
def cells() -> pd.DataFrame:
    """Twenty cells of each of four sites, labelled from top to bottom as segmentation does."""
    generator = np.random.default_rng(5)
    rows: list[tuple[Any, ...]] = []
    for well in ("A01", "B12"):
        for site in ("1", "2"):
            y, x = np.sort(generator.uniform(50, 950, 20)), generator.uniform(50, 950, 20)
            rows += [("P1", well, site, n + 1, *place) for n, place in enumerate(zip(y, x, strict=True))]
    return pd.DataFrame(rows, columns=[*CELL_KEYS, "y", "x"])


def table(cells: pd.DataFrame) -> pd.DataFrame:
    """The same cells with two features."""
    return cells.assign(f0=cells["y"] / 7, f1=cells["x"] / 7)


def embed(frame: pd.DataFrame, cells: pd.DataFrame, folder: Path, **options: Any) -> Any:
    frame.to_parquet(folder / "table.parquet")
    return load_table({"kind": "table", "path": str(folder / "table.parquet"), **options}).embed_cells(cells)


def test_labels_are_checked_against_places_in_any_unit(cells: pd.DataFrame, tmp_path: Path) -> None:
    theirs = table(cells)
    assert len(embed(theirs, cells, tmp_path)[0]) == 80
    assert len(embed(theirs.assign(y=theirs["y"] * 0.6 + 2000), cells, tmp_path)[0]) == 80, "another unit and origin"
    assert len(embed(theirs.rename(columns={"y": "x", "x": "y"}), cells, tmp_path)[0]) == 80
    assert len(embed(theirs.assign(y=np.nan), cells, tmp_path)[0]) == 80, "no place to compare"
    shifted = theirs.assign(**{NUCLEUS: theirs[NUCLEUS] % 20 + 1})
    with pytest.raises(DataError, match=r"one label lie elsewhere in it \(plate P1: .* of another segmentation"):
        embed(shifted, cells, tmp_path)
    assert len(embed(shifted.rename(columns={NUCLEUS: "ObjectNumber"}), cells, tmp_path)[0]) == 80


@pytest.mark.parametrize(("labels", "value"), [(-1.0, "0.0"), (0.5, "1.5"), (np.nan, "no nucleus")])
def test_labels_are_whole_numbers_from_one(cells: pd.DataFrame, tmp_path: Path, labels: float, value: str) -> None:
    theirs = table(cells).astype({NUCLEUS: "float64"})
    theirs.loc[0, NUCLEUS] += labels
    with pytest.raises(DataError, match=value):
        embed(theirs, cells, tmp_path)


def test_a_centre_that_is_no_number_is_named(cells: pd.DataFrame, tmp_path: Path) -> None:
    theirs = table(cells).drop(columns=NUCLEUS).astype({"y": object})
    theirs.loc[3, "y"] = "left"
    with pytest.raises(DataError, match=r"1 values of y \(column y\) such as left are not a number"):
        embed(theirs.astype({"y": str}), cells, tmp_path)


@pytest.mark.parametrize("by", ["centre", "nucleus"])
def test_sites_that_begin_at_zero_are_other_sites(cells: pd.DataFrame, tmp_path: Path, by: str) -> None:
    theirs = table(cells).assign(**{SITE: cells[SITE].astype(int) - 1})
    theirs = theirs.drop(columns=[NUCLEUS] if by == "centre" else ["y", "x"])
    with pytest.raises(DataError, match=r"plate P1 has a site 0, and this run's sites begin at 1"):
        embed(theirs, cells, tmp_path)
    zero = cells.assign(**{SITE: (cells[SITE].astype(int) - 1).astype(str)})
    assert len(embed(theirs, zero, tmp_path)[0]) == 80


def test_centres_that_agree_by_chance_are_refused(cells: pd.DataFrame, tmp_path: Path) -> None:
    micrometres = table(cells).drop(columns=NUCLEUS)
    micrometres[["y", "x"]] *= 0.6
    with pytest.raises(DataError, match=r"only \d+ of 80 cells of plate P1 .* as by chance; .* Set `scale`"):
        embed(micrometres, cells, tmp_path, tolerance=20.0)
    assert len(embed(micrometres, cells, tmp_path, scale=1 / 0.6)[0]) == 80


def test_a_table_of_few_cells_or_few_sites_is_no_chance(cells: pd.DataFrame, tmp_path: Path) -> None:
    theirs = table(cells).drop(columns=NUCLEUS)
    assert embed(theirs.iloc[::9], cells, tmp_path)[3].matched == 9
    assert embed(theirs[theirs[WELL] == "A01"].iloc[:5], cells, tmp_path)[3].matched == 5
