"""Reading peers' weight files, whatever wrapper their authors saved them in."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from campfire.core.errors import WeightsError, reason
from campfire.core.text import some

WRAPPERS = ("state_dict", "model_state_dict", "model", "teacher", "student")
"""Entries under which training scripts keep the parameters, in the order of preference."""

PREFIXES = ("module.", "backbone.", "_orig_mod.")
"""Prefixes of names from data parallelism, a multi-crop wrapper and compilation."""


def read_tensors(path: str | Path, entry: str | None = None) -> dict[str, Tensor]:
    """All tensors of a safetensors file or a torch checkpoint by name, without wrappers' entries and prefixes.

    `entry` selects one of several entries of the wrapper (DINO's `teacher` or `student`). WeightsError for files
    that cannot be read.
    """
    if not Path(path).is_file():
        raise WeightsError(f"{path}: no such weights; correct the path")
    try:
        found: Any = _safetensors(path)
        if found is None:  # OpenPhenom's own save writes a torch file under the name model.safetensors
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # safetensors and pickle raise their own types
        raise WeightsError(f"{path}: not readable as safetensors or torch weights ({reason(error)})") from error
    for name in (entry,) if entry else WRAPPERS:
        if isinstance(found, dict) and isinstance(found.get(name), dict):
            found = found[name]
            break
    else:
        if entry:
            raise WeightsError(f"{path}: has no entry {entry!r}")
    tensors = {name: value for name, value in found.items() if isinstance(value, Tensor)} if found else {}
    if not tensors:
        raise WeightsError(f"{path}: holds no tensors; give the file with the model's parameters")
    return strip(tensors)


def _safetensors(path: str | Path) -> dict[str, Tensor] | None:
    """The tensors, or None where the file is not in this format."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(str(path))
    except SafetensorError:
        return None


def strip(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without prefixes that all of their names share."""
    named = dict(tensors)
    while named:
        prefix = next((p for p in PREFIXES if all(name.startswith(p) for name in named)), None)
        if prefix is None:
            break
        named = {name.removeprefix(prefix): value for name, value in named.items()}
    return named


def fill(model: nn.Module, tensors: Mapping[str, Tensor], what: str, ignored: tuple[str, ...] = ()) -> None:
    """Load the tensors strictly, in float32, and switch to evaluation; WeightsError says what differs.

    `ignored`: beginnings of names that the file may hold beyond the model (heads, decoders).
    """
    expected = model.state_dict()
    given = {n: t for n, t in tensors.items() if n in expected or not n.startswith(ignored or ("\0",))}
    problems = {
        "missing": sorted(set(expected) - set(given)),
        "unknown": sorted(set(given) - set(expected)),
        "of another shape": [
            f"{n} is {tuple(t.shape)}, not {tuple(expected[n].shape)}"
            for n, t in given.items()
            if n in expected and t.shape != expected[n].shape
        ],
    }
    if any(problems.values()):
        text = "; ".join(f"{len(names)} {kind}: {some(names)}" for kind, names in problems.items() if names)
        raise WeightsError(f"{what}: the tensors do not fit the model ({text})")
    model.load_state_dict({name: tensor.float() for name, tensor in given.items()})
    model.eval()
