"""What a few optimiser steps compute, in the order in which they compute it.

python -m support.step_trace DEVICE COMPILE FILE      # in tests/: COMPILE is true, false or auto
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from campfire.training import PretrainOptions
from campfire.training.engine import Engine
from campfire.training.loader import Batch
from campfire.training.processes import join

CHANNELS = ("DNA", "AGP", "Mito")
MODEL = {"width": 256, "depth": 2, "heads": 4, "decoder_width": 128, "decoder_depth": 2, "decoder_heads": 4}
"""Small, with the heads (64 and 32 wide), tiles and patches of ViT-L/14, so that its kernels are used."""


def trace(device: str, compiled: bool | str, steps: int = 2) -> dict[str, Tensor]:
    """Tensors on the CPU by name: of each step what goes in, tokens, predictions, losses, gradients, weights."""
    tiles = 64 if device == "cuda" else 2  # on a CPU for a rehearsal only
    run = PretrainOptions(
        model=MODEL | {"drop_path": 0.1}, channels=CHANNELS, augmentation={"channel_subset": "all"}, device=device,
        global_batch=tiles, batch_size=tiles, compile=compiled, objective={"frequency": 0.1},
    )  # fmt: skip
    found: dict[str, Tensor] = {}
    numbers = np.arange(tiles)
    images = torch.randint(100, 4000, (tiles, 3, 112, 112), generator=torch.Generator().manual_seed(0))
    with join(device) as processes:
        engine = Engine(run, processes)
        step = 0

        def note(name: str, value: Tensor) -> None:
            found[f"step {step}: {name}"] = value.detach().float().cpu().clone()

        def before_pass(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            note("images", named["images"])

        def after(name: str) -> Any:
            return lambda _, given, result: note(name, result if isinstance(result, Tensor) else result.prediction)

        engine.task.register_forward_pre_hook(before_pass, with_kwargs=True)
        model = engine.model
        parts = {"channel embedding": model.decoder.context_layer, "tokens": model.encoder, "decoded": model.decoder}
        for name, module in {**parts, "prediction": model, "losses": engine.task}.items():
            assert isinstance(module, nn.Module)
            module.register_forward_hook(after(name))
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(lambda p, n=name: note(f"gradient of {n}", p.grad))
        for step in range(steps):
            batch = Batch(step, 0, 1, tiles, images.to(torch.uint16), CHANNELS, numbers * 0, numbers)
            engine.step(step, [batch], None, 1e-3)  # type: ignore[arg-type]
            for name, parameter in model.named_parameters():
                note(f"weight {name}", parameter)
    return found


def main() -> None:
    device, compiled, file = sys.argv[1:]
    found = trace(device, json.loads(compiled) if compiled != "auto" else compiled)
    # Their file sorts names: a number in front keeps the order.
    save_file({f"{i:04d} {name}": value.contiguous() for i, (name, value) in enumerate(found.items())}, Path(file))


if __name__ == "__main__":
    main()
