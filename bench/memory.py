"""GPU memory of a training step, estimated without a GPU: the step of the trainer on tensors without data.

    python bench/memory.py [--quick] [--size large] [--batch 400] [--out FILE.json]

torch's fake tensors have a device and a size but no data, so the step of the paper's model at its batch size runs in
seconds on any machine. The estimate counts what the forward pass keeps for the backward pass (bf16, uncompiled, flash
attention) and 16 bytes per parameter for weight, gradient and AdamW's two moments. It omits temporary buffers, gaps of
the allocator, CUDA and NCCL. torch.compile keeps less, since it recomputes inexpensive operations.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily

from campfire.core.columns import CHANNELS
from campfire.model import MaskedAutoencoder
from campfire.training import PretrainOptions, objective
from campfire.training.engine import Engine
from campfire.training.loader import Batch
from campfire.training.processes import Processes

GPU = torch.device("cuda", 0)


class FakeGenerator(torch.Generator):
    """A CPU generator that reports the GPU as its device (fake draws have no values)."""

    @property
    def device(self) -> torch.device:
        return GPU


def _generator(device: Any = "cpu", real: Any = torch.Generator) -> torch.Generator:
    return FakeGenerator() if torch.device(device).type == "cuda" else real()


def _flash(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return torch.ops.aten._scaled_dot_product_flash_attention(query, key, value)[0]


def _filters(height: int, width: int, options: Any, device: torch.device) -> dict[str, Tensor]:
    with unset_fake_temporarily():
        made = real_filters(height, width, options, torch.device("cpu"))
    return {name: torch.empty(value.shape, device=device) for name, value in made.items()}


real_filters = objective._half_weights


def _model(config: Any, options: PretrainOptions) -> MaskedAutoencoder:
    model = MaskedAutoencoder(config)
    for module in model.modules():
        for name, value in module._parameters.items():
            if value is not None:
                moved = torch.empty(value.shape, device=GPU)
                module._parameters[name] = nn.Parameter(moved, requires_grad=value.requires_grad)
    object.__setattr__(model, "to", lambda *_: model)
    return model


@contextmanager
def fake_gpu() -> Iterator[None]:
    """Tensors have no data, and those on `cuda` need no GPU. Operations on tensors of different devices fail.

    Gradients are made without a backward pass: torch's autograd engine asks for a real GPU. Code that needs values
    (initial weights, the shape of filters) is replaced.
    """
    with ExitStack() as stack:
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))  # first: it imports much of torch
        for name, stand_in in (
            ("torch.Generator", _generator),
            ("torch.cuda.amp.common.amp_definitely_not_available", lambda: False),
            ("torch.cuda.is_bf16_supported", lambda *_, **__: True),
            ("torch.nn.functional.scaled_dot_product_attention", _flash),
            ("campfire.training.engine.initial_model", _model),
            ("campfire.model.autoencoder.initialise", lambda *_: None),
            ("campfire.training.objective._half_weights", _filters),
        ):
            stack.enter_context(patch(name, stand_in))
        yield


def gradients_of(model: nn.Module) -> Callable[[Tensor], None]:
    """Replacement of `Tensor.backward`."""

    def backward(_: Tensor) -> None:
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.empty_like(parameter)

    return backward


def fake_step(options: PretrainOptions, tiles: int) -> Engine:
    """One optimiser step of `tiles` tiles of all channels in one pass; inside `fake_gpu`, which records none."""
    engine = Engine(options.changed(cuda_graphs=False), Processes(0, 1, GPU))
    size, numbers = engine.config.image_size, np.arange(tiles)
    images = torch.empty(tiles, len(options.channels), size, size, dtype=torch.uint16)
    batch = Batch(0, 0, 1, tiles, images, tuple(options.channels), numbers, numbers)
    with patch.object(Tensor, "backward", gradients_of(engine.model)):
        engine.step(0, iter([batch]), None, 1e-4)  # type: ignore[arg-type]
    return engine


def estimate(options: PretrainOptions, tiles: int) -> dict[str, float]:
    """GiB of tensors kept by the forward pass, and of weights, gradients and moments."""
    kept: dict[int, Any] = {}

    def keep(value: Tensor) -> Tensor:
        kept[id(value.untyped_storage())] = value.untyped_storage()  # held, so that its id stays its own
        return value

    with fake_gpu(), torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        model = fake_step(options, tiles).model
        for parameter in model.parameters():
            kept.pop(id(parameter.untyped_storage()), None)
        activations = sum(storage.nbytes() for storage in kept.values())
        parameters = sum(p.numel() for p in model.parameters())
    return {"activations": activations / 2**30, "state": 16 * parameters / 2**30, "parameters": parameters}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small model")
    parser.add_argument("--size", help="tiny to huge (default: large)")
    parser.add_argument("--batch", type=int, default=400)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    size, rows = arguments.size or ("tiny" if arguments.quick else "large"), []
    for channels in (1, 2, 3):
        options = PretrainOptions(
            model={"size": size}, channels=CHANNELS[:channels], batch_size=arguments.batch,
            global_batch=arguments.batch, precision="bf16", compile=False,
        )  # fmt: skip
        row = {"channels": channels, **estimate(options, arguments.batch)}
        rows.append(row)
        print(
            f"{size}, batch {arguments.batch}, {channels} channels: {row['activations']:.1f} GiB kept for the backward "
            f"pass, {row['state']:.1f} GiB of weights, gradients and moments ({row['parameters'] / 1e6:.0f} million "
            f"parameters), {row['activations'] + row['state']:.1f} GiB together (estimated)"
        )
    if arguments.out:
        arguments.out.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
