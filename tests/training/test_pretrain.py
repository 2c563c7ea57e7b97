"""Training itself: learns, resumes bit for bit where it failed, and says what went wrong."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from campfire.core.columns import CELL_KEYS
from campfire.core.errors import ConfigError, DataError, InterruptedRunError
from campfire.core.files import read_table_metadata, single_writer
from campfire.model import ModelConfig, load_weights
from campfire.model.checkpoints import StateFolder, read_checkpoint
from campfire.training import PretrainOptions, train
from campfire.training.engine import Engine
from campfire.training.flops import training_flops
from campfire.training.learning_rate import Schedule, schedule
from campfire.training.outputs import OUTPUTS
from support.pretrain_plates import PLATES, SMALL_MODEL, options, same_run, split_table, three_plates


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return three_plates(tmp_path_factory.mktemp("tiles"))


@pytest.fixture(scope="module")
def whole(plates: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outputs of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    train(options(), plates, split_table(PLATES), folder / "run", folder / "state")
    return folder / "run"


def test_outputs_keep_the_contract(whole: Path, plates: list[Path]) -> None:
    metrics = pd.read_parquet(whole / "metrics.parquet")
    assert metrics.groupby("split")["epoch"].apply(list).to_dict() == {"train": [1, 2, 3], "val": [1, 2, 3]}
    assert {"step", "loss", "loss_spatial", "loss_high", "lr", "tiles_per_s", "reconstruction_error"} <= set(metrics)
    trained = metrics[metrics["split"] == "train"]
    assert trained["loss"].is_monotonic_decreasing and trained["loss"].iloc[-1] < 0.9 * trained["loss"].iloc[0]
    weights = 0.75 * metrics["loss_spatial"] + 0.25 * metrics["loss_high"]
    assert np.allclose(metrics["loss"], weights, rtol=1e-5)
    snapshots = np.load(whole / "snapshots.npz")
    assert snapshots["reconstruction"].shape == (3, 3, 3, 28, 28) and snapshots["epochs"].tolist() == [1, 2, 3]
    mask = snapshots["mask"]
    assert mask.mean() == pytest.approx(0.75) and (snapshots["masked"][mask] == 0).all()
    assert np.array_equal(snapshots["masked"][~mask], snapshots["target"][~mask])
    assert np.allclose(snapshots["target"].std(axis=(2, 3)), 1, atol=1e-4)
    errors = ((snapshots["reconstruction"] - snapshots["target"]) ** 2).mean(axis=(1, 2, 3, 4))
    assert errors[-1] < errors[0]
    index = pd.read_parquet(plates[0].with_suffix(".parquet")).set_index(CELL_KEYS[1:])
    for i in range(3):
        key = tuple(snapshots[name][i] for name in CELL_KEYS[1:])
        assert key in index.index or snapshots["Metadata_Plate"][i] == "three"
    assert read_table_metadata(whole / "metrics.parquet")["train_tiles"] > 0


def test_weights_say_how_they_were_made(whole: Path) -> None:
    model, header = load_weights(whole / "model.safetensors")
    assert header["normalisation"] == "tile" and header["seed"] == 4 and header["channels"] == ["DNA", "AGP", "Mito"]
    assert len(header["code"]) == 1 and header["software"].startswith("campfire ") and header["torch"]
    assert PretrainOptions(**header["options"]) == options() and len(header["data"]) == 64
    assert model.embed(torch.zeros(2, 3, 28, 28)).shape == (2, 32)


def test_a_finished_run_keeps_its_outputs_and_no_checkpoints(
    whole: Path, plates: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    state = tmp_path / "state"
    shutil.copytree(whole.parent / "state", state)
    assert not list(state.glob("**/*.ckpt")) and not list(state.glob("**/epoch-*.npy"))
    arguments = (options(log_steps=5), plates, split_table(PLATES), tmp_path / "run", state)
    with monkeypatch.context() as patch:
        patch.setattr(Engine, "step", lambda *_: pytest.fail("trained again"))
        assert train(*arguments).equals(pd.read_parquet(whole / "metrics.parquet"))
    for name in OUTPUTS:
        assert (tmp_path / "run" / name).read_bytes() == (whole / name).read_bytes()
    # Other code may give other weights: its run restarts.
    monkeypatch.setattr(Engine, "step", crash)
    with pytest.raises(RuntimeError, match="lost"):
        train(*arguments, "other")


def crash(*_: Any) -> None:
    raise RuntimeError("lost")


def crash_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Make the optimiser step with this number fail, as a lost node would."""
    real = Engine.step

    def step_or_fail(self: Engine, number: int, *rest: Any) -> None:
        if number == step:
            raise RuntimeError("lost")
        real(self, number, *rest)

    monkeypatch.setattr(Engine, "step", step_or_fail)


