"""What a pretraining run is: every number that the trainer uses, with the paper's values as defaults."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from typing import Any

import numpy as np

from campfire.core.errors import ConfigError

EXIT_RESUMABLE = 75
"""Exit code of a run that stopped on SIGTERM or SIGUSR1 after writing a checkpoint (EX_TEMPFAIL: start it again)."""

MACHINE = {"machine": True}
"""Metadata of fields that say how a machine runs it and leave the result as it is: see MACHINE_FIELDS."""


@dataclass(frozen=True)
class PretrainOptions:
    """Options of one pretraining run (paper, section 3.1; `docs/decisions.md` where the paper is silent)."""

    model: Mapping[str, Any] = field(default_factory=dict)
    """Fields of campfire.model.ModelConfig."""
    objective: Mapping[str, Any] = field(default_factory=dict)
    """Fields of campfire.training.objective.ObjectiveOptions."""
    augmentation: Mapping[str, Any] = field(default_factory=dict)
    """Fields of campfire.training.augment.AugmentOptions."""
    imagenet: str = ""
    """Encoder's initial values: empty for random ones, `hub` or a file for a timm ViT trained on ImageNet."""
    channels: Sequence[str] = ("DNA", "AGP", "Mito")
    """Training channels; a plate that has only some of them is used with those."""
    plate_types: Sequence[str] = ()
    """Train on plates of these types only (e.g. TARGET2, as the paper's ablations); empty: all."""
    epochs: int = 50
    """Passes over the training tiles."""
    global_batch: int = 6400
    """Tiles per optimiser step over all processes (the paper's 16 GPUs x 400)."""
    batch_size: int = 400
    """Tiles per forward and backward pass of one process; gradients accumulate to the global batch."""
    learning_rate: float = 5e-4
    """Peak learning rate."""
    warmup_epochs: float = 20.0
    """Epochs of linear warm-up, counted by optimiser step."""
    warmup_learning_rate: float = 1e-5
    """Learning rate of the first step."""
    min_learning_rate: float = 1e-6
    """Learning rate at the end of the cosine."""
    weight_decay: float = 5e-3
    """AdamW's decoupled weight decay."""
    decay: str = "matrices"
    """What decays: `matrices` (no biases, norms or tokens, as MAE does) or `all` (as torch's AdamW does by default)."""
    betas: Sequence[float] = (0.9, 0.95)
    """AdamW's betas (MAE's; the paper is silent)."""
    clip: float = 1.0
    """Largest gradient norm; 0 does not clip."""
    precision: str = "auto"
    """`fp32`, `bf16` (autocast, weights stay float32) or `auto` (bf16 on a GPU, fp32 on a CPU)."""
    compile: bool | str = field(default="auto", metadata=MACHINE)
    """torch.compile: true, false or `auto` (on a GPU)."""
    device: str = field(default="auto", metadata=MACHINE)
    """`cpu`, `cuda` or `auto`."""
    seed: int = 10
    """Seed of the initial weights, the order of tiles, channel subsets, masks and augmentation."""
    max_tiles: int = 0
    """Train on at most this many tiles, drawn at random once; 0: all."""
    validation_every: int = 1
    """Epochs between validations (the last epoch is always validated); 0: never."""
    validation_tiles: int = 20_000
    """Validate on at most this many tiles of the val wells, drawn at random once; 0: all."""
    snapshot_epochs: Sequence[int] = ()
    """Epochs after which the snapshot tiles are reconstructed; empty: six, evenly spaced on a log scale."""
    snapshot_tiles: int = 6
    """Tiles of val wells (train wells where there are none) that are reconstructed as training goes; 0: none."""
    shard_tiles: int = 1024
    """Neighbouring tiles of a plate that are read together; shards are shuffled."""
    window_tiles: int = 16_384
    """Tiles of shuffled shards that a process holds in memory and shuffles one by one."""
    loader_threads: int = field(default=2, metadata=MACHINE)
    """Threads that read shards."""
    prefetch_batches: int = field(default=3, metadata=MACHINE)
    """Batches made ahead of the step that uses them."""
    checkpoint_minutes: float = field(default=15.0, metadata=MACHINE)
    """Minutes between checkpoints; one is also written after the last step and on SIGTERM or SIGUSR1."""
    checkpoint_steps: int = field(default=0, metadata=MACHINE)
    """Also write a checkpoint every so many optimiser steps; 0: by the clock only."""
    log_steps: int = field(default=10, metadata=MACHINE)
    """Optimiser steps between log lines; only then do values leave the device."""

    def __post_init__(self) -> None:
        for name in ("channels", "plate_types", "betas", "snapshot_epochs"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise ConfigError(f"pretrain: `{name}` is a list, not the text {value!r}")
            object.__setattr__(self, name, tuple(value))
        for name in ("model", "objective", "augmentation"):
            object.__setattr__(self, name, dict(getattr(self, name)))
        self._check()

    def _check(self) -> None:
        rules = [
            (bool(self.channels), "`channels` is empty; name the channels to train on"),
            (len(set(self.channels)) == len(self.channels), f"`channels` {list(self.channels)}: one is named twice"),
            (self.epochs >= 1, "`epochs` is at least 1"),
            (self.batch_size >= 1, "`batch_size` is at least 1"),
            (self.global_batch >= self.batch_size, "`global_batch` is at least `batch_size`"),
            (0 <= self.warmup_epochs <= self.epochs, "`warmup_epochs` lies between 0 and `epochs`"),
            (self.decay in ("matrices", "all"), "`decay` is matrices or all"),
            (len(self.betas) == 2 and all(0 <= b < 1 for b in self.betas), "`betas` are two numbers in [0, 1)"),
            (self.precision in ("auto", "fp32", "bf16"), "`precision` is auto, fp32 or bf16"),
            (self.compile in (True, False, "auto"), "`compile` is true, false or auto"),
            (all(1 <= e <= self.epochs for e in self.snapshot_epochs), "`snapshot_epochs` lie between 1 and `epochs`"),
            (
                min(self.shard_tiles, self.window_tiles, self.loader_threads, self.log_steps) >= 1,
                "`shard_tiles`, `window_tiles`, `loader_threads` and `log_steps` are at least 1",
            ),
        ]
        for holds, message in rules:
            if not holds:
                raise ConfigError(f"pretrain: {message}")

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `PretrainOptions(**that)` is the same run."""
        return json.loads(json.dumps(asdict(self)))

    def fingerprint(self) -> str:
        """12 hex digits over every field that changes the result."""
        values = result_values(self.as_dict())
        return sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]

    def snapshots(self) -> list[int]:
        """The epochs (from 1) after which the snapshot tiles are reconstructed."""
        if not self.snapshot_tiles:
            return []
        if self.snapshot_epochs:
            return sorted(set(self.snapshot_epochs))
        return sorted({int(e) for e in np.geomspace(1, self.epochs, 6).round()})


MACHINE_FIELDS = frozenset(f.name for f in fields(PretrainOptions) if f.metadata.get("machine"))
"""Fields that are no part of the fingerprint; a change of them is no reason to train again."""


def result_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """The options among `values` that the result depends on."""
    return {name: value for name, value in values.items() if name not in MACHINE_FIELDS}


def machine_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """The options among `values` that only say how a machine runs it."""
    return {name: value for name, value in values.items() if name in MACHINE_FIELDS}
