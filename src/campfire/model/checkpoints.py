"""Checkpoints of a training in a state folder: written atomically, the newest few kept.

A checkpoint is one safetensors file: weights, the optimiser's moments and other tensors; position and history as JSON
in its header. No generator state is stored, because every draw of a training comes from a generator seeded by its
position. Pretraining and the transfer screen's head both resume by these.
"""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from campfire.core.errors import DataError
from campfire.core.files import atomic_path

log = logging.getLogger(__name__)

NEWEST_KEPT = 3


@dataclass(frozen=True)
class Checkpoint:
    """A saved state from which a training resumes."""

    tensors: dict[str, Tensor]
    state: dict[str, Any]
    path: Path


class StateFolder:
    """Checkpoints of one run (one fingerprint) in `root/<fingerprint>`; other fingerprints are ignored."""

    def __init__(self, root: str | Path, fingerprint: str) -> None:
        self.root = Path(root)
        self.folder = self.root / fingerprint
        self.folder.mkdir(parents=True, exist_ok=True)
        others = [p.name for p in self.root.iterdir() if p.is_dir() and p.name != fingerprint and any(p.glob("*.ckpt"))]
        if others:
            log.info("%s also holds checkpoints of other options (%s); not used", self.root, ", ".join(sorted(others)))

    def save(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> Path:
        """Write the checkpoint after `step` optimiser steps, then drop all but the newest three."""
        path = self.folder / f"step-{step:09d}.ckpt"
        header = {"state": json.dumps(dict(state))}
        try:
            with atomic_path(path) as partial:
                save_file({k: v.detach().contiguous() for k, v in tensors.items()}, partial, metadata=header)
            sync_folder(self.folder)
        except (OSError, SafetensorError) as error:
            raise DataError(
                f"{path}: cannot write this checkpoint ({error}); free space or fix permissions, then start again: the "
                "run resumes from the previous checkpoint"
            ) from error
        for old in self.newest()[NEWEST_KEPT:]:
            old.unlink(missing_ok=True)
        return path

    def newest(self) -> list[Path]:
        """Checkpoint files, newest first."""
        return sorted(self.folder.glob("step-*.ckpt"), reverse=True)

    def load(self) -> Checkpoint | None:
        """The newest readable checkpoint; falls back to the previous one, with a warning, if it is damaged."""
        for path in self.newest():
            try:
                return read_checkpoint(path)
            except DataError as error:
                log.warning("%s; falling back to the previous checkpoint", error)
        return None

    def clean(self) -> None:
        """Remove partial files of killed writers."""
        for leftover in self.folder.glob("**/.*.partial*"):
            leftover.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint on the CPU; a truncated or foreign file raises DataError."""
    try:
        with safe_open(path, framework="pt") as stored:
            state = json.loads((stored.metadata() or {})["state"])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise DataError(f"{path}: not a complete checkpoint ({error})") from error
    return Checkpoint(tensors, state, path)


def optimiser_tensors(optimiser: torch.optim.Optimizer, names: list[str]) -> dict[str, Tensor]:
    """The optimiser's state by parameter name (`names` in the order of its parameters)."""
    state = optimiser.state_dict()["state"]
    return {
        f"optimiser.{key}.{names[index]}": torch.as_tensor(value)
        for index, entries in state.items()
        for key, value in entries.items()
    }


def load_optimiser(optimiser: torch.optim.Optimizer, names: list[str], tensors: Mapping[str, Tensor]) -> None:
    """Restore the state saved by `optimiser_tensors`."""
    number = {name: index for index, name in enumerate(names)}
    state: dict[int, dict[str, Tensor]] = {}
    for full, value in tensors.items():
        if full.startswith("optimiser."):
            _, key, name = full.split(".", 2)
            state.setdefault(number[name], {})[key] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})
