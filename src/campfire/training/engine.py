"""Device work of a run: optimiser steps, validation and reconstructions."""

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from campfire.core.columns import channel_order
from campfire.core.random import keyed_seed
from campfire.model import MaskedAutoencoder, ModelConfig, Output, build_model
from campfire.model.channels import sum_over_ranks
from campfire.model.normalise import PlateStatistics, needs_plate, normalise, plate_statistics, rescale
from campfire.training.augment import AugmentOptions, augment, draw_channels
from campfire.training.channel_scores import ChannelScores
from campfire.training.compiler import compiler_problem
from campfire.training.loader import Batch
from campfire.training.objective import Objective, masked_mean
from campfire.training.options import PretrainOptions
from campfire.training.processes import Processes
from campfire.training.replay import recorded_passes
from campfire.training.source import Source

log = logging.getLogger(__name__)

BAD_STEPS = 64
"""Most skipped steps between two reads of the device whose numbers are kept."""
SUBSET, PASS, VALIDATION, SNAPSHOT = 1, 2, 3, 4
"""Purposes of keyed seeds."""


class Prepared(NamedTuple):
    """A batch as the model takes it."""

    images: Tensor
    """(B, C, H, W) float32, normalised."""
    channels: Tensor
    """Channel index (C,) int64."""
    scale: Tensor | None
    """(2, B, C): gain and offset to the scale in which channel embeddings see patches; None: as they are."""


