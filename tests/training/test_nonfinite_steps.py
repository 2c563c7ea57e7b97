"""Steps whose gradient is not finite: skipped and saved, bounded, and what a trial does that has too many."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from campfire.core.errors import CampfireError
from campfire.core.files import read_table_metadata
from campfire.core.random import keyed_generator
from campfire.model.checkpoints import read_checkpoint
from campfire.training import train
from campfire.training.engine import Engine, Prepared
from campfire.training.epoch_plan import plan_epoch
from campfire.training.loader import Batch, Loader
from campfire.training.processes import Processes
from campfire.training.source import open_sources
from support.pretrain_plates import PLATES, options, split_table, three_plates


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return three_plates(tmp_path_factory.mktemp("tiles"))


def poison(monkeypatch: pytest.MonkeyPatch, first: int, last: int) -> None:
    """Images of these steps hold a value that is not a number."""
    real = Engine.prepare

    def poisoned(self: Engine, batch: Batch, *rest: Any, training: bool) -> Prepared:
        made = real(self, batch, *rest, training=training)
        if training and first <= batch.step <= last:
            made.images[0, 0, 0, 0] = float("nan")
        return made

    monkeypatch.setattr(Engine, "prepare", poisoned)


def test_a_step_that_is_not_finite_is_skipped_and_its_tiles_are_saved(
    plates: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    poison(monkeypatch, 2, 2)
    with caplog.at_level("WARNING"):
        table = train(options(epochs=1, log_steps=3), plates, split_table(PLATES), tmp_path / "run", tmp_path / "s")
    assert "step 3 of epoch 1 was skipped" in caplog.text
    assert np.isfinite(table["loss"]).all()
    assert all(t.isfinite().all() for t in load_file(tmp_path / "run" / "model.safetensors").values())
    (saved,) = tmp_path.glob("s/*/nonfinite-step-000000002-rank-0.npz")
    with np.load(saved) as tiles:
        stored = {p.stem: np.load(p, mmap_mode="r") for p in plates}
        names = {p.stem: json.loads(_channels(p)) for p in plates}
        for image, plate, row in zip(tiles["images"], tiles["plate"], tiles["row"], strict=True):
            where = [names[str(plate)].index(c) for c in tiles["channels"]]
            assert np.array_equal(image, stored[str(plate)][row][where])


def test_a_skipped_step_leaves_weights_and_moments_alone(plates: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch, 1, 1)
    train_tiles, _, _ = open_sources(plates, split_table(PLATES), ["DNA", "AGP", "Mito"])
    engine = Engine(options(), Processes(0, 1, torch.device("cpu")), [train_tiles])
    plan = plan_epoch([g.tiles for g in train_tiles.groups], 48, 1, keyed_generator(4, 0))
    seen = []
    for batch in Loader(train_tiles, 48, seed=4).epoch(plan, 0):
        engine.step(batch.step, [batch], train_tiles, 1e-3)
        moments = [v.clone() for s in engine.optimiser.state.values() for v in s.values()]
        seen.append([*(p.detach().clone() for p in engine.model.parameters()), *moments])
        if batch.step == 2:
            break
    assert all(torch.equal(a, b) for a, b in zip(seen[0], seen[1], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(seen[1], seen[2], strict=True))
    assert int(engine.skipped) == 1


def test_too_many_skipped_steps_end_the_run(
    plates: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, 3, 99)
    short = options(checkpoint_steps=3, log_steps=1, skip_steps=2)
    with pytest.raises(CampfireError, match="3 steps was not finite, more than `skip_steps`"):
        train(short, plates, split_table(PLATES), tmp_path / "run", tmp_path / "s")
    newest = max(tmp_path.glob("s/*/step-*.ckpt"))
    assert newest.name == "step-000000006.ckpt"
    assert all(t.isfinite().all() for t in read_checkpoint(newest).tensors.values())


@pytest.mark.parametrize("first", [1, 7], ids=["in the first epoch", "in the second"])
def test_a_trial_that_diverges_ends_with_outputs(
    plates: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, first: int
) -> None:
    """So that its stage of the ablation study is ranked without a person; all its numbers are finite."""
    real = Engine._prepare_part

    def poisoned(self: Engine, number: int, batch: Batch, source: Any) -> Any:
        made = real(self, number, batch, source)
        if number >= first:
            made.images[0, 0, 0, 0] = float("nan")
        return made

    monkeypatch.setattr(Engine, "_prepare_part", poisoned)
    short = options(epochs=3, log_steps=1, skip_steps=2, diverged="finish")
    with caplog.at_level("WARNING"):
        table = train(short, plates, split_table(PLATES), tmp_path / "run", tmp_path / "s")
    assert "more than `skip_steps`" in caplog.text and "The run ends here" in caplog.text
    validated = table[table["split"] == "val"]
    assert len(validated) and validated["epoch"].max() < 3 and np.isfinite(validated["loss"]).all()
    weights = load_file(tmp_path / "run" / "model.safetensors")
    assert all(tensor.isfinite().all() for tensor in weights.values()) and (tmp_path / "run/snapshots.npz").is_file()


def _channels(path: Path) -> str:
    return json.dumps(read_table_metadata(path.with_suffix(".parquet"))["channels"])
