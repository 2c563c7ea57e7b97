"""Recorded passes: whatever is replayed computes what a pass would; a GPU's recorder is tested in tests/gpu."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from campfire.training.engine import Engine
from campfire.training.loader import Batch
from campfire.training.processes import Processes
from campfire.training.replay import Replays
from campfire.training.source import Source
from support.pretrain_plates import options, same_tensors

CHANNELS = ("DNA", "AGP", "Mito")
TILES = 4


class Repeater:
    """A recorder for a CPU: replaying computes the body again and puts its results where the first ones are."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.recorded, self.replayed = model, 0, 0

    def warm(self, body: Callable[[], Tensor]) -> Tensor:
        return body()

    def record(self, body: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        self.recorded += 1
        result = body()

        def replay() -> None:
            self.replayed += 1
            own = [(p, p.grad) for p in self.model.parameters() if p.grad is not None]
            for parameter, _ in own:
                parameter.grad = None
            result.copy_(body())
            for parameter, gradient in own:
                assert parameter.grad is not None
                gradient.copy_(parameter.grad)
                parameter.grad = gradient

        return replay, result


def weights(run: Any, recorded: bool, counts: list[int]) -> tuple[dict[str, Tensor], Repeater]:
    """Weights after steps with so many channels each, and the recorder."""
    engine = Engine(run, Processes(0, 1, torch.device("cpu")))
    recorder = Repeater(engine.model)
    if recorded:
        engine.replays = Replays(engine.task, engine.model.parameters(), recorder)
    numbers = np.arange(TILES)
    size = engine.config.image_size
    for step, count in enumerate(counts):
        noise = torch.Generator().manual_seed(step)
        tiles = TILES if count > 0 else TILES - 1
        images = torch.randint(100, 4000, (tiles, abs(count), size, size), generator=noise).to(torch.uint16)
        names = CHANNELS[-abs(count) :] if step % 2 else CHANNELS[: abs(count)]
        batch = Batch(step, 0, 1, tiles, images, names, numbers[:tiles] * 0, numbers[:tiles])
        engine.step(step, [batch], Source(()), 1e-3)
    return dict(engine.model.state_dict()), recorder


@pytest.mark.parametrize("changes", [{}, {"model": {"drop_path": 0.2, "sync_mask": False}}])
def test_steps_that_are_replayed_give_the_bytes_of_steps_that_are_not(changes: dict[str, Any]) -> None:
    run = options()
    run = options(
        global_batch=TILES, batch_size=TILES, model=run.model.to_dict() | changes.get("model", {}),
    )  # fmt: skip
    counts = [3, 1, 3, 1, -2, 3, 2, 1, 2]  # minus: a partial step
    plain, _ = weights(run, False, counts)
    found, recorder = weights(run, True, counts)
    same_tensors(plain, found)
    assert (recorder.recorded, recorder.replayed) == (3, 5), "a shape is recorded at its second full step"


def test_a_run_on_a_cpu_records_nothing() -> None:
    engine = Engine(options(cuda_graphs="auto"), Processes(0, 1, torch.device("cpu")))
    assert engine.replays is None


def test_the_choice_is_no_part_of_the_result() -> None:
    assert options(cuda_graphs=True, compile_tables=True).fingerprint() == options().fingerprint()
