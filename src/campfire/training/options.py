"""What a pretraining run is: every number that the trainer uses, with the paper's values as defaults."""

import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any, ClassVar, Literal

import numpy as np

from campfire.core.options import Counts, Names, Numbers, Options, Seed, is_execution, option
from campfire.model.config import ModelConfig, Normalisation

EXIT_RESUMABLE = 75
"""Exit code of a run that wrote a checkpoint on SIGINT, SIGTERM or SIGUSR1 (EX_TEMPFAIL: start it again)."""


class ObjectiveOptions(Options):
    """Weights and filters of the objective; the defaults are trial 3 of Table 2.3 in the permuted reading."""

    section: ClassVar[str] = "objective"

    spatial: float = option(
        0.75, "weight of the mean squared error of pixels (lambda_s)", source="paper B.2", ge=0, le=1
    )
    high: float = option(0.25, "weight of the high-pass term (lambda_h)", source="paper B.3", ge=0, le=1)
    low: float = option(0.0, "weight of the low-pass term (lambda_l)", source="paper B.4", ge=0, le=1)
    frequency: float = option(
        0.0, "weight of the L1 distance of Fourier coefficients (lambda_f)", source="paper B.5", ge=0, le=1
    )
    high_fraction: float = option(
        0.1, "fraction of Fourier coefficients, lowest first, that the high-pass drops (h)", ge=0, le=1
    )
    low_fraction: float = option(
        0.0, "fraction of Fourier coefficients, highest first, that the low-pass drops (l)", ge=0, le=1
    )
    fraction: Literal["area", "linear"] = option(
        "area", "fractions count coefficients (area), or frequency up to the largest (linear)"
    )
    pixels: Literal["masked", "all"] = option(
        "masked", "pixels of the spatial term: masked or all; the other terms need the whole image"
    )
    l1: Literal["complex", "amplitude", "patch_amplitude"] = option(
        "complex",
        "frequency term: modulus of the difference (complex), difference of moduli (amplitude), or that of masked "
        "patches, unnormalised (patch_amplitude: CA-MAE's)",
    )

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if not self.spatial + self.high + self.low + self.frequency > 0:
            yield "spatial", "all four weights (spatial, high, low, frequency) are zero; give at least one"


class AugmentOptions(Options):
    """How a batch is prepared for pretraining."""

    section: ClassVar[str] = "augmentation"

    normalisation: Normalisation = option(
        "tile",
        "how intensities are brought to scale: standard deviations above the background (tile_sd, plate_sd), range "
        "(tile_range, plate_range) or z-score (tile, plate), by the tile or its plate's "
        "statistics; or none, thousands of counts",
        source="docs/channels.md",
    )
    channel_scale: Literal["input", "tile", "plate", "tile_range", "plate_range", "tile_sd", "plate_sd", "none"] = (
        option(
            "tile_sd",
            "scale in which the channel embedding sees patches: another normalisation, or the input's (`input`; not "
            "with a z-score, after which every channel has mean zero and channels cannot be told apart)",
            source="docs/channels.md",
        )
    )
    flip: bool = option(True, "random flips along both axes", source="paper 3.1")
    rotation: Literal["none", "right", "any"] = option(
        "right", "none, right (multiples of 90 degrees) or any (any angle, reflected borders)", source="paper 3.1"
    )
    channel_subset: Literal["release", "uniform", "all"] = option(
        "release",
        "draw of channels per step: release (size first), uniform (over non-empty subsets) or all",
        source="docs/decisions.md",
    )


