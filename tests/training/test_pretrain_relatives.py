"""Campfire's relatives through its own trainer: learning, resuming bit for bit, embedding what came out."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from campfire.encoders import load
from campfire.encoders.embed import embed_plate
from campfire.images.tiles import open_plate
from campfire.training.engine import Engine
from campfire.training.trainer import train
from support.pretrain_plates import PLATES, SMALL_MODEL, options, split_table, three_plates

FAMILIES: dict[str, dict[str, Any]] = {
    "channelvit": {"channel_embedding": "learned"},
    "chada_vit": {"channel_embedding": "learned"},
    "contextvit": {},
    "ca_mae": {"decoder": "per_channel", "sync_mask": False, "rope": "none"},
}


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return three_plates(tmp_path_factory.mktemp("plates"))


def recipe(family: str) -> Any:
    model = {**SMALL_MODEL, "family": family, "decoder_width": 16, **FAMILIES[family]}
    changes: dict[str, Any] = {"model": model, "epochs": 2, "snapshot_tiles": 2}
    if family == "ca_mae":
        changes["objective"] = {"spatial": 0.99, "high": 0.0, "frequency": 0.01, "l1": "patch_amplitude"}
    return options(**changes)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_relative_trains_resumes_and_embeds(
    family: str, plates: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = (recipe(family), plates, split_table(PLATES))
    history = train(*arguments, tmp_path / "a" / "run", tmp_path / "a" / "state")
    losses = history.loc[history["phase"] == "val", "loss"] if "phase" in history else history["loss"]
    assert np.isfinite(losses).all() and losses.iloc[-1] < losses.iloc[0]

    real = Engine.step

    def fail_late(self: Engine, number: int, *rest: Any) -> None:
        if number == 5:
            raise RuntimeError("lost")
        real(self, number, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "step", fail_late)
        with pytest.raises(RuntimeError, match="lost"):
            train(*arguments, tmp_path / "b" / "run", tmp_path / "b" / "state")
    train(*arguments, tmp_path / "b" / "run", tmp_path / "b" / "state")
    weights = tmp_path / "a" / "run" / "model.safetensors"
    assert (tmp_path / "b" / "run" / "model.safetensors").read_bytes() == weights.read_bytes()

    encoder = load({"kind": "pretrained", "weights": str(weights)}, "cpu")
    twin = load({"kind": "untrained", "weights": str(weights)}, "cpu")
    store = open_plate(plates[0])
    cells = store.index.iloc[:20]
    keys, found = embed_plate(encoder, store, cells, ["DNA", "AGP", "Mito"], 8)
    _, other = embed_plate(encoder, store, cells, ["DNA", "AGP", "Mito"], 20)
    np.testing.assert_allclose(found, other, atol=1e-5)
    assert isinstance(keys, pd.DataFrame) and found.shape == (20, 32)
    _, untrained = embed_plate(twin, store, cells, ["DNA", "AGP", "Mito"], 8)
    assert np.abs(untrained - found).max() > 1e-3
    # Any set of channels, also ones that training never had.
    assert embed_plate(encoder, store, cells, ["ER", "RNA"], 8)[1].shape == (20, 32)
