"""Embedding plates by key, and the tables of embeddings."""

import logging
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from campfire.core.columns import CELL_KEYS
from campfire.core.errors import DataError
from campfire.core.files import read_table_metadata, write_table
from campfire.encoders import embedding_table as embeddings
from campfire.encoders.embed import check_alone, embed_plate, find_rows

CHANNELS = ["DNA", "AGP", "Mito"]


@dataclass
class Store:
    """A plate of tiles in memory, shaped as campfire.images.tiles.TilePlate."""

    images: np.ndarray
    index: pd.DataFrame
    channels: list[str] = field(default_factory=lambda: list(CHANNELS))

    def read(self, rows: np.ndarray) -> np.ndarray:
        return self.images[rows]

    def to_counts(self, tiles: np.ndarray) -> np.ndarray:
        return tiles.astype(np.float32) * 2


@dataclass
class Recorder:
    """An encoder whose embedding is the mean of each channel, so that rows can be told apart."""

    normalisation: str = "tile"
    name: str = "mean"
    device: str = "cpu"
    digest: str = "0"
    seen: list[np.ndarray] = field(default_factory=list)
    statistics: tuple | None = None

    def dim(self, channels: Any) -> int:
        return len(channels)

    def embed(self, images: Any, channels: Any, statistics: Any = None) -> torch.Tensor:
        assert images.shape[1] == len(channels)
        self.statistics = statistics
        means = images.float().mean((2, 3))
        self.seen.append(means[:, 0].numpy().copy())
        return means