class PretrainOptions(Options):
    """Options of one pretraining run (paper, section 3.1; docs/decisions.md where the paper is silent)."""

    section: ClassVar[str] = "pretrain"

    model: ModelConfig = option(ModelConfig(), "architecture")
    objective: ObjectiveOptions = option(ObjectiveOptions(), "training objective")
    augmentation: AugmentOptions = option(AugmentOptions(), "normalisation, flips, rotations and channel subsets")
    imagenet: str = option(
        "",
        "encoder's initial values: empty for random ones, `hub` or a file for a timm ViT trained on ImageNet",
        source="paper 2.4",
    )
    channels: Names = option(
        ("DNA", "AGP", "Mito"),
        "training channels, by default `training_channels`; a plate that has only some of them is used with those",
        source="paper 3.1",
        min_length=1,
    )
    plate_types: Names = option(
        (), "train on plates of these types only (e.g. TARGET2, as the paper's ablations); empty: all"
    )
    epochs: int = option(50, "passes over the training tiles", source="paper 3.1", ge=1)
    global_batch: int = option(
        6400, "tiles per optimiser step over all processes (16 GPUs x 400)", source="paper 3.1", ge=1
    )
    batch_size: int = option(
        400,
        "tiles per forward and backward pass of one process; gradients accumulate to the global batch",
        source="paper 3.1",
        ge=1,
    )
    learning_rate: float = option(5e-4, "peak learning rate", source="paper 3.1", gt=0, le=10)
    warmup_epochs: float = option(
        20.0, "epochs of linear warm-up, counted by optimiser step", unit="epochs", source="paper 3.1", ge=0
    )
    warmup_learning_rate: float = option(1e-5, "learning rate of the first step", ge=0, le=10)
    min_learning_rate: float = option(1e-6, "learning rate at the end of the cosine", ge=0, le=10)
    weight_decay: float = option(5e-3, "AdamW's decoupled weight decay", source="paper 3.1", ge=0)
    decay: Literal["matrices", "all"] = option(
        "matrices",
        "what decays: matrices (no biases, norms, tokens, embeddings or rotary frequencies) or all (AdamW in torch)",
    )
    betas: Numbers = option((0.9, 0.95), "AdamW's betas (MAE's; the paper is silent)", min_length=2, max_length=2)
    clip: float = option(1.0, "largest gradient norm; 0 does not clip", ge=0)
    skip_steps: int = option(
        20,
        "steps of a run that are skipped, their tiles saved, because a gradient is not finite; one more ends the run",
        execution=True,
        ge=0,
    )
    diverged: Literal["stop", "finish"] = option(
        "stop",
        "after too many skipped steps: stop with an error, or finish with outputs as they are then, as trials of the "
        "ablation study do, which then rank last",
        execution=True,
        internal=True,
    )
    resume_changed: bool = option(
        False,
        "resume from the newest checkpoint of a run that differs only in learning rates, warm-up, weight decay, betas "
        "or clip, where this run has none of its own; the weights record the changes",
        execution=True,
    )
    precision: Literal["auto", "fp32", "bf16"] = option(
        "auto", "fp32, bf16 (autocast, weights stay float32) or auto (bf16 on a GPU, fp32 on a CPU)"
    )
    compile: Literal[True, False, "auto"] = option(
        "auto", "torch.compile: true, false or auto (on a GPU)", execution=True
    )
    compile_tables: bool = option(
        True, "compile the rotary tables apart from the blocks, so that each is computed once", execution=True
    )
    cuda_graphs: Literal[True, False, "auto"] = option(
        "auto",
        "record full steps and replay them as CUDA graphs, one for each number of channels: true, false or auto (on a "
        "GPU); a run in one process with a shared decoder, whose batch_size is its global_batch",
        execution=True,
    )
    deterministic: bool = option(
        True,
        "on a GPU add in a fixed order, so that the same run gives the same bytes (a CPU always does)",
        execution=True,
    )
    device: str = option("auto", "cpu, cuda or auto", execution=True, internal=True)
    threads: int = option(
        0,
        "threads of a process that computes on a CPU, which decide the last bits of sums; 0: as many as the job has",
        execution=True,
        ge=0,
    )
    seed: Seed = option(
        10,
        "seed of the initial weights, the order of tiles, channel subsets, masks and augmentation",
        source="docs/decisions.md",
    )
    max_tiles: int = option(0, "train on at most this many tiles, drawn at random once; 0: all", ge=0)
    validation_every: int = option(
        1, "epochs between validations (the last epoch is always validated); 0: never", unit="epochs", ge=0
    )
    validation_tiles: int = option(
        20_000, "validate on at most this many tiles of the val wells, drawn at random once; 0: all", ge=0
    )
    snapshot_epochs: Counts = option(
        (), "epochs after which the snapshot tiles are reconstructed; empty: six, evenly spaced on a log scale"
    )
    snapshot_tiles: int = option(
        6, "tiles of val wells (train wells where there are none) reconstructed as training goes; 0: none", ge=0
    )
    shard_tiles: int = option(1024, "neighbouring tiles of a plate that are read together; shards are shuffled", ge=1)
    window_tiles: int = option(
        16_384, "tiles of shuffled shards that a process holds in memory and shuffles one by one", ge=1
    )
    reading: Literal["map", "positioned"] = option(
        "positioned",
        "how tiles are read: at their positions in the file, or through a memory map (docs/performance.md)",
        execution=True,
    )
    loader_threads: int = option(2, "threads that read shards", execution=True, internal=True, ge=1)
    prefetch_batches: int = option(3, "batches prepared ahead of the step that uses them", execution=True, ge=0)
    checkpoint_minutes: float = option(
        15.0,
        "time between checkpoints; one is also written after the last step and on SIGINT, SIGTERM or SIGUSR1",
        unit="min",
        execution=True,
        ge=0,
    )
    checkpoint_steps: int = option(
        0, "also write a checkpoint every so many optimiser steps; 0: by the clock only", execution=True, ge=0
    )
    log_steps: int = option(
        10, "optimiser steps between log lines; only then do values leave the device", execution=True, ge=1
    )

    def contradictions(self) -> Iterator[tuple[str, str]]:
        if len(set(self.channels)) != len(self.channels):
            yield "channels", f"{list(self.channels)} names one channel twice"
        if self.global_batch < self.batch_size:
            yield (
                "global_batch",
                f"{self.global_batch} is below batch_size ({self.batch_size}); lower that",
            )
        if self.warmup_epochs > self.epochs:
            yield (
                "warmup_epochs",
                f"{self.warmup_epochs:g} is above epochs ({self.epochs}); warm-up is part of training",
            )
        if self.imagenet and self.model.family == "ca_mae":
            yield "imagenet", "no ImageNet weights fit the blocks of family ca_mae; leave it empty"
        if not all(0 <= beta < 1 for beta in self.betas):
            yield "betas", f"{list(self.betas)} are not two numbers in [0, 1)"
        if self.min_learning_rate > self.learning_rate:
            yield "min_learning_rate", f"{self.min_learning_rate:g} is above learning_rate ({self.learning_rate:g})"
        late = [epoch for epoch in self.snapshot_epochs if not 1 <= epoch <= self.epochs]
        if late:
            yield "snapshot_epochs", f"{late} lie outside 1 to epochs ({self.epochs})"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `PretrainOptions(**that)` is the same run."""
        return self.model_dump(mode="json")

    def fingerprint(self) -> str:
        """12 hex digits over every field that changes the result."""
        return sha256(json.dumps(self.result_options(), sort_keys=True).encode()).hexdigest()[:12]

    def snapshots(self) -> list[int]:
        """The epochs (from 1) after which the snapshot tiles are reconstructed."""
        if not self.snapshot_tiles:
            return []
        if self.snapshot_epochs:
            return sorted(set(self.snapshot_epochs))
        return sorted({int(e) for e in np.geomspace(1, self.epochs, 6).round()})


MACHINE_FIELDS = frozenset(name for name in PretrainOptions.model_fields if is_execution(PretrainOptions, name))
"""Fields that are no part of the fingerprint; a change of them is no reason to train again."""


UNKNOWN_CODE = "unknown"
"""The code of a run that nobody named."""


def result_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """The options among `values` that the result depends on."""
    return {name: value for name, value in values.items() if name not in MACHINE_FIELDS}


def machine_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """The options among `values` that only say how a machine runs it."""
    return {name: value for name, value in values.items() if name in MACHINE_FIELDS}


class AblationOptions(Options):
    """The ablation study (App. B, Tables 2.3 to 2.5): its rows as pretraining runs, made by the target `ablation`."""

    section: ClassVar[str] = "pretrain.ablation"

    tables: str = option(
        "config/ablations", "folder of loss.tsv, architecture.tsv, mask.tsv, optimiser.tsv", min_length=1
    )
    run: str = option("campfire", "pretraining run whose options every trial starts from", min_length=1)
    reading: Literal["permuted", "literal"] = option(
        "permuted",
        "reading of Table 2.3's header: permuted (spatial, frequency, high, low: fits all 27 rows) or literal",
        source="docs/decisions.md",
    )
    recipe: Mapping[str, Any] | None = option(
        None, "options of a run that all trials share beside their row; null: the paper's", source="paper App. B"
    )
    imagenet: Mapping[str, str] = option(
        {"large": "hub", "huge": "hub"},
        "ImageNet weights of each encoder size for rows that start from them: hub, a file, or empty for random ones",
    )