class TrainingPass(nn.Module):
    """Model and objective as one module: images in, a vector of loss terms out."""

    def __init__(self, model: MaskedAutoencoder, objective: Objective, bf16: bool) -> None:
        super().__init__()
        self.model, self.objective, self.bf16 = model, objective, bf16
        weights = objective.options
        used = [n for n in ("spatial", "high", "low", "frequency") if getattr(weights, n) > 0]
        self.names = ["loss", *used, "reconstruction"]

    def forward(self, images: Tensor, index: Tensor, scale: Tensor | None, **draws: Tensor | None) -> Tensor:
        """A prepared batch and the draws of `model.draw` to (K,) float32, in the order of `names`.

        Among the draws may be `sums`, those of `model.channel_sums` over the step's tiles.
        """
        return self.terms(self.reconstruct(images, index, scale, **draws))

    def reconstruct(self, images: Tensor, index: Tensor, scale: Tensor | None, **draws: Tensor | None) -> Output:
        """The model's output, in the run's precision."""
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            return self.model(images, index, scale=scale, **draws)

    def terms(self, output: Output) -> Tensor:
        """(K,) float32 in the order of `names`; in evaluation the mean squared error of masked pixels comes last."""
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
        self.augmentation: AugmentOptions = options.augmentation
        self.config: ModelConfig = options.model
        objective = Objective(options.objective)
        self.bf16 = options.precision == "bf16" or (options.precision == "auto" and cuda)
        self.model = initial_model(self.config, options).to(self.device)
        self.compiled = options.compile is True or (options.compile == "auto" and cuda)
        if self.compiled and (lacking := compiler_problem(self.device)):
            log.warning("%s; this run goes on without it, at eager speed, with the same result", lacking)
            self.compiled = False
        if self.compiled:
            # Full steps have one or two batch sizes and a few numbers of channels, each with its own fast graph.
            torch._dynamo.config.cache_size_limit = max(torch._dynamo.config.cache_size_limit, 32)
            # DDP's graph splitting would split each block in three; blocks are small enough for its messages.
            torch._dynamo.config.optimize_ddp = False
            self.model.compile_blocks(options.compile_tables, dynamic=False)
        self.task = TrainingPass(self.model, objective, self.bf16)
        self.run: Callable[..., Tensor] = self.task
        if processes.world > 1:
            # With per-channel decoders or embeddings a step uses only the parameters of its channels.
            turns = self.config.decoder == "per_channel" or self.config.channel_embedding == "learned"
            # Otherwise DDP regroups gradients after its first step, and the last bits of a sum over three or more
            # processes depend on the grouping: a resumed run would differ from an undisturbed one.
            searches = turns or (options.deterministic and processes.world > 2)
            self.run = DistributedDataParallel(self.task, gradient_as_bucket_view=True, find_unused_parameters=searches)
        self.replays = recorded_passes(self.task, options, self.device) if processes.world == 1 else None
        self.optimiser, self.names = make_optimiser(self.model, options, self.device)
        self.global_context = self.config.channel_embedding == "global" and self.config.decoder == "shared"
        self.generator = torch.Generator(self.device)
        self.order = channel_order(options.channels)
        self.indices: dict[tuple[tuple[str, ...], str], Tensor] = {}
        self.statistics = self._plate_statistics(sources)
        self.restart_sums()
        self.skipped = torch.zeros((), dtype=torch.int64, device=self.device)
        """Steps of the run that were skipped because a gradient was not finite."""
        self.bad_steps = torch.full((BAD_STEPS,), -1, dtype=torch.int64, device=self.device)
        """The numbers of the last of them, the k-th at k modulo BAD_STEPS."""
        self.norm = torch.zeros((), dtype=torch.float64, device=self.device)

    def restart_sums(self) -> None:
        """Forget the sums of the epoch: (K + 1,) float64, sums of loss terms over tiles and the number of tiles."""
        self.sums = torch.zeros(len(self.task.names) + 1, dtype=torch.float64, device=self.device)

    def _plate_statistics(self, sources: Sequence[Source]) -> dict[int, Tensor]:
        """Statistics (4, plates, channels) of each source, by its identity, where plates are normalised."""
        if not any(map(needs_plate, (self.augmentation.normalisation, self.augmentation.channel_scale))):
            return {}
        known: dict[str, Tensor] = {}
        tables = {}
        for source in sources:
            table = torch.zeros(len(PlateStatistics._fields), len(source.plates), len(self.order))
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

    def prepare(self, batch: Batch, source: Source, training: bool) -> Prepared:
        """Tiles on the device, normalised and (in training) augmented; and their channel index."""
        images = batch.images.to(self.device, non_blocking=True)
        index = self._index(batch.channels, "cpu")
        statistics = None
        if self.statistics:
            table = self.statistics[id(source)][:, torch.from_numpy(batch.plates)][:, :, index]
            statistics = PlateStatistics(*table.to(self.device, non_blocking=True))
        mode, other = self.augmentation.normalisation, self.augmentation.channel_scale
        scale = rescale(images, mode, other, statistics) if self._rescales() else None
        images = normalise(images, mode, statistics)
        if training:
            images = augment(images, self.augmentation, self.generator)
        return Prepared(images, self._index_for_model(batch.channels), scale)

    def _rescales(self) -> bool:
        """Whether channel embeddings see patches in another scale than the model's input."""
        return self.augmentation.channel_scale not in ("input", self.augmentation.normalisation)

    def _index_for_model(self, channels: tuple[str, ...]) -> Tensor:
        """Channel index on the device, or on the host where it selects decoders, to avoid a wait."""
        return self._index(channels, "cpu" if self.config.decoder == "per_channel" else self.device)

    def _index(self, channels: tuple[str, ...], device: torch.device | str) -> Tensor:
        """Channel index (C,) int64, cached: a new one would be a small copy to the device in every step."""
        key = (channels, str(device))
        if key not in self.indices:
            self.indices[key] = torch.tensor([self.order.index(c) for c in channels], device=device)
        return self.indices[key]

    def choose(self, number: int, channels: tuple[str, ...]) -> list[int]:
        """The channel subset of an optimiser step, the same on every process."""
        generator = torch.Generator().manual_seed(keyed_seed(self.options.seed, SUBSET, number))
        return draw_channels(len(channels), self.augmentation.channel_subset, generator)

    def step(self, number: int, parts: Iterable[Batch], source: Source, rate: float) -> None:
        """Run one optimiser step from the gradients of all its parts on all processes, without waiting for the device.

        A step whose gradients are not finite leaves model and optimiser unchanged (`skipped` counts it).
        """
        self.task.train()
        batches = list(parts)
        prepared, sums = None, None
        if self.global_context:
            parts_sums = []
            for batch in batches:
                prepared = self._prepare_part(number, batch, source)
                parts_sums.append(self.model.channel_sums(*prepared) * bool(len(batch.rows)))
            sums = sum_over_ranks(torch.stack(parts_sums).sum(0))
        for batch in batches:
            if prepared is None or len(batches) > 1:
                prepared = self._prepare_part(number, batch, source)
            self._pass(prepared, batch, sums)
        self._update(number, rate)

    def _pass(self, prepared: Prepared, batch: Batch, sums: Tensor | None) -> None:
        """Forward and backward pass of one part of a step: its share of the gradients."""
        size = len(batch.rows)
        draws = self.model.draw(len(prepared.images), prepared.images.shape[1], self.generator)
        later = batch.part + 1 < batch.parts
        hold = self.run.no_sync() if later and isinstance(self.run, DistributedDataParallel) else nullcontext()
        # The one or two partial steps at an epoch's end run uncompiled: compiling their sizes would take minutes.
        # All processes agree, because `total` counts the tiles of all.
        full = batch.total == self.options.global_batch
        images, index, scale = prepared
        inputs = {
            "images": images,
            "index": index,
            "scale": scale,
            "sums": sums,
            "groups": self._groups(batch),
            **draws,
        }
        if self.replays is not None and full and size == batch.total:
            values = self.replays(inputs)
        else:
            with hold:
                with nullcontext() if full else self._eager():
                    values = self.run(**inputs)
                # The processes' gradients are averaged: the weight makes that the mean over the step's tiles.
                (values[0] * (size * self.processes.world / batch.total)).backward()
        values = values.detach().double()
        counts = values.isfinite().all() * size
        self.sums[:-1] += torch.where(values.isfinite(), values, 0.0) * counts
        self.sums[-1] += counts

    def _prepare_part(self, number: int, batch: Batch, source: Source) -> Prepared:
        """A part of a step, prepared with draws of its own, identical each time it is prepared.

        A process without a tile takes part with an empty image of zero weight.
        """
        self.generator.manual_seed(keyed_seed(self.options.seed, PASS, number, self.processes.rank, batch.part))
        if len(batch.rows):
            return self.prepare(batch, source, training=True)
        empty = torch.zeros(1, *batch.images.shape[1:], device=self.device)
        scale = torch.zeros(2, *empty.shape[:2], device=self.device) if self._rescales() else None
        return Prepared(empty, self._index_for_model(batch.channels), scale)

    def _groups(self, batch: Batch) -> Tensor | None:
        """The plate of each tile, for a model whose tiles of one plate share a context."""
        if self.config.family != "contextvit":
            return None
        plates = torch.from_numpy(batch.plates) if len(batch.rows) else torch.zeros(1, dtype=torch.int64)
        return plates.to(self.device, non_blocking=True)

    def _update(self, number: int, rate: float) -> None:
        """Clip the gradients and move the weights, unless a gradient is not finite."""
        self.norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.options.clip or float("inf"))
        # Averaged over processes, the gradients and so the verdict are the same on all of them.
        bad = ~self.norm.isfinite()
        place = torch.arange(len(self.bad_steps), device=self.device) == self.skipped % len(self.bad_steps)
        self.bad_steps = torch.where(place & bad, number, self.bad_steps)
        self.skipped = self.skipped + bad
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        # What torch's GradScaler hands a fused optimiser: where it is 1, the step leaves everything as it is.
        self.optimiser.found_inf = bad.float()  # type: ignore[attr-defined]
        self.optimiser.grad_scale = None  # type: ignore[attr-defined]
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    @torch.no_grad()
    def validate(self, batches: Callable[[], Iterable[Batch]], source: Source) -> dict[str, float]:
        """Mean terms and channel scores over the val tiles of all processes, always with the same masks.

        `batches()` restarts: with `global` channel embeddings a first pass over all val tiles computes them.
        """
        self.task.eval()
        with self._eager():
            context = None
            if self.global_context:
                parts = [self.model.channel_sums(*self.prepare(b, source, training=False)) for b in batches()]
                none = self.model.no_sums(self.device)
                context = sum_over_ranks(torch.stack([none, *parts]).sum(0))
            return self._validate(batches(), source, context)

    def _validate(self, batches: Iterable[Batch], source: Source, context: Tensor | None) -> dict[str, float]:
        sums = torch.zeros(len(self.task.names) + 2, dtype=torch.float64, device=self.device)
        scores = ChannelScores(self.options.channels, self.config.image_size, self.device)
        for batch in batches:
            key = (self.options.seed, VALIDATION, batch.step, self.processes.rank, batch.part)
            self.generator.manual_seed(keyed_seed(*key))
            prepared = self.prepare(batch, source, training=False)
            size, channels = prepared.images.shape[:2]
            draws = self.model.draw(size, channels, self.generator)
            output = self.task.reconstruct(*prepared, **draws, sums=context, groups=self._groups(batch))
            sums[:-1] += self.task.terms(output).double() * size
            sums[-1] += size
            scores.add(output.prediction, output.target, output.pixel_mask(), batch.channels)
        total = self.processes.gather(sums).sum(dim=0)
        values = (total[:-1] / total[-1]).tolist()
        found = dict(zip([*self.task.names, "masked"], values, strict=True))
        return found | scores.values(self.processes.gather(scores.sums).sum(dim=0))

    def _eager(self) -> AbstractContextManager[Any]:
        """Evaluation runs uncompiled: it is short, and each of its shapes would take a minute to compile."""
        return torch.compiler.set_stance("force_eager") if self.compiled else nullcontext()

    def reconstruct(
        self, images: Tensor, index: Tensor, scale: Tensor | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Reconstruction and pixel mask (B, C, H, W) float32 of normalised tiles, always with the same masks."""
        self.generator.manual_seed(keyed_seed(self.options.seed, SNAPSHOT))
        with self._eager(), torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            output = self.model.reconstruct(images, index, generator=self.generator, scale=scale)
        return output.prediction.float().cpu().numpy(), output.pixel_mask().cpu().numpy()


def initial_model(config: ModelConfig, options: PretrainOptions) -> MaskedAutoencoder:
    """The model before its first step, on the CPU: identical to the untrained twin."""
    model = build_model(config, seed=options.seed)
    if options.imagenet:
        from campfire.model.imagenet import initialise_from_imagenet

        initialise_from_imagenet(model, options.imagenet)
    return model


def make_optimiser(
    model: nn.Module, options: PretrainOptions, device: torch.device
) -> tuple[torch.optim.AdamW, list[str]]:
    """AdamW (fused where torch has it) and the names of its parameters in its own order."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    matrices = [(n, p) for n, p in named if options.decay == "all" or _decays(n, p)]
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


def _decays(name: str, parameter: nn.Parameter) -> bool:
    """Whether `decay: matrices` decays a parameter: no biases, norms, tokens, embeddings or rotary frequencies."""
    return parameter.ndim >= 2 and not name.endswith(("token", "freqs", "channel_embed"))
