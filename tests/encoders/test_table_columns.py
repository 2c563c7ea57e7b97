"""Which columns of a table made elsewhere are its embedding: no key, place, dose or label, and no feature half."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from campfire.core.errors import CampfireError
from campfire.encoders.table_reader import CellTable, read_cell_table

WIDTH = 5
Change = Callable[[pd.DataFrame], pd.DataFrame]


def table() -> pd.DataFrame:
    """Twelve cells of each of four wells with five features, as a user has them."""
    generator = np.random.default_rng(1)
    wells = np.repeat(["A01", "A02", "B01", "B02"], 12)
    keys = {"plate": "P1", "well": wells, "site": 1, "Metadata_Nucleus": np.tile(np.arange(1, 13), 4)}
    features = generator.normal(size=(len(wells), WIDTH))
    return pd.DataFrame(keys).join(pd.DataFrame(features, columns=[f"f{n}" for n in range(WIDTH)]))


def read(frame: pd.DataFrame, folder: Path, features: Any = (), suffix: str = "parquet", **csv: Any) -> CellTable:
    path = folder / f"table.{suffix}"
    if suffix == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, **csv)
    return read_cell_table(path, {}, features)


def rows(frame: pd.DataFrame) -> "np.ndarray[Any, Any]":
    return np.arange(len(frame))


BESIDE: dict[str, Change] = {
    "x and y beside our label": lambda t: t.assign(y=rows(t) * 7.5, x=rows(t) * 3.25),
    "CellProfiler's locations": lambda t: t.assign(Nuclei_Location_Center_X=rows(t) * 1.5, Location_Center_Z=0.0),
    "CellProfiler's numbers": lambda t: t.assign(ImageNumber=rows(t) // 12, ObjectNumber=rows(t) % 12, TableNumber=1),
    "an object's number": lambda t: t.assign(Nuclei_Number_Object_Number=rows(t)),
    "a parent's number": lambda t: t.assign(Cells_Parent_Nuclei=rows(t)[::-1]),
    "pandas' old index": lambda t: t.assign(**{"Unnamed: 0": rows(t)}),
    "an index written back": lambda t: t.assign(index=rows(t), level_0=rows(t)),
    "CellProfiler's own metadata": lambda t: t.assign(Image_Metadata_Row=1 + rows(t) // 24, metadata_col=rows(t) % 3),
    "field beside site": lambda t: t.assign(field=t["site"], fov=rows(t) % 4),
    "row and column": lambda t: t.assign(row=rows(t) // 24, column=rows(t) % 4, Col=rows(t) % 2),
    "bounding boxes": lambda t: t.assign(bbox_0=rows(t), BoundingBoxMinimum_X=rows(t)[::-1] * 2),
    "a cell id": lambda t: t.assign(cell_id=rows(t) + 1000),
    "counts of objects": lambda t: t.assign(cell_count=rows(t) % 9, Image_Count_Nuclei=rows(t) % 8),
    "timepoint and plane": lambda t: t.assign(timepoint=rows(t) % 3, z=rows(t) % 5),
}
"""Columns beside the embedding that no embedding has."""


@pytest.mark.parametrize("change", list(BESIDE.values()), ids=list(BESIDE))
def test_what_is_no_feature_is_left_out(change: Change, tmp_path: Path) -> None:
    plain = table()
    read_of = read(change(plain), tmp_path)
    np.testing.assert_allclose(read_of.vectors, plain[[f"f{n}" for n in range(WIDTH)]], rtol=1e-6)


REFUSED: dict[str, tuple[Change, str]] = {
    "a dose": (lambda t: t.assign(uM=t["well"].map({"A01": 0.0, "A02": 1.0, "B01": 3.3, "B02": 10.0})), "uM"),
    "a coded compound": (lambda t: t.assign(code=t["well"].map({"A01": 0, "A02": 1, "B01": 2, "B02": 3})), "code"),
    "a dose beside categories": (
        lambda t: t.assign(uM=t["well"].map({"A01": 0.0, "A02": 1.0, "B01": 3.3, "B02": 10.0})).astype(
            {"plate": pd.CategoricalDtype(["P1", "P2"]), "well": "category"}
        ),
        "uM",
    ),
    "a label": (lambda t: t.assign(moa=t["well"].map({"A01": 0, "A02": 0, "B01": 1, "B02": 1})), "moa"),
    "a count of the well": (
        lambda t: t.assign(n=t["well"].map({"A01": 8, "A02": 9, "B01": 3, "B02": 4})),
        "n",
    ),
    "a feature with a word in it": (lambda t: t.assign(f2=["n/a", *map(str, t["f2"][1:])]), "f2"),
    "a feature as text": (lambda t: t.assign(f2=t["f2"].map(str)), "f2"),
    "decimal commas": (lambda t: t.assign(f2=t["f2"].map(lambda v: f"{v:.3f}".replace(".", ","))), "f2"),
    "thousands separators": (lambda t: t.assign(f2=[f"1,{n:03d}.5" for n in rows(t)]), "f2"),
    "rows of zeros": (
        lambda t: t.assign(**{f"f{n}": np.where(rows(t) == 5, 0.0, t[f"f{n}"]) for n in range(WIDTH)}),
        "zero",
    ),
    "missing numbers": (lambda t: t.assign(f1=np.where(rows(t) == 3, np.nan, t["f1"])), "not finite"),
    "numbers beyond float32": (lambda t: t.assign(f1=np.where(rows(t) == 3, 1e39, t["f1"])), "not finite"),
}
"""Tables of which no reading is certain, and the word that the message names."""


@pytest.mark.parametrize(("change", "named"), list(REFUSED.values()), ids=list(REFUSED))
@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_what_may_be_wrong_is_refused_by_name(change: Change, named: str, suffix: str, tmp_path: Path) -> None:
    frame = change(table())
    if suffix == "csv" and named == "f2" and pd.to_numeric(frame["f2"], errors="coerce").notna().all():
        assert read(frame, tmp_path, suffix="csv").vectors.shape[1] == WIDTH, "in a CSV these are numbers"
        return
    if suffix == "csv" and (frame["f2"].astype(str) == "n/a").any():
        named = "not finite"
    with pytest.raises(CampfireError, match=named):
        read(frame, tmp_path, suffix=suffix)


def test_named_features_are_taken_as_they_are(tmp_path: Path) -> None:
    """Who names the columns knows them: a dose may be one; a beginning never takes in a key."""
    frame = table().assign(field=3, fdose=table()["well"].map({"A01": 0, "A02": 1, "B01": 2, "B02": 3}))
    assert read(frame, tmp_path, ["f0", "fdose"]).vectors.shape[1] == 2
    assert read(frame, tmp_path, "f").vectors.shape[1] == WIDTH + 1, "field is where a cell lies"


CSV: dict[str, dict[str, Any]] = {
    "semicolons": {"sep": ";"},
    "semicolons and decimal commas": {"sep": ";", "decimal": ","},
    "tabs in a .csv": {"sep": "\t"},
    "a byte order mark": {"encoding": "utf-8-sig"},
    "UTF-16": {"encoding": "utf-16"},
    "Windows line ends": {"lineterminator": "\r\n"},
    "tabs and decimal commas": {"sep": "\t", "decimal": ","},
}


@pytest.mark.parametrize("form", list(CSV.values()), ids=list(CSV))
def test_a_csv_of_any_spreadsheet_has_the_same_numbers(form: dict[str, Any], tmp_path: Path) -> None:
    plain = table()
    found = read(plain, tmp_path, suffix="csv", **form)
    np.testing.assert_allclose(found.vectors, plain[[f"f{n}" for n in range(WIDTH)]], rtol=1e-5)
    assert found.cells["well"].tolist() == plain["well"].tolist() and found.level == "nucleus"


def test_constant_features_and_wells_of_one_cell_are_no_labels(tmp_path: Path) -> None:
    plain = table()
    assert read(plain.assign(f9=1.0), tmp_path).vectors.shape[1] == WIDTH + 1
    single = plain.drop_duplicates("well")
    assert read(single, tmp_path).vectors.shape[1] == WIDTH


def test_embeddings_that_are_absent_or_text_are_named(tmp_path: Path) -> None:
    plain = table()
    lists: list[Any] = plain[[f"f{n}" for n in range(WIDTH)]].to_numpy().tolist()
    keys = plain.drop(columns=[f"f{n}" for n in range(WIDTH)])
    with pytest.raises(CampfireError, match="embedding holds lists written as text: write the table as parquet"):
        read(keys.assign(embedding=[str(part) for part in lists]), tmp_path, suffix="csv")
    lists[3] = None
    with pytest.raises(CampfireError, match="1 rows have no embedding"):
        read(keys.assign(embedding=lists), tmp_path)


def test_text_columns_that_are_left_out_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        read(table().assign(f1=table()["f1"].map(lambda value: f"{value:.3f} au")), tmp_path)
    assert "4 features, f0, f2, f3, f4; left out: f1" in caplog.text
