"""Phases of a pretraining step: GPU and host time of each, beside what arithmetic and memory traffic would take.

A module of bench/step_profile.py, which prints them.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol
from unittest.mock import patch

import torch
from pretrain import synchronise
from torch import nn

from campfire.model import ModelConfig
from campfire.training.engine import Engine


class Steps(Protocol):
    """An engine with a batch; a call takes a step."""

    engine: Engine

    def __call__(self) -> None: ...


class Marks:
    """Moments of a step, on the GPU's clock and the host's."""

    def __init__(self, device: torch.device) -> None:
        self.cuda = device.type == "cuda"
        self.found: list[tuple[str, Any, float]] = []

    def __call__(self, name: str) -> None:
        event = torch.cuda.Event(enable_timing=True) if self.cuda else None
        if event is not None:
            event.record()
        self.found.append((name, event, time.perf_counter()))

    def phases(self) -> dict[str, tuple[float, float]]:
        """GPU and host time (ms) that passed before each mark since the one before."""
        times = {}
        for (_, first, early), (name, event, late) in zip(self.found, self.found[1:], strict=False):
            host = 1e3 * (late - early)
            times[name] = (first.elapsed_time(event) if event is not None else host, host)
        return times


@contextmanager
def marked(engine: Engine, mark: Marks) -> Iterator[None]:
    """Marks at the end of each phase of the step; those inside the backward pass by hooks on gradients."""
    model = engine.model

    def then(call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def called(*given: Any, **named: Any) -> Any:
            result = call(*given, **named)
            mark(name)
            return result

        return called

    def on_output(_: nn.Module, __: Any, output: Any) -> None:
        output.prediction.register_hook(lambda _: mark("backward: objective"))
        output.latent.register_hook(lambda _: mark("backward: decoder"))

    handles = [
        model.encoder.register_forward_pre_hook(lambda *_: mark("draws and patches")),
        model.encoder.register_forward_hook(lambda *_: mark("forward: encoder")),
        model.decoder.register_forward_hook(lambda *_: mark("forward: decoder")),
        model.register_forward_hook(on_output),
        engine.task.register_forward_hook(lambda *_: mark("objective, FFT")),
    ]
    update = engine._update

    def measured_update(*given: Any) -> None:
        mark("backward: encoder")
        update(*given)

    clip = then(nn.utils.clip_grad_norm_, "clip")
    try:
        with (
            patch.object(engine, "_prepare_part", then(engine._prepare_part, "copy, normalise, augment")),
            patch.object(model, "channel_sums", then(model.channel_sums, "channel sums")),
            patch.object(engine, "_update", measured_update),
            patch("torch.nn.utils.clip_grad_norm_", clip),
        ):
            yield
    finally:
        for handle in handles:
            handle.remove()


def phases(steps: Steps, device: torch.device, count: int) -> dict[str, tuple[float, float]]:
    """Median GPU and host time (ms) of each phase."""
    all_times: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for _ in range(count):
        mark = Marks(device)
        with marked(steps.engine, mark):
            synchronise(device)
            mark("")
            steps()
            mark("optimiser")
            synchronise(device)
        for name, pair in mark.phases().items():
            all_times[name].append(pair)
    return {n: (statistics.median(p[0] for p in v), statistics.median(p[1] for p in v)) for n, v in all_times.items()}


def expected(config: ModelConfig, channels: int, batch: int, flops: float, bytes_per_s: float) -> dict[str, float]:
    """Time (ms) that a phase's products (at `flops`) and traffic of compiled elementwise work (at 0.8 of the memory's
    rate) would take one after the other, written down before anything was measured.

    Per block and element of the stream 54 bytes forward (norms 6 and 6, rotation 8, GELU 16, two sums 8 and 10 less
    what a product reads anyway) and 2.2 times that backward; weights 6 bytes each way for their bf16 copies; the
    objective 20 passes over the pixels in fp32 forward, 12 backward; the optimiser 28 bytes per weight.
    """
    speed, pixels = 0.8 * bytes_per_s, batch * channels * config.image_size**2
    weights = 12 * config.encoder_depth * config.encoder_width**2 + 12 * config.decoder_depth * config.decoder_width**2

    def stack(tokens: int, width: int, depth: int, backward: bool) -> float:
        products = depth * (24 * tokens * width**2 + 4 * tokens**2 * width) * batch * (2 if backward else 1)
        moved = depth * tokens * width * batch * 54 * (2.2 if backward else 1) + weights * 3
        return 1e3 * (products / flops + moved / speed)

    seen, every = 1 + channels * config.kept, 1 + channels * config.patches
    found = {
        "copy, normalise, augment": 1e3 * (pixels * 2 / 40e9 + pixels * 60 / speed),
        "channel sums": 1e3 * pixels * 16 / speed,
    }
    for word, back in (("forward", False), ("backward", True)):
        found[f"{word}: encoder"] = stack(seen, config.encoder_width, config.encoder_depth, back)
        found[f"{word}: decoder"] = stack(every, config.decoder_width, config.decoder_depth, back)
    found["objective, FFT"] = 1e3 * pixels * 80 / speed
    found["backward: objective"] = 1e3 * pixels * 48 / speed
    found["clip"] = 1e3 * weights * 12 / speed
    found["optimiser"] = 1e3 * weights * 28 / speed
    return found


def show_phases(found: dict[str, tuple[float, float]], wanted: dict[str, float]) -> None:
    """Print what `phases` found beside what was expected."""
    print(f"{'phase':28s} {'GPU ms':>8s} {'expected':>9s} {'host ms':>8s}")
    for name, (device_ms, host_ms) in found.items():
        print(f"{name:28s} {device_ms:8.2f} {wanted.get(name, 0):9.2f} {host_ms:8.2f}")
    print(f"{'together':28s} {sum(p[0] for p in found.values()):8.2f} {sum(wanted.values()):9.2f}", flush=True)