@pytest.fixture
def store() -> Store:
    count = 40
    index = pd.DataFrame(
        {
            "Metadata_Plate": "P1",
            "Metadata_Well": [f"A{i // 10 + 1:02d}" for i in range(count)],
            "Metadata_Site": [str(i // 5 % 2 + 1) for i in range(count)],
            "Metadata_Nucleus": np.array([i % 5 + 1 for i in range(count)], dtype=np.int32),
            "row": np.arange(count),
        }
    )
    images = (np.arange(count)[:, None] * 10 + np.arange(3))[..., None, None] * np.ones((1, 1, 4, 4))
    return Store(images.astype(np.uint16), index)


def test_cells_come_back_in_their_own_order_and_are_read_in_the_files(store: Store) -> None:
    cells = store.index.sample(25, random_state=0)
    # Twice the same cell, keys in another column order, an index of its own.
    cells = pd.concat([cells, cells.iloc[:2]])[[*reversed(CELL_KEYS)]]
    encoder = Recorder()
    keys, found = embed_plate(encoder, store, cells, ["Mito", "DNA"], batch_size=7)
    rows = store.index.set_index(CELL_KEYS).loc[list(cells[CELL_KEYS].itertuples(index=False)), "row"].to_numpy()
    np.testing.assert_allclose(found, np.stack([rows * 10 + 2, rows * 10], axis=1))
    pd.testing.assert_frame_equal(keys, cells[CELL_KEYS].reset_index(drop=True))
    assert found.dtype == np.float32
    read = np.concatenate(encoder.seen)
    assert len(read) == 25
    assert (np.diff(read) > 0).all()
    assert [len(part) for part in encoder.seen] == [7, 7, 7, 4]


def test_batches_do_not_change_the_result(store: Store) -> None:
    whole = embed_plate(Recorder(), store, store.index, CHANNELS, 1000)[1]
    parts = embed_plate(Recorder(), store, store.index, CHANNELS, 3)[1]
    np.testing.assert_array_equal(whole, parts)


def test_plate_statistics_and_counts_are_given_where_they_are_needed(store: Store) -> None:
    encoder = Recorder(normalisation="plate")
    embed_plate(encoder, store, store.index, ["AGP"], 16)
    assert encoder.statistics[0].tolist() == pytest.approx([196.0])
    tiles = embed_plate(Recorder(), store, store.index, ["AGP"], 16)[1]
    counts = embed_plate(Recorder(normalisation="counts"), store, store.index, ["AGP"], 16)[1]
    np.testing.assert_allclose(counts, 2 * tiles)


def test_no_cells_give_no_rows(store: Store) -> None:
    keys, found = embed_plate(Recorder(), store, store.index.iloc[:0], CHANNELS, 8)
    assert len(keys) == 0
    assert found.shape == (0, 3)


def test_cells_without_tiles_and_unknown_channels_are_named(store: Store) -> None:
    cells = store.index.copy()
    cells.loc[3, "Metadata_Nucleus"] = 77
    with pytest.raises(DataError, match=r"plate P1, well A01: 1 of 40 cells .* nucleus 77"):
        find_rows(store, cells)
    with pytest.raises(DataError, match="no channel RNA"):
        embed_plate(Recorder(), store, store.index, ["DNA", "RNA"])


def test_an_encoder_that_breaks_its_word_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recorder, "embed", lambda self, images, channels, statistics: torch.zeros(len(images), 5))
    with pytest.raises(DataError, match=r"encoder mean gave an array of shape \(40, 5\) for 40 tiles; .* 2 columns"):
        embed_plate(Recorder(), store, store.index, ["DNA", "AGP"])


def test_an_encoder_that_returns_no_tensor_is_told_what_to_return(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Recorder, "embed", lambda self, images, channels, statistics: np.zeros((len(images), 2)))
    with pytest.raises(DataError, match=r"encoder mean gave numpy.ndarray; .* torch.Tensor of 40 rows .* 2 columns"):
        embed_plate(Recorder(), store, store.index, ["DNA", "AGP"])


def test_any_float_dtype_is_taken(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = torch.full((40, 2), 0.5, dtype=torch.bfloat16, requires_grad=True)
    monkeypatch.setattr(Recorder, "embed", lambda self, images, channels, statistics: made)
    assert (embed_plate(Recorder(), store, store.index, ["DNA", "AGP"])[1] == 0.5).all()


def test_an_encoder_that_raises_keeps_its_error_and_its_tiles_are_logged(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(self: Any, images: torch.Tensor, channels: Any, statistics: Any) -> torch.Tensor:
        if images.float().max() > 200:  # from the 20th tile on
            raise RuntimeError("out of memory")
        return torch.zeros(len(images), 2)

    monkeypatch.setattr(Recorder, "embed", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        embed_plate(Recorder(), store, store.index, ["DNA", "AGP"], batch_size=15)
    assert "encoder mean failed on 15 tiles, P1/A02/2/1 to P1/A03/2/5" in caplog.text


def test_speed_is_logged(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="campfire.encoders.embed"):
        embed_plate(Recorder(), store, store.index, CHANNELS)
    assert "plate P1: 40 cells with mean on DNA+AGP+Mito" in caplog.text
    assert "tiles/s" in caplog.text


def test_tables_come_back_exactly(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "P1.parquet"
    array = np.random.default_rng(0).normal(size=(40, 17)).astype(np.float32)
    keys = store.index[CELL_KEYS].sample(frac=1, random_state=1)
    embeddings.write(path, keys, array, {"encoder": "campfire", "channels": ["DNA"]})
    found, values = embeddings.read(path)
    pd.testing.assert_frame_equal(found, keys.reset_index(drop=True))
    np.testing.assert_array_equal(values, array)
    assert values.dtype == np.float32
    assert read_table_metadata(path) == {"encoder": "campfire", "channels": ["DNA"], "dim": 17}
    assert [p.name for p in tmp_path.iterdir()] == ["P1.parquet"]
    embeddings.write(path, keys.iloc[:0], array[:0])
    assert embeddings.read(path)[1].shape == (0, 17)


def test_broken_embeddings_are_not_written(store: Store, tmp_path: Path) -> None:
    array = np.zeros((40, 2), np.float32)
    with pytest.raises(DataError, match="one row per cell"):
        embeddings.write(tmp_path / "a.parquet", store.index, array[:5])
    with pytest.raises(DataError, match="Metadata_Site"):
        embeddings.write(tmp_path / "a.parquet", store.index.drop(columns="Metadata_Site"), array)
    array[7, 1] = np.nan
    with pytest.raises(DataError, match="not finite, the first of cell P1/A01/2/3"):
        embeddings.write(tmp_path / "a.parquet", store.index, array)
    assert not list(tmp_path.iterdir())


def test_files_that_are_no_embeddings_are_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such embeddings"):
        embeddings.read(tmp_path / "absent.parquet")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 cut")
    with pytest.raises(DataError, match=r"cut\.parquet: not a readable"):
        embeddings.read(tmp_path / "cut.parquet")
    write_table(store.index, tmp_path / "index.parquet")
    with pytest.raises(DataError, match="no `embedding` column"):
        embeddings.read(tmp_path / "index.parquet")


@pytest.mark.parametrize("channels", [[], ["DNA", "AGP", "DNA"]])
def test_channels_are_named_once(store: Store, channels: list[str]) -> None:
    with pytest.raises(DataError, match="name at least one, each once"):
        embed_plate(Recorder(), store, store.index, channels)


def test_tables_need_no_torch() -> None:
    code = "import sys, campfire.encoders.embedding_table; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class Network(Recorder):
    """A small network with batch normalisation and dropout, by default in training mode as torch makes it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = torch.nn.Sequential(torch.nn.BatchNorm2d(3), torch.nn.Conv2d(3, 5, 3), torch.nn.Dropout(0.1))

    def dim(self, channels: Any) -> int:
        return 5

    @torch.inference_mode()
    def embed(self, images: Any, channels: Any, statistics: Any = None) -> torch.Tensor:
        return self.network(images.float()).mean((2, 3))


def test_a_network_left_in_training_mode_is_refused(store: Store) -> None:
    encoder = Network()
    with pytest.raises(DataError, match=r"encoder mean gives .* in another batch: 16 tiles of plate P1 .*`\.eval\(\)`"):
        check_alone(encoder, store, store.index, CHANNELS)
    encoder.network[0].eval()  # dropout alone
    with pytest.raises(DataError, match="in another batch"):
        check_alone(encoder, store, store.index, CHANNELS)
    encoder.network.eval()
    check_alone(encoder, store, store.index, CHANNELS)
    check_alone(encoder, store, store.index.head(0), CHANNELS)


def test_an_encoder_that_scales_over_the_batch_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def centred(self: Any, images: torch.Tensor, channels: Any, statistics: Any) -> torch.Tensor:
        means = images.float().mean((2, 3))
        return means - means.mean(0)

    monkeypatch.setattr(Recorder, "embed", centred)
    with pytest.raises(DataError, match="in another batch"):
        check_alone(Recorder(), store, store.index, CHANNELS)


@pytest.mark.parametrize("value", [0.0, 1000.0])
def test_the_rounding_of_a_collapsed_encoder_is_no_dependence(
    store: Store, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    """All embeddings are alike but for the last bits of bfloat16, which depend on the kernel."""
    scale = 1 + 2**-9 * torch.rand(16, 3, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(Recorder, "embed", lambda self, images, *_: value * scale.flip(0)[: len(images)])
    check_alone(Recorder(), store, store.index, CHANNELS)