@pytest.mark.parametrize("step", [1, 6])
def test_a_run_cut_anywhere_ends_the_same(
    step: int, whole: Path, plates: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = (options(), plates, split_table(PLATES), tmp_path / "run", tmp_path / "state")
    with monkeypatch.context() as patch:
        crash_at(patch, step)
        with pytest.raises(RuntimeError, match="lost"):
            train(*arguments)
    assert not (tmp_path / "run").exists()
    train(*arguments)
    same_run(whole, tmp_path / "run")


def test_a_truncated_checkpoint_gives_way_to_the_one_before(
    whole: Path, plates: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    arguments = (options(), plates, split_table(PLATES), tmp_path / "run", tmp_path / "state")
    with monkeypatch.context() as patch:
        crash_at(patch, 11)
        with pytest.raises(RuntimeError, match="lost"):
            train(*arguments)
    newest = sorted(tmp_path.glob("state/*/step-*.ckpt"))
    assert [p.name for p in newest] == ["step-000000006.ckpt", "step-000000008.ckpt", "step-000000010.ckpt"]
    newest[-1].write_bytes(newest[-1].read_bytes()[:-1000])
    newest[-2].write_bytes(b"")
    train(*arguments)
    assert "step-000000010.ckpt: not a complete checkpoint" in caplog.text
    same_run(whole, tmp_path / "run")


def test_sigterm_checkpoints_and_the_next_start_goes_on(whole: Path, plates: list[Path], tmp_path: Path) -> None:
    arguments = (options(checkpoint_steps=0), plates, split_table(PLATES), tmp_path / "run", tmp_path / "state")

    def stop_soon() -> None:
        while not any('"step"' in p.read_text() for p in tmp_path.glob("state/*/log.jsonl")):
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.getsignal(signal.SIGUSR1)
    threading.Thread(target=stop_soon, daemon=True).start()
    with pytest.raises(InterruptedRunError, match="start again"):
        train(*arguments)
    assert signal.getsignal(signal.SIGUSR1) == before
    assert len(list(tmp_path.glob("state/*/step-*.ckpt"))) == 1
    train(*arguments)
    same_run(whole, tmp_path / "run")


def test_a_state_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(DataError, match="file/state: nothing can be written there"),
        single_writer(tmp_path / "file" / "state"),
    ):
        pass
    folder = StateFolder(tmp_path, "aaaa")
    shutil.rmtree(tmp_path / "aaaa")
    (tmp_path / "aaaa").write_text("")
    with pytest.raises(DataError, match="a part of the path is a file"):
        folder.save(1, {"x": torch.zeros(1)}, {})


def test_a_state_folder_keeps_three_and_other_options_apart(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path, "aaaa")
    for step in (1, 20, 3, 100):
        folder.save(step, {"x": torch.full((2,), float(step))}, {"epoch": step})
    assert [p.name for p in folder.newest()] == [f"step-{s:09d}.ckpt" for s in (100, 20, 3)]
    loaded = folder.load()
    assert loaded is not None and loaded.state == {"epoch": 100} and loaded.tensors["x"].tolist() == [100.0, 100.0]
    assert StateFolder(tmp_path, "bbbb").load() is None
    (tmp_path / "aaaa" / ".left.partial.ckpt").write_bytes(b"half")
    folder.clean()
    assert not list((tmp_path / "aaaa").glob(".*"))
    with pytest.raises(DataError, match="not a complete checkpoint"):
        read_checkpoint(tmp_path / "none.ckpt")


def test_accumulated_parts_give_the_gradient_of_the_whole_batch(plates: list[Path], tmp_path: Path) -> None:
    """Without masks drawn per part and augmentation, 16 + 16 + 16 tiles step as 48 do."""
    plain = {
        "model": SMALL_MODEL | {"mask_ratio": 0.0, "channel_embedding": "sample"},
        "augmentation": {"flip": False, "rotation": "none", "channel_subset": "all"},
        "objective": {"pixels": "all"}, "epochs": 1, "warmup_epochs": 0, "validation_every": 0, "snapshot_tiles": 0,
    }  # fmt: skip
    results = []
    for size in (16, 48):
        out = tmp_path / str(size)
        train(options(**plain | {"batch_size": size}), plates, split_table(PLATES), out / "run", out / "state")
        results.append(load_file(out / "run" / "model.safetensors"))
    for name, value in results[0].items():
        assert torch.allclose(value, results[1][name], atol=2e-4), name


def test_learning_rate_by_step() -> None:
    plan = schedule(options(epochs=10, warmup_epochs=2, learning_rate=1e-3), 5)
    rates = [plan.rate(step) for step in range(50)]
    assert rates[0] == 1e-5 and rates[10] == pytest.approx(1e-3) and rates[49] == pytest.approx(1e-6)
    assert rates[5] == pytest.approx((1e-5 + 1e-3) / 2)
    half = Schedule(peak=1.0, start=0.0, floor=0.0, warmup=0, steps=101)
    assert half.rate(50) == pytest.approx(0.5) and half.rate(25) == pytest.approx(0.5 + 0.5**1.5)
    assert all(a > b for a, b in pairwise(rates[10:]))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("changes", [{}, {"decoder": "per_channel"}, {"sync_mask": False, "rope": "none"}])
def test_counted_arithmetic_agrees_with_torch(channels: int, changes: dict[str, Any]) -> None:
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from campfire.model import MaskedAutoencoder

    config = ModelConfig(width=96, depth=3, heads=4, decoder_width=64, decoder_depth=2, decoder_heads=4, **changes)
    model = MaskedAutoencoder(config).train()
    # Written out, attention is counted by every torch version; torch 2.6 does not count the CPU's own kernel.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        generator = torch.Generator().manual_seed(0)
        output = model(torch.rand(2, channels, 112, 112), torch.arange(channels), generator=generator)
        output.prediction.sum().backward()
    assert training_flops(config, channels) == pytest.approx(counter.get_total_flops() / 2, rel=0.06)


def test_bf16_trains_too(plates: list[Path], tmp_path: Path) -> None:
    metrics = train(options(precision="bf16", epochs=2), plates, split_table(PLATES), tmp_path / "r", tmp_path / "s")
    loss = metrics.loc[metrics["split"] == "train", "loss"]
    assert loss.iloc[1] < loss.iloc[0]


def test_plate_normalisation_and_other_architectures(plates: list[Path], tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "augmentation": {"normalisation": "plate", "channel_subset": "uniform", "rotation": "any"},
        "model": SMALL_MODEL | {"decoder": "per_channel", "sync_mask": False, "rope": "axial"}, "epochs": 2,
    }  # fmt: skip
    metrics = train(options(**changes), plates, split_table(PLATES), tmp_path / "r", tmp_path / "s")
    loss = metrics.loc[metrics["split"] == "train", "loss"]
    assert np.isfinite(loss).all() and loss.iloc[1] < loss.iloc[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": []}, "needs at least 1"),
        ({"channels": "DNA"}, "expected a list"),
        ({"global_batch": 8, "batch_size": 16}, "global_batch"),
        ({"warmup_epochs": 9}, "warmup_epochs"),
        ({"precision": "fp8"}, "precision"),
        ({"snapshot_epochs": [4]}, "snapshot_epochs"),
    ],
)
def test_wrong_options_are_explained(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        options(**changes)


def test_wrong_sections_are_explained(plates: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.patchsize: no such option"):
        train(options(model={"patchsize": 3}), plates, split_table(PLATES), tmp_path / "r", tmp_path / "s")
    config = tmp_path / "run.json"
    for text, message in (("{", "not a readable JSON"), ("{}", "lacks options")):
        config.write_text(text)
        command = [sys.executable, "-m", "campfire.training", "--config", str(config)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        _, told = process.communicate(timeout=60)
        assert process.returncode == 1 and message in told and "Traceback" not in told


def test_fingerprint_ignores_the_machine() -> None:
    assert options().fingerprint() == options(log_steps=50, loader_threads=7, checkpoint_minutes=1).fingerprint()
    assert options().fingerprint() != options(seed=5).fingerprint()
    assert PretrainOptions(**options().as_dict()) == options()
