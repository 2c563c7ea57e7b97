"""Steps replayed as CUDA graphs: the same bytes as steps that are not, also after a stop."""

import os
import signal
from pathlib import Path

import pytest
import torch

from campfire.core.errors import InterruptedRunError
from campfire.training import PretrainOptions, train
from campfire.training.engine import Engine
from campfire.training.replay import Replays
from support.pretrain_plates import PLATES, options, same_run, split_table, three_plates

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not (torch.cuda.is_available() or os.environ.get("CAMPFIRE_REHEARSE")), reason="needs a GPU (or a rehearsal)"
    ),
]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def settings(graphs: bool) -> PretrainOptions:
    """Uncompiled, as tests/gpu/test_on_gpu.py, and with steps of one part."""
    return options(device=DEVICE, compile=False, batch_size=16, global_batch=16, epochs=4, cuda_graphs=graphs)


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return three_plates(tmp_path_factory.mktemp("tiles"))


def test_replayed_steps_give_the_same_bytes_also_after_a_stop(
    plates: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, replayed = split_table(PLATES), 0
    train(settings(False), plates, table, tmp_path / "plain", tmp_path / "plain-state")
    call, step = Replays.__call__, Engine.step

    def counted(self: Replays, inputs: dict[str, torch.Tensor | None]) -> torch.Tensor:
        nonlocal replayed
        replayed += any(self.known.values())
        return call(self, inputs)

    def step_with_signal(self: Engine, number: int, *rest: object) -> None:
        step(self, number, *rest)  # type: ignore[arg-type]
        if number == 6:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Replays, "__call__", counted)
    arguments = (settings(True), plates, table, tmp_path / "graphs", tmp_path / "graphs-state")
    with monkeypatch.context() as stopped:
        stopped.setattr(Engine, "step", step_with_signal)
        with pytest.raises(InterruptedRunError):
            train(*arguments)
    train(*arguments)
    same_run(tmp_path / "plain", tmp_path / "graphs")
    assert replayed > 3 or DEVICE == "cpu"
