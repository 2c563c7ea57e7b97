"""Typical and confused cells: chosen by hand calculation."""

from pathlib import Path

import numpy as np
import pandas as pd

from campfire.report.figures import save, typical
from campfire.report.tables.options import TableOptions

OPTIONS = TableOptions(compound_labels={"C1": "First"}, channel_sets={"set": ["DNA", "AGP"]}, id_channels="set")


def cells(compounds: list[str]) -> pd.DataFrame:
    """Embedded cells of one plate, one well per compound."""
    rows = {"Metadata_Plate": "P1", "Metadata_Well": "A01", "Metadata_Site": "1"}
    table = pd.DataFrame({**rows, "Metadata_Nucleus": np.arange(1, len(compounds) + 1, dtype=np.int32)})
    table["Metadata_JCP2022"], table["split"] = compounds, "test_ood_plate"
    table.loc[table["Metadata_JCP2022"] == "H1", "split"] = "test_ood_both"
    return table.assign(row=np.arange(len(compounds)) + 100)


def predictions(table: pd.DataFrame, predicted: list[list[str]]) -> pd.DataFrame:
    """A row per fit and cell."""
    keys = ["Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_Nucleus"]
    parts = [
        table[keys].assign(fit=fit, truth=table["Metadata_JCP2022"], predicted=names)
        for fit, names in enumerate(predicted)
    ]
    return pd.concat(parts, ignore_index=True)


def test_nearest_cells_come_in_the_order_of_their_distance() -> None:
    table = cells(["C1"] * 5 + ["C2"] * 2)
    x = np.array([[0.0], [1.0], [2.0], [3.0], [9.0], [50.0], [50.0]])
    found = typical.nearest(table, x, "C1")
    assert found["Metadata_Nucleus"].tolist() == [4, 3, 2, 1, 5], "the mean of C1 is 3"
    assert found["distance"].tolist() == [0, 1, 2, 3, 6]


def test_confused_cells_are_those_of_the_most_frequent_mistake() -> None:
    table = cells(["C1"] * 4)
    fits = [["C2", "C3", "C2", "C1"], ["C2", "C3", "C1", "C1"], ["C2", "C1", "C2", "C1"]]
    found = typical.confused(table, predictions(table, fits), "C1")
    assert set(found["predicted"]) == {"C2"} and found["Metadata_Nucleus"].tolist() == [1, 3]
    assert np.allclose(found["fits"], [1, 2 / 3])
    right = predictions(table, [["C1"] * 4])
    assert typical.confused(table, right, "C1").empty and typical.confused(table, right.iloc[:0], "C1").empty


def test_the_figure_names_the_mistake_and_its_share(tmp_path: Path) -> None:
    table = cells(["C1"] * 8 + ["C2"] * 3 + ["H1"] * 2)
    x = np.random.default_rng(0).normal(size=(len(table), 6)).astype(np.float32)
    fits = [["C2", "C2", *["C1"] * 6, *["C2"] * 3, "H1", "H1"]]
    scored = predictions(table, fits)
    data = typical.prepare(table, x, scored[scored["truth"] != "H1"], ["C1", "C2"], OPTIONS)
    assert list(dict.fromkeys(data["label"])) == ["First", "C2", "H1"]
    assert (data[data["kind"] == "nearest"].groupby("compound").size() == [6, 3, 2]).all()
    tiles = {int(row): np.full((2, 8, 8), 0.5, np.float32) for row in table["row"]}
    figure = typical.draw(data, tiles, ["DNA", "AGP"], ["DNA", "AGP"], OPTIONS, 0.6)
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert "C2\n25 % of predictions" in texts and "never" in texts and "not scored" in texts
    assert all(path.stat().st_size for path in save(figure, data, tmp_path / "typical"))
