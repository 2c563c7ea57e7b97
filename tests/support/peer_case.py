"""The recorded inputs of a related encoder, and the gradients of our network under its authors' names."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from campfire.model.peers.weights import read_tensors


class Case:
    """The files of one encoder."""

    def __init__(self, folder: Path) -> None:
        self.config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.tensors = read_tensors(folder / "weights.safetensors")
        self.folder = folder
        with np.load(folder / "inputs.npz") as inputs:
            self.inputs = {key: torch.from_numpy(np.asarray(inputs[key])) for key in inputs.files}

    def __getitem__(self, key: str) -> Tensor:
        return self.inputs[key]

    @property
    def subsets(self) -> dict[str, Tensor]:
        """Channel positions by the name of the subset."""
        return {k.removeprefix("subset_"): v for k, v in self.inputs.items() if k.startswith("subset_")}

    def seeds(self, start: str) -> list[int]:
        """The seeds N for which `<start>N` was recorded."""
        found: set[int] = set()
        for path in self.folder.glob("outputs*.npz"):
            with np.load(path) as recorded:
                numbers = (name.removeprefix(start) for name in recorded.files if name.startswith(start))
                found |= {int(number) for number in numbers if number.isdigit()}
        return sorted(found)


def gradient_norms(model: nn.Module, loss: Tensor, theirs: Mapping[str, str] | None = None) -> dict[str, float | None]:
    """L2 norm of every parameter's gradient under the authors' name; None where there is no gradient."""
    model.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    names = theirs or {}
    return {
        names.get(name, name): None if value.grad is None else float(value.grad.double().norm())
        for name, value in model.named_parameters()
    }
