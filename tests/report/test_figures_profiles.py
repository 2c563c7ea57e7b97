"""Figures of cells and of well profiles: what is chosen, placed and compared, against hand calculation."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from campfire.core.errors import DataError
from campfire.evaluation.profiles.maps import map_points
from campfire.model.config import ModelConfig
from campfire.report.figures import cells, embedding_map, figure_2_2, save, similarity
from campfire.report.tables import TableOptions
from support.map_cells import by_plate, embedded, wells

OPTIONS = TableOptions(compound_labels={"C1": "DMSO", "H1": "taxol"}, paper_screen=False)
CONTROLS = ("C1", "C2")


def index() -> pd.DataFrame:
    """Nine cells in each well of plate P1."""
    rows = [
        (w.Metadata_Plate, w.Metadata_Well, "1", n)
        for w in wells().itertuples()
        if w.Metadata_Plate == "P1"
        for n in range(9)
    ]
    table = pd.DataFrame(rows, columns=["Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_Nucleus"])
    return table.assign(row=range(len(table)))


def test_cells_are_drawn_at_random_from_every_compound_controls_first() -> None:
    data = cells.prepare(index(), wells(), CONTROLS, OPTIONS)
    assert list(dict.fromkeys(data["compound"])) == ["C1", "C2", "H1"]
    assert list(dict.fromkeys(data["label"])) == ["DMSO", "C2", "taxol"]
    assert data.groupby("compound").size().eq(cells.CELLS).all() and not data["row"].duplicated().any()
    assert data.loc[data["compound"] == "C1", "Metadata_Well"].nunique() == 2, "cells of all its wells"
    assert data.equals(cells.prepare(index(), wells(), CONTROLS, OPTIONS)), "the same cells every time"
    unused = wells().assign(split="unused")
    with pytest.raises(DataError, match="no control or held-out compound has a tile"):
        cells.prepare(index(), unused, CONTROLS, OPTIONS)


def test_the_sheet_has_a_row_per_compound(tmp_path: Path) -> None:
    data = cells.prepare(index(), wells(), CONTROLS, OPTIONS)
    generator = np.random.default_rng(3)
    tiles = {row: generator.random((3, 16, 16)).astype(np.float32) for row in data["row"]}
    channels = ["DNA", "AGP", "Mito"]
    figure = cells.draw(data, tiles, channels, channels[:2], OPTIONS, 0.6)
    images = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert len(images) == 3 * (cells.CELLS + 3)
    grey = images[cells.CELLS]
    assert grey is not None and np.allclose(grey, tiles[data["row"].iloc[0]][0]), "the first cell, channel by channel"
    words = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert {"DMSO", "C2", "taxol", "20 µm"} <= set(words)
    assert all(path.stat().st_size for path in save(figure, data, tmp_path / "cells"))


def test_the_map_redraws_from_its_csv(tmp_path: Path) -> None:
    points = map_points(by_plate(*embedded()), wells(), "C1", 120)
    data = embedding_map.prepare(points, CONTROLS, "Ours", OPTIONS)
    assert data.groupby(["unit", "representation"]).size().to_dict() == {
        ("cell", "raw"): 120, ("cell", "sphered"): 120, ("well", "raw"): 12, ("well", "sphered"): 12,
    }  # fmt: skip
    assert set(data["label"]) == {"DMSO", "C2", ""} and set(data["row"]) == {0, 1, 2} and set(data["column"]) == {0, 1}
    assert data["Metadata_Nucleus"].notna().equals(data["unit"] == "cell")
    first = save(embedding_map.draw(data), data, tmp_path / "a")
    again = pd.read_csv(tmp_path / "a.csv", float_precision="round_trip")
    second = save(embedding_map.draw(again), again, tmp_path / "b")
    assert first[2].read_bytes() == second[2].read_bytes()


def test_the_map_is_coloured_by_compound_batch_position_and_split() -> None:
    data = embedding_map.prepare(map_points(by_plate(*embedded()), wells(), "C1", 60), CONTROLS, "Ours", OPTIONS)
    axes = embedding_map.draw(data).axes
    titles = [panel.get_title() for panel in axes[:5]]
    assert titles == ["Control compound", "Batch", "Well row", "Well column", "Part of the split"]
    legends = [[text.get_text() for text in legend.get_texts()] for panel in axes if (legend := panel.get_legend())]
    assert legends[0] == ["DMSO", "C2", "Other compounds"] and legends[1] == ["B1", "B2"]
    assert legends[2:4] == [["A", "B", "C"], ["1", "2"]]
    assert [panel.get_ylabel().split("\n")[0] for panel in axes[::5]] == [
        "Wells, raw", "Wells, sphered", "Cells, raw", "Cells, sphered",
    ]  # fmt: skip


def test_points_beyond_the_axes_stand_on_their_border() -> None:
    points = map_points(by_plate(*embedded()), wells(), "C1", 0)
    data = embedding_map.prepare(points, CONTROLS, "Ours", OPTIONS)
    data = pd.concat([data] * 9, ignore_index=True)
    data.loc[0, ["pc1", "pc2"]] = 1e4, 0.0
    panel = embedding_map.draw(data).axes[0]
    (beyond,) = [
        points for points in panel.collections if len(points.get_offsets()) and not len(points.get_facecolor())
    ]
    x = np.asarray(beyond.get_offsets())[0, 0]
    low, high = panel.get_xlim()
    assert len(beyond.get_offsets()) == 1 and high < 100 and low < x < high and x > 0.9 * high


def test_similarity_is_the_cosine_of_means_and_replicates_stand_on_the_diagonal() -> None:
    table, means = map_points(by_plate(*embedded(shift=0)), wells(), "another", 0)["well", "raw"]
    data = similarity.prepare(table, means, "Ours", OPTIONS)
    cell = data.set_index(["first", "second"])["similarity"]
    own = {name: means[(table["Metadata_JCP2022"] == name).to_numpy()].mean(0) for name in ("C2", "H1")}
    expected = own["C2"] @ own["H1"] / np.linalg.norm(own["C2"]) / np.linalg.norm(own["H1"])
    assert cell["C2", "H1"] == pytest.approx(expected, abs=1e-5) == cell["H1", "C2"]
    assert cell["C2", "C2"] > 0.95, "the halves of its plates agree"
    one = table["Metadata_Plate"] == "P1"
    single = similarity.prepare(table[one].reset_index(drop=True), means[one.to_numpy()], "Ours", OPTIONS)
    assert single.loc[single["first"] == single["second"], "similarity"].isna().all()
    assert len(similarity.draw(data).axes) == 2


def test_the_architecture_is_drawn_from_the_models_own_config(tmp_path: Path) -> None:
    config = ModelConfig(
        width=128, depth=3, heads=4, decoder_width=64, decoder_depth=1, decoder_heads=4, mask_ratio=0.75
    )
    data = figure_2_2.prepare(config, ["DNA", "AGP"], TableOptions(channel_labels={"AGP": "Actin"}))
    value = data.set_index(["part", "name"])["value"]
    assert (value["patches", "grid"], value["patches", "visible"], value["encoder", "tokens"]) == ("8", "16", "33")
    words = " ".join(text.get_text() for text in figure_2_2.draw(data).axes[0].texts)
    for said in ("64 patches of 14 × 14 px", "16 visible", "3 blocks, width 128", "1 block, width 64", "Actin"):
        assert said in words
    assert "Channel embedding" in words and "over the global batch" in words
    alone = figure_2_2.prepare(ModelConfig(decoder="per_channel", sync_mask=False), ["DNA"], OPTIONS)
    words = " ".join(text.get_text() for text in figure_2_2.draw(alone).axes[0].texts)
    assert "one per channel" in words and "Channel embedding" not in words and "drawn channel by channel" in words
    assert "24 blocks, width 1024" in words
    first = save(figure_2_2.draw(data), data, tmp_path / "a")
    again = pd.read_csv(tmp_path / "a.csv")
    assert save(figure_2_2.draw(again), again, tmp_path / "b")[2].read_bytes() == first[2].read_bytes()
