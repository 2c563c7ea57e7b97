"""Training itself: learns, resumes bit for bit wherever it was cut, and says what went wrong."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from pretrain_plates import SMALL_MODEL, split_table, write_plate
from safetensors.torch import load_file

from campfire.errors import CampfireError, ConfigError, DataError
from campfire.files import read_table_metadata, single_writer, write_json, write_table
from campfire.keys import CELL_KEYS
from campfire.model import ModelConfig, load_weights
from campfire.pretrain import EXIT_RESUMABLE, PretrainOptions, launch, train
from campfire.pretrain.checkpoints import StateFolder, read_checkpoint
from campfire.pretrain.engine import Engine
from campfire.pretrain.flops import training_flops
from campfire.pretrain.processes import InterruptedRunError
from campfire.pretrain.schedule import Schedule, schedule

PLATES = ["five", "three", "two"]


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("tiles")
    return [
        write_plate(folder, "five", 120, ["DNA", "AGP", "Mito", "ER", "RNA"], 1),
        write_plate(folder, "three", 150, ["DNA", "AGP", "Mito"], 2),
        write_plate(folder, "two", 60, ["DNA", "ER"], 3),
    ]


def options(**changes: Any) -> PretrainOptions:
    values: dict[str, Any] = {
        "model": SMALL_MODEL | {"drop_path": 0.1}, "epochs": 3, "global_batch": 48, "batch_size": 16,
        "learning_rate": 2e-3, "warmup_epochs": 1, "log_steps": 2, "snapshot_tiles": 3, "window_tiles": 64,
        "shard_tiles": 16, "loader_threads": 1, "device": "cpu", "checkpoint_steps": 2, "seed": 4,
    }  # fmt: skip
    return PretrainOptions(**values | changes)


@pytest.fixture(scope="module")
def whole(plates: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outputs of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    train(options(), plates, split_table(PLATES), folder / "run", folder / "state")
    return folder / "run"


def same_run(one: Path, other: Path) -> None:
    """Weights and snapshots bit for bit; the table of epochs but for timings."""
    a, b = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    assert set(a) == set(b) and all(torch.equal(a[name], b[name]) for name in a)
    timings = ["seconds", "tiles_per_s"]
    tables = [pd.read_parquet(folder / "metrics.parquet").drop(columns=timings) for folder in (one, other)]
    pd.testing.assert_frame_equal(*tables)
    with np.load(one / "snapshots.npz") as left, np.load(other / "snapshots.npz") as right:
        assert all(np.array_equal(left[name], right[name]) for name in left)


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
    assert np.abs(snapshots["target"].mean(axis=(2, 3))).max() < 1e-4
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
    assert PretrainOptions(**header["options"]) == options() and len(header["data"]) == 64
    assert model.embed(torch.zeros(2, 3, 28, 28)).shape == (2, 32)


def crash_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Make the optimiser step with this number fail, as a lost node would."""
    real = Engine.step

    def step_or_fail(self: Engine, number: int, *rest: Any) -> None:
        if number == step:
            raise RuntimeError("lost")
        real(self, number, *rest)

    monkeypatch.setattr(Engine, "step", step_or_fail)


@pytest.mark.parametrize("step", [1, 3, 6, 11])
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
    assert "step-000000010.ckpt: not a whole checkpoint" in caplog.text
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


def run_file(folder: Path, plates: list[Path], changes: dict[str, Any]) -> Path:
    write_table(split_table(PLATES), folder / "wells.parquet")
    write_json(
        folder / "run.json",
        {
            "options": options(**changes).as_dict(), "plates": [str(p) for p in plates],
            "wells": str(folder / "wells.parquet"), "out": str(folder / "run"), "state": str(folder / "state"),
        },
    )  # fmt: skip
    return folder / "run.json"


def started(config: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "campfire.pretrain", "--config", str(config), *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str], code: int) -> None:
    _, told = process.communicate(timeout=180)
    assert process.returncode == code, told


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    for _ in range(18_000):
        if condition() or process.poll() is not None:
            return
        time.sleep(0.01)
    raise AssertionError("the run did not get there")


