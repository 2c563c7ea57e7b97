"""What only a GPU can show: the same results as a CPU within its arithmetic, and runs that resume bit for bit."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from campfire.encoders import load
from campfire.model import MaskedAutoencoder, ModelConfig
from campfire.training import EXIT_RESUMABLE, train
from campfire.training.objective import Objective
from support.pretrain_plates import PLATES, SMALL_MODEL, options, same_run, split_table, three_plates

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not (torch.cuda.is_available() or os.environ.get("CAMPFIRE_REHEARSE")), reason="needs a GPU (or a rehearsal)"
    ),
]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


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


def test_two_runs_on_the_gpu_give_the_same_bytes(tmp_path: Path) -> None:
    plates = three_plates(tmp_path / "tiles")
    for name in ("one", "two"):
        train(options(device=DEVICE), plates, split_table(PLATES), tmp_path / name, tmp_path / f"{name}-state")
    same_run(tmp_path / "one", tmp_path / "two")


def test_a_run_stopped_by_a_signal_resumes_bit_for_bit(tmp_path: Path) -> None:
    """SIGTERM in mid-run leaves a checkpoint; the resumed run ends with the bytes of an uninterrupted one."""
    plates = three_plates(tmp_path / "tiles")
    settings = options(device=DEVICE, epochs=40)
    train(settings, plates, split_table(PLATES), tmp_path / "whole", tmp_path / "whole-state")
    wells = tmp_path / "wells.parquet"
    split_table(PLATES).to_parquet(wells)
    code = (
        "import sys; from pathlib import Path; from support.pretrain_plates import options; "
        "from campfire.training import launch; plates = sys.argv[4:]; "
        "sys.exit(launch(options(device=sys.argv[3], epochs=40), plates, sys.argv[1], Path(sys.argv[2]) / 'run', "
        "Path(sys.argv[2]) / 'state'))"
    )
    command = [sys.executable, "-c", code, str(wells), str(tmp_path), DEVICE, *map(str, plates)]
    tests = Path(__file__).resolve().parents[1]
    process = subprocess.Popen(command, cwd=tests)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "state").rglob("step-*.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    if process.wait(60) == EXIT_RESUMABLE:
        assert subprocess.run(command, cwd=tests).returncode == 0
    same_run(tmp_path / "whole", tmp_path / "run")
