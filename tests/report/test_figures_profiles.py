"""Figures of cells and of well profiles: what is chosen, placed and compared, against hand calculation."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from campfire.core.errors import DataError
from campfire.evaluation.profiles.normalise import normalise
from campfire.evaluation.well_means import well_means
from campfire.model.config import ModelConfig
from campfire.report.figures import cells, embedding_map, figure_2_2, save, similarity
from campfire.report.tables import TableOptions

OPTIONS = TableOptions(compound_labels={"C1": "DMSO", "H1": "taxol"}, paper_screen=False)
CONTROLS = ("C1", "C2")


def wells() -> pd.DataFrame:
    """Two plates in two batches with two controls and a held-out compound, two wells of each."""
    rows = [
        (plate, f"{'ABC'[number]}{copy:02d}", compound, batch, split)
        for plate, batch in (("P1", "B1"), ("P2", "B2"))
        for number, (compound, split) in enumerate([("C1", "train"), ("C2", "test"), ("H1", "test_ood_compound")])
        for copy in (1, 2)
    ]
    columns = ["Metadata_Plate", "Metadata_Well", "Metadata_JCP2022", "Metadata_Batch", "split"]
    return pd.DataFrame(rows, columns=columns)


def embedded(shift: float = 3.0) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Twelve cells a well around its compound's direction; plates are moved apart by `shift`."""
    table = wells()
    keys = table.loc[table.index.repeat(12), ["Metadata_Plate", "Metadata_Well"]].reset_index(drop=True)
    keys["Metadata_Site"], keys["Metadata_Nucleus"] = "1", np.arange(len(keys), dtype=np.int32)
    compound = keys.merge(table, on=["Metadata_Plate", "Metadata_Well"])["Metadata_JCP2022"]
    directions = {"C1": (0, 0, 0), "C2": (4, 0, 0), "H1": (0, 4, 0)}
    x = np.array([directions[name] for name in compound], dtype=np.float32)
    x += np.random.default_rng(0).normal(0, 0.3, x.shape)
    x[:, 2] += shift * (keys["Metadata_Plate"] == "P2").to_numpy()
    return keys, x.astype(np.float32)


def by_plate(keys: pd.DataFrame, x: NDArray[np.float32]) -> Iterator[tuple[pd.DataFrame, NDArray[np.float32]]]:
    for rows in keys.groupby("Metadata_Plate").indices.values():
        yield keys.iloc[rows].reset_index(drop=True), x[rows]


def test_profiles_plate_by_plate_are_those_of_all_cells_at_once() -> None:
    keys, x = embedded()
    compound = keys.merge(wells(), on=["Metadata_Plate", "Metadata_Well"])["Metadata_JCP2022"]
    table, means = well_means(keys, normalise(keys, x, (compound == "C1").to_numpy(), "sphered"))
    found, own = embedding_map.profiles(by_plate(keys, x), wells(), "C1")["sphered"]
    assert found["Metadata_Well"].tolist() == table["Metadata_Well"].tolist()
    np.testing.assert_allclose(own, means, atol=1e-4)


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


def test_sphering_takes_the_plates_away_and_leaves_the_compounds() -> None:
    found = embedding_map.profiles(by_plate(*embedded()), wells(), "C1")
    assert set(found) == {"raw", "sphered"}
    distance = {}
    for kind, (table, means) in found.items():
        c1 = [
            means[((table["Metadata_Plate"] == p) & (table["Metadata_JCP2022"] == "C1")).to_numpy()].mean(0)
            for p in ("P1", "P2")
        ]
        distance[kind] = np.linalg.norm(c1[0] - c1[1])
    assert distance["raw"] == pytest.approx(3, abs=0.4) and distance["sphered"] < 1e-4
    alone = embedding_map.profiles(by_plate(*embedded()), wells(), "another")
    assert set(alone) == {"raw"}, "without a negative control nothing can be sphered"


def test_principal_components_are_those_of_the_covariance() -> None:
    x = np.random.default_rng(1).normal(size=(30, 4)).astype(np.float32) * [3, 2, 1, 0.5]
    scores, share = embedding_map.principal_components(x.astype(np.float32))
    values = np.sort(np.linalg.eigvalsh(np.cov(x, rowvar=False)))[::-1]
    np.testing.assert_allclose(scores.var(axis=0, ddof=1), values[:2], rtol=1e-4)
    np.testing.assert_allclose(share, values[:2] / values.sum(), rtol=1e-4)
    np.testing.assert_allclose(embedding_map.principal_components(x[:, :1])[0][:, 1], 0)


def test_the_map_redraws_from_its_csv(tmp_path: Path) -> None:
    data = embedding_map.prepare(
        embedding_map.profiles(by_plate(*embedded()), wells(), "C1"), CONTROLS, "Ours", OPTIONS
    )
    assert len(data) == 2 * 12 and set(data["label"]) == {"DMSO", "C2", ""}
    first = save(embedding_map.draw(data), data, tmp_path / "a")
    again = pd.read_csv(tmp_path / "a.csv", float_precision="round_trip")
    second = save(embedding_map.draw(again), again, tmp_path / "b")
    assert first[2].read_bytes() == second[2].read_bytes()
    titles = [axes.get_title() for axes in embedding_map.draw(data).axes[:3]]
    assert titles == ["Control compounds", "Batch", "Part of the split"]


def test_similarity_is_the_cosine_of_means_and_replicates_stand_on_the_diagonal() -> None:
    table, means = embedding_map.profiles(by_plate(*embedded(shift=0)), wells(), "another")["raw"]
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