@pytest.mark.parametrize("processes", [1, 2])
def test_killed_processes_end_with_the_same_weights(processes: int, plates: list[Path], tmp_path: Path) -> None:
    """kill -9 of a process in mid-run, SIGTERM in mid-run, then to the end: the outputs of a run left alone."""
    changes = {"epochs": 8, "checkpoint_steps": 3, "log_steps": 3}
    number = ["--processes", str(processes)]
    for name in ("alone", "hurt"):
        (tmp_path / name).mkdir()
    config, state = run_file(tmp_path / "hurt", plates, changes), tmp_path / "hurt" / "state"

    def checkpoints() -> int:
        return max((int(p.stem[5:]) for p in state.glob("*/step-*.ckpt")), default=0)

    alone = started(run_file(tmp_path / "alone", plates, changes), *number)
    first = started(config, *number)
    wait_for(lambda: checkpoints() >= 3, first)
    children = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
    ended(first, 128 + signal.SIGKILL)
    assert not (tmp_path / "hurt" / "run").exists()
    if processes > 1:
        reached = checkpoints()
        second = started(config, *number)
        wait_for(lambda: checkpoints() > reached, second)
        second.send_signal(signal.SIGTERM)
        ended(second, EXIT_RESUMABLE)
    wells, run, nproc = tmp_path / "hurt" / "wells.parquet", tmp_path / "hurt" / "run", processes
    assert launch(options(**changes), plates, wells, run, state, nproc) == 0
    ended(alone, 0)
    same_run(tmp_path / "alone" / "run", tmp_path / "hurt" / "run")


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
    with pytest.raises(DataError, match="cannot write this checkpoint"):
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
    with pytest.raises(DataError, match="not a whole checkpoint"):
        read_checkpoint(tmp_path / "none.ckpt")


def test_a_loss_that_is_not_finite_stops_with_its_tiles(
    plates: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Engine.step

    def poisoned(self: Engine, number: int, *rest: Any) -> None:
        if number == 4:
            with torch.no_grad():
                self.model.decoder.pred.bias.fill_(float("nan"))
        real(self, number, *rest)

    monkeypatch.setattr(Engine, "step", poisoned)
    with pytest.raises(CampfireError, match="step 5 of epoch 1 is not finite"):
        train(options(checkpoint_steps=3, log_steps=3), plates, split_table(PLATES), tmp_path / "run", tmp_path / "s")
    (saved,) = tmp_path.glob("s/*/nonfinite-step-000000004-rank-0.npz")
    with np.load(saved) as tiles:
        stored = {p.stem: np.load(p, mmap_mode="r") for p in plates}
        names = {p.stem: json.loads(_channels(p)) for p in plates}
        for image, plate, row in zip(tiles["images"], tiles["plate"], tiles["row"], strict=True):
            where = [names[str(plate)].index(c) for c in tiles["channels"]]
            assert np.array_equal(image, stored[str(plate)][row][where])
    newest = max(tmp_path.glob("s/*/step-*.ckpt"))
    assert newest.name == "step-000000003.ckpt"
    assert all(t.isfinite().all() for t in read_checkpoint(newest).tensors.values())


def _channels(path: Path) -> str:
    return json.dumps(read_table_metadata(path.with_suffix(".parquet"))["channels"])


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
    from torch.utils.flop_counter import FlopCounterMode

    from campfire.model import MaskedAutoencoder

    config = ModelConfig(width=96, depth=3, heads=4, decoder_width=64, decoder_depth=2, decoder_heads=4, **changes)
    model = MaskedAutoencoder(config).train()
    with FlopCounterMode(display=False) as counter:
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
        ({"channels": ["DNA", "GFP"]}, "GFP"),
        ({"channels": "DNA"}, "is a list"),
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
    with pytest.raises(ConfigError, match=r"section `model`.*patchsize"):
        train(options(model={"patchsize": 3}), plates, split_table(PLATES), tmp_path / "r", tmp_path / "s")
    config = tmp_path / "run.json"
    for text, message in (("{", "not a readable JSON"), ("{}", "lacks options")):
        config.write_text(text)
        process = started(config)
        _, told = process.communicate(timeout=60)
        assert process.returncode == 1 and message in told and "Traceback" not in told


def test_fingerprint_ignores_the_machine() -> None:
    assert options().fingerprint() == options(log_steps=50, loader_threads=7, checkpoint_minutes=1).fingerprint()
    assert options().fingerprint() != options(seed=5).fingerprint()
    assert PretrainOptions(**options().as_dict()) == options()
