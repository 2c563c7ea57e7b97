"""One optimiser step, one validation, one set of reconstructions: what happens on the device."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from campfire.core.columns import channel_order
from campfire.core.errors import ConfigError
from campfire.core.random import keyed_seed
from campfire.model import MaskedAutoencoder, ModelConfig
from campfire.model.normalise import normalise, plate_statistics
from campfire.training.augment import AugmentOptions, augment, draw_channels
from campfire.training.loader import Batch
from campfire.training.objective import Objective, ObjectiveOptions, masked_mean
from campfire.training.options import PretrainOptions
from campfire.training.processes import Processes
from campfire.training.source import Source

NEVER = 2**62
SUBSET, PASS, VALIDATION, SNAPSHOT = 1, 2, 3, 4
"""What a keyed seed is for."""


def make(kind: Callable[..., Any], values: dict[str, Any], section: str) -> Any:
    """Options of another room from a config section; an unknown field is a ConfigError."""
    try:
        return kind(**values)
    except TypeError as error:
        raise ConfigError(f"pretrain: section `{section}`: {error}") from error


class TrainingPass(nn.Module):
    """Model and objective as one module: images in, a vector of loss terms out."""

    def __init__(self, model: MaskedAutoencoder, objective: Objective, bf16: bool) -> None:
        super().__init__()
        self.model, self.objective, self.bf16 = model, objective, bf16
        weights = objective.options
        used = [n for n in ("spatial", "high", "low", "frequency") if getattr(weights, n) > 0]
        self.names = ["loss", *used, "reconstruction"]

    def forward(self, images: Tensor, index: Tensor, noise: Tensor, paths: Tensor | None = None) -> Tensor:
        """(B, C, H, W) float32, channel index (C,), draws of `model.draw` -> (K,) float32, in the order of `names`.

        In evaluation one value more: the mean squared error of the masked pixels.
        """
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            output = self.model(images, index, noise=noise, paths=paths)
        terms = self.objective(output.prediction, output.target, output.mask)
        values = [terms[name] for name in self.names]
        if not self.training:
            values.append(masked_mean((output.prediction.float() - output.target).square(), output.mask))
        return torch.stack(values)


class Engine:
    """Model, objective, augmentation and optimiser of a run on this process's device."""

    def __init__(self, options: PretrainOptions, processes: Processes, sources: Sequence[Source] = ()) -> None:
        self.options, self.processes, self.device = options, processes, processes.device
        cuda = self.device.type == "cuda"
        self.augmentation: AugmentOptions = make(AugmentOptions, dict(options.augmentation), "augmentation")
        self.config: ModelConfig = make(ModelConfig, dict(options.model), "model")
        objective = Objective(make(ObjectiveOptions, dict(options.objective), "objective"))
        self.bf16 = options.precision == "bf16" or (options.precision == "auto" and cuda)
        self.model = initial_model(self.config, options).to(self.device)
        self.compiled = options.compile is True or (options.compile == "auto" and cuda)
        if self.compiled:
            # Full steps have one or two batch sizes and a few numbers of channels: each gets a fast graph of its own.
            torch._dynamo.config.cache_size_limit = max(torch._dynamo.config.cache_size_limit, 32)
            # DDP's own splitting would cut each block in three; the blocks are pieces enough for its messages.
            torch._dynamo.config.optimize_ddp = False
            self.model.compile_blocks(dynamic=False)
        self.task = TrainingPass(self.model, objective, self.bf16)
        self.run: Callable[..., Tensor] = self.task
        if processes.world > 1:
            # Channels take turns where each has its own decoder or embedding: such a step leaves parameters unused.
            turns = self.config.decoder == "per_channel" or self.config.channel_embedding == "learned"
            self.run = DistributedDataParallel(self.task, gradient_as_bucket_view=True, find_unused_parameters=turns)
        self.optimiser, self.names = make_optimiser(self.model, options, self.device)
        self.generator = torch.Generator(self.device)
        self.order = channel_order(options.channels)
        self.indices: dict[tuple[tuple[str, ...], str], Tensor] = {}
        self.statistics = self._plate_statistics(sources)
        self.restart_sums()
        self.first_bad = torch.full((), NEVER, dtype=torch.int64, device=self.device)
        self.norm = torch.zeros((), dtype=torch.float64, device=self.device)

    def restart_sums(self) -> None:
        """Forget the sums of the epoch: (K + 1,) float64, sums of loss terms over tiles and the number of tiles."""
        self.sums = torch.zeros(len(self.task.names) + 1, dtype=torch.float64, device=self.device)

    def _plate_statistics(self, sources: Sequence[Source]) -> dict[int, Tensor]:
        """Means and deviations (2, plates, channels) of each source, by its identity, where plates are normalised."""
        if self.augmentation.normalisation != "plate":
            return {}
        known: dict[str, Tensor] = {}
        tables = {}
        for source in sources:
            table = torch.zeros(2, len(source.plates), len(self.order))
            number = 0
            for group in source.groups:
                where = [self.order.index(c) for c in group.channels]
                for plate in group.plates:
                    key = f"{plate.path}"
                    if key not in known:
                        known[key] = torch.from_numpy(np.stack(plate_statistics(plate.images)))
                    table[:, number, where] = known[key][:, plate.positions]
                    number += 1
            tables[id(source)] = table
        return tables

    def prepare(self, batch: Batch, source: Source, training: bool) -> tuple[Tensor, Tensor]:
        """Tiles on the device, normalised and (in training) augmented; and their channel index."""
        images = batch.images.to(self.device, non_blocking=True)
        index = self._index(batch.channels, "cpu")
        statistics = None
        if self.statistics:
            table = self.statistics[id(source)][:, torch.from_numpy(batch.plates)][:, :, index]
            mean, deviation = table.to(self.device, non_blocking=True)
            statistics = (mean, deviation)
        images = normalise(images, self.augmentation.normalisation, statistics)
        if training:
            images = augment(images, self.augmentation, self.generator)
        # Per-channel decoders choose modules by label, which the host must be able to read without waiting.
        return images, self._index(batch.channels, "cpu" if self.config.decoder == "per_channel" else self.device)

    def _index(self, channels: tuple[str, ...], device: torch.device | str) -> Tensor:
        """Channel index (C,) int64, made once: a fresh one would be a small copy to the device in every step."""
        key = (channels, str(device))
        if key not in self.indices:
            self.indices[key] = torch.tensor([self.order.index(c) for c in channels], device=device)
        return self.indices[key]

    def choose(self, number: int, channels: tuple[str, ...]) -> list[int]:
        """The channel subset of an optimiser step, the same on every process."""
        generator = torch.Generator().manual_seed(keyed_seed(self.options.seed, SUBSET, number))
        return draw_channels(len(channels), self.augmentation.channel_subset, generator)

    def step(self, number: int, parts: Iterable[Batch], source: Source, rate: float) -> None:
        """One optimiser step from the gradients of all its parts on all processes. Does not wait for the device."""
        self.task.train()
        for batch in parts:
            seed = keyed_seed(self.options.seed, PASS, number, self.processes.rank, batch.part)
            self.generator.manual_seed(seed)
            images, index = self.prepare(batch, source, training=True)
            size = len(images)
            draws = self.model.draw(size, images.shape[1], self.generator)
            later = batch.part + 1 < batch.parts
            hold = self.run.no_sync() if later and isinstance(self.run, DistributedDataParallel) else nullcontext()
            # The step or two at an epoch's end that are not full run uncompiled: their sizes would each cost minutes.
            # All processes do alike, because `total` counts the tiles of all.
            how = nullcontext() if batch.total == self.options.global_batch else self._eager()
            with hold:
                with how:
                    values = self.run(images, index, **draws)
                # The processes' gradients are averaged: the weight makes that the mean over the step's tiles.
                (values[0] * (size * self.processes.world / batch.total)).backward()
            self._note(values.detach(), size, number)
        limit = self.options.clip or float("inf")
        self.norm = nn.utils.clip_grad_norm_(self.model.parameters(), limit)
        self._note_bad(self.norm, number)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def _note(self, values: Tensor, size: int, number: int) -> None:
        self.sums[:-1] += values.double() * size
        self.sums[-1] += size
        self._note_bad(values[0], number)

    def _note_bad(self, value: Tensor, number: int) -> None:
        self.first_bad = torch.where(value.isfinite(), self.first_bad, self.first_bad.clamp_max(number))

    @torch.no_grad()
    def validate(self, batches: Iterable[Batch], source: Source) -> dict[str, float]:
        """Mean terms over the val tiles of all processes, with masks that are the same at every validation."""
        self.task.eval()
        sums = torch.zeros(len(self.task.names) + 2, dtype=torch.float64, device=self.device)
        with self._eager():
            return self._validate(batches, source, sums)

    def _eager(self) -> AbstractContextManager[Any]:
        """Evaluation runs uncompiled: it is short, and its shapes would each cost a minute of compilation."""
        return torch.compiler.set_stance("force_eager") if self.compiled else nullcontext()

    def _validate(self, batches: Iterable[Batch], source: Source, sums: Tensor) -> dict[str, float]:
        for batch in batches:
            key = (self.options.seed, VALIDATION, batch.step, self.processes.rank, batch.part)
            self.generator.manual_seed(keyed_seed(*key))
            images, index = self.prepare(batch, source, training=False)
            draws = self.model.draw(len(images), images.shape[1], self.generator)
            sums[:-1] += self.task(images, index, **draws).double() * len(images)
            sums[-1] += len(images)
        total = self.processes.gather(sums).sum(dim=0)
        values = (total[:-1] / total[-1]).tolist()
        return dict(zip([*self.task.names, "masked"], values, strict=True))

    def reconstruct(self, images: Tensor, index: Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Reconstruction and pixel mask (B, C, H, W) float32 of normalised tiles, always with the same masks."""
        self.generator.manual_seed(keyed_seed(self.options.seed, SNAPSHOT))
        with self._eager(), torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            output = self.model.reconstruct(images, index, generator=self.generator)
        return output.prediction.float().cpu().numpy(), output.pixel_mask().cpu().numpy()


def initial_model(config: ModelConfig, options: PretrainOptions) -> MaskedAutoencoder:
    """The model before its first step, on the CPU: also what the untrained twin is."""
    model = MaskedAutoencoder(config, seed=options.seed)
    if options.imagenet:
        from campfire.model.imagenet import initialise_from_imagenet

        initialise_from_imagenet(model, options.imagenet)
    return model


def make_optimiser(
    model: nn.Module, options: PretrainOptions, device: torch.device
) -> tuple[torch.optim.AdamW, list[str]]:
    """AdamW (fused where torch has it) and the names of its parameters in its own order."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    matrices = [(n, p) for n, p in named if options.decay == "all" or (p.ndim >= 2 and "token" not in n)]
    chosen = {n for n, _ in matrices}
    others = [(n, p) for n, p in named if n not in chosen]
    groups = [
        {"params": [p for _, p in matrices], "weight_decay": options.weight_decay},
        {"params": [p for _, p in others], "weight_decay": 0.0},
    ]
    beta1, beta2 = options.betas
    optimiser = torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=options.warmup_learning_rate,
        betas=(beta1, beta2),
        fused=device.type in ("cuda", "cpu"),
    )
    return optimiser, [name for name, _ in matrices + others]
