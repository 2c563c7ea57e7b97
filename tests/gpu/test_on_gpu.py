"""What only a GPU can show: the same results as a CPU within its arithmetic, and runs that resume bit for bit."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from campfire.core.errors import InterruptedRunError
from campfire.encoders import load
from campfire.model import MaskedAutoencoder, ModelConfig
from campfire.training import train
from campfire.training.engine import Engine
from campfire.training.objective import Objective
from support.pretrain_plates import (
    PLATES,
    SMALL_MODEL,
    options,
    same_run,
    same_tensors,
    split_table,
    three_plates,
)
from support.step_trace import trace

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not (torch.cuda.is_available() or os.environ.get("CAMPFIRE_REHEARSE")), reason="needs a GPU (or a rehearsal)"
    ),
]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SETTINGS = options(device=DEVICE, compile=False)
"""Uncompiled: each number of channels would take half a minute to compile."""


def test_a_step_in_fp32_equals_the_cpu() -> None:
    """Loss and gradients of one pass with the same masks, TF32 off."""
    images = torch.randn(8, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    noise = torch.rand(8, 3, 16, generator=torch.Generator().manual_seed(1))
    values = {}
    for place, device in (("cpu", "cpu"), ("device", DEVICE)):
        network = MaskedAutoencoder(ModelConfig(**SMALL_MODEL), seed=3).to(device)
        shape = network.draw(8, 3, torch.Generator(device).manual_seed(0))["noise"].shape
        output = network(images.to(device), torch.arange(3, device=device), noise=noise[:, : shape[1]].to(device))
        loss = Objective()(output.prediction, output.target, output.mask)["loss"]
        loss.backward()
        norms = torch.stack([p.grad.norm() for p in network.parameters() if p.grad is not None])
        values[place] = (loss.detach().cpu(), norms.cpu())
    torch.testing.assert_close(values["device"][0], values["cpu"][0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(values["device"][1], values["cpu"][1], rtol=1e-3, atol=1e-5)


def test_embeddings_equal_those_of_the_cpu() -> None:
    images = torch.randint(100, 4000, (16, 3, 112, 112), generator=torch.Generator().manual_seed(0)).to(torch.uint16)
    model = {"width": 64, "depth": 2, "heads": 4}
    spec = {"kind": "untrained", "seed": 0, "name": "twin", "normalisation": "tile", "model": model}
    channels = ["DNA", "AGP", "Mito"]
    first, second = (load(spec, device).embed(images, channels).cpu() for device in ("cpu", DEVICE))
    torch.testing.assert_close(second, first, rtol=2e-2, atol=2e-2)


def test_steps_repeated_give_the_same_bytes() -> None:
    same_tensors(trace(DEVICE, compiled=False), trace(DEVICE, compiled=False))


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return three_plates(tmp_path_factory.mktemp("tiles"))


@pytest.fixture(scope="module")
def whole(plates: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outputs of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    train(SETTINGS, plates, split_table(PLATES), folder / "run", folder / "state")
    return folder / "run"


def test_two_runs_give_the_same_bytes(whole: Path, plates: list[Path], tmp_path: Path) -> None:
    train(SETTINGS, plates, split_table(PLATES), tmp_path / "run", tmp_path / "state")
    same_run(whole, tmp_path / "run")


def test_a_run_stopped_by_a_signal_resumes_bit_for_bit(
    whole: Path, plates: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM in mid-run leaves a checkpoint; the resumed run ends with the bytes of an uninterrupted one."""
    real = Engine.step

    def step_with_signal(self: Engine, number: int, *rest: Any) -> None:
        real(self, number, *rest)
        if number == 6:
            signal.raise_signal(signal.SIGTERM)

    arguments = (SETTINGS, plates, split_table(PLATES), tmp_path / "run", tmp_path / "state")
    with monkeypatch.context() as patch:
        patch.setattr(Engine, "step", step_with_signal)
        with pytest.raises(InterruptedRunError):
            train(*arguments)
    assert list((tmp_path / "state").rglob("step-*.ckpt")) and not (tmp_path / "run").exists()
    train(*arguments)
    same_run(whole, tmp_path / "run")


def test_two_processes_that_compile_give_the_same_bytes(tmp_path: Path) -> None:
    """Each compiles on its own, as a run does that resumes on another machine of the kind."""
    processes = []
    for name in ("one", "two"):
        command = [sys.executable, "-m", "support.step_trace", DEVICE, "auto", str(tmp_path / name)]
        environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / f"{name}-cache")}
        processes.append(subprocess.Popen(command, cwd=Path(__file__).resolve().parents[1], env=environment))
    assert [process.wait(200) for process in processes] == [0, 0]
    one, two = (dict(sorted(load_file(tmp_path / name).items())) for name in ("one", "two"))
    same_tensors(one, two)
