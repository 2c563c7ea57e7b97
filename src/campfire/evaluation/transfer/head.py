"""The transfer head: a small network on frozen embeddings, stored as arrays so that applying it needs no torch."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core.errors import WeightsError
from campfire.core.files import atomic_path

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Head:
    """A trained head: optional scaling of the features, then layers with a ReLU between them."""

    weights: Sequence[Floats]
    """One (out, in) matrix per layer."""
    biases: Sequence[Floats]
    """One (out,) vector per layer."""
    centre: Floats
    """(D,) subtracted from the features; zeros without standardisation."""
    scale: Floats
    """(D,) that the features are divided by; ones without standardisation."""
    normalise: bool
    """Whether well means are scaled to unit length."""
    history: pd.DataFrame
    """One row per epoch: `epoch, loss, active` (share of triplets that still violate the margin)."""

    def embed_cells(self, embeddings: Floats) -> Floats:
        """(N, D) frozen embeddings -> (N, width of the last layer)."""
        if embeddings.shape[1] != len(self.centre):
            raise WeightsError(
                f"transfer: the head was trained on {len(self.centre)} features, the embeddings have "
                f"{embeddings.shape[1]}; train it on these embeddings"
            )
        x = (embeddings - self.centre) / self.scale
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = np.maximum(x, 0) if number else x
            x = x @ weight.T + bias
        return np.ascontiguousarray(x, np.float32)

    def finish(self, means: Floats) -> Floats:
        """Well means as used by the loss: of unit length when the head normalises."""
        if not self.normalise:
            return means
        return means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)


def save_head(head: Head, path: str | Path, metadata: dict[str, Any] | None = None) -> None:
    """Write a head as safetensors; history and `metadata` go into the file's header."""
    from safetensors.numpy import save_file

    arrays = {"centre": head.centre, "scale": head.scale}
    for number, (weight, bias) in enumerate(zip(head.weights, head.biases, strict=True)):
        arrays[f"layers.{number}.weight"] = np.ascontiguousarray(weight)
        arrays[f"layers.{number}.bias"] = np.ascontiguousarray(bias)
    header = {
        "normalise": json.dumps(head.normalise),
        "history": json.dumps(head.history.to_dict(orient="list")),
        "metadata": json.dumps(metadata or {}, sort_keys=True),
    }
    with atomic_path(path) as partial:
        save_file(arrays, partial, header)


def load_head(path: str | Path) -> Head:
    """Read what `save_head` wrote; WeightsError when it is not a head."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as handle:
            arrays = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
            header = handle.metadata() or {}
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: no such head; run the transfer step first") from error
    except SafetensorError as error:
        raise WeightsError(f"{path}: not a readable head ({error}); train it again") from error
    if "centre" not in arrays or "history" not in header:
        raise WeightsError(f"{path}: holds weights, but not those of a transfer head")
    layers = (len(arrays) - 2) // 2
    return Head(
        weights=[arrays[f"layers.{i}.weight"] for i in range(layers)],
        biases=[arrays[f"layers.{i}.bias"] for i in range(layers)],
        centre=arrays["centre"],
        scale=arrays["scale"],
        normalise=json.loads(header["normalise"]),
        history=pd.DataFrame(json.loads(header["history"])),
    )
