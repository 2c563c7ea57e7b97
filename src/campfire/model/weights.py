"""Weight files of this project: safetensors whose header holds everything needed to rebuild the model."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from campfire.core.errors import CampfireError, WeightsError
from campfire.core.files import atomic_path
from campfire.core.text import some
from campfire.model.autoencoder import MaskedAutoencoder
from campfire.model.config import ModelConfig
from campfire.model.relatives import build_model

HEADER = "campfire"
"""Key of the JSON in the safetensors header."""


def save_weights(model: MaskedAutoencoder, path: str | Path, metadata: Mapping[str, Any] | None = None) -> None:
    """Write the model as safetensors, atomically; the header's JSON is {"model": config, **metadata}.

    Metadata that encoders read: `normalisation` (tile, plate, none), `seed` (of the initial weights), `run`.
    """
    from safetensors.torch import save_file

    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    header = json.dumps({**(metadata or {}), "model": model.config.to_dict()}, sort_keys=True)
    with atomic_path(path) as partial:
        save_file(tensors, partial, metadata={HEADER: header})


def read_header(path: str | Path) -> dict[str, Any]:
    """The header's JSON; {} where a safetensors file has none. WeightsError for missing or damaged files."""
    from safetensors import safe_open

    if not Path(path).is_file():
        raise WeightsError(f"{path}: no such weights; run the pretraining that writes them or correct the path")
    try:
        with safe_open(str(path), "pt") as file:
            return json.loads((file.metadata() or {}).get(HEADER, "{}"))
    except Exception as error:  # safetensors raises its own type, json another
        raise WeightsError(f"{path}: not a readable safetensors file ({error}); write it again") from error


def load_weights(path: str | Path, device: str | torch.device = "cpu") -> tuple[MaskedAutoencoder, dict[str, Any]]:
    """A model in eval mode and its header from a file of `save_weights`."""
    from safetensors.torch import load_file

    header = read_header(path)
    if "model" not in header:
        raise WeightsError(
            f"{path}: no campfire configuration; read the authors' checkpoint with model.released_checkpoint"
        )
    try:
        config = ModelConfig(**header["model"])
    except (TypeError, CampfireError) as error:
        raise WeightsError(f"{path}: its configuration does not fit this version of campfire ({error})") from error
    model = empty_model(config)
    assign(model, load_file(str(path), device=str(device)), path)
    return model.eval(), header


def empty_model(config: ModelConfig) -> MaskedAutoencoder:
    """The model without values or memory, to be filled by `assign`."""
    with torch.device("meta"):
        return build_model(config)


def assign(model: nn.Module, tensors: Mapping[str, Tensor], path: str | Path) -> None:
    """Assign float32 tensors to the model; WeightsError lists missing, unknown and misshapen ones."""
    expected = model.state_dict()
    wrong = [
        f"{name} is {tuple(tensors[name].shape)}, not {tuple(expected[name].shape)}"
        for name in expected
        if name in tensors and tensors[name].shape != expected[name].shape
    ]
    problems = {
        "missing": sorted(set(expected) - set(tensors)),
        "unknown": sorted(set(tensors) - set(expected)),
        "of another shape": wrong,
    }
    if any(problems.values()):
        text = "; ".join(f"{len(names)} {what}: {some(names)}" for what, names in problems.items() if names)
        raise WeightsError(f"{path}: tensors do not fit the model ({text})")
    fixed = {name for name, value in model.named_parameters() if not value.requires_grad}
    model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, assign=True)
    for name, value in model.named_parameters():
        value.requires_grad_(name not in fixed)


def weights_digest(model: nn.Module) -> str:
    """SHA-256 over names, shapes and float32 bytes of all tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(value.shape)}".encode())
        digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
