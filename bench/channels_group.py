"""One group of bench/channels_long.py: candidates of one architecture, several seeds each, trained side by side."""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import torch
import yaml
from channel_candidates import (
    ARCHITECTURE,
    CANDIDATES,
    DEFAULT,
    FINALISTS,
    FIVE,
    LEARNED,
    OLD,
    Tiles,
    gain_and_offset,
    normalised,
    read_tiles,
)
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

import campfire.model.autoencoder as autoencoder
from campfire.core.columns import CELL_KEYS
from campfire.core.files import read_table
from campfire.model import MaskedAutoencoder, build_model
from campfire.model.channels import _sums_by_product
from campfire.model.normalise import PlateStatistics, plate_statistics
from campfire.training import PretrainOptions
from campfire.training.augment import augment, draw_channels
from campfire.training.channel_scores import ChannelScores, blindness
from campfire.training.engine import _decays
from campfire.training.learning_rate import schedule
from campfire.training.objective import Objective


class Loss(nn.Module):
    """Model and objective: (B, C, H, W) to the loss."""

    def __init__(self, model: MaskedAutoencoder, objective: Objective) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, images: Tensor, index: Tensor, noise: Tensor, scale: Tensor) -> Tensor:
        output = self.model(images, index, noise=noise, scale=scale)
        return self.objective(output.prediction, output.target, output.mask)["loss"]


class Ensemble:
    """Models of one architecture, trained side by side."""

    def __init__(self, options: PretrainOptions, runs: list[tuple[str, int]], group: str, device: torch.device) -> None:
        self.options, self.runs, self.device = options, runs, device
        self.modes = [CANDIDATES[group][name] for name, _ in runs]
        models = [build_model(options.model, seed=seed) for _, seed in runs]
        self.loss = Loss(models[0].to(device), Objective(options.objective))
        named = dict(self.loss.named_parameters())
        stacked = {n: torch.stack([dict(m.named_parameters())[n[6:]].detach().cpu() for m in models]) for n in named}
        self.fixed = {n: p.detach() for n, p in named.items() if not p.requires_grad}
        self.values = {n: v.to(device).requires_grad_() for n, v in stacked.items() if n not in self.fixed}
        matrices = [n for n in self.values if _decays(n, named[n])]
        groups = [
            {"params": [self.values[n] for n in matrices], "weight_decay": options.weight_decay},
            {"params": [v for n, v in self.values.items() if n not in matrices], "weight_decay": 0.0},
        ]
        beta1, beta2 = options.betas
        self.optimiser = torch.optim.AdamW(groups, lr=0.0, betas=(beta1, beta2), fused=True)
        self.generator = torch.Generator(device).manual_seed(runs[0][1])

    def prepare(self, tiles: Tiles) -> None:
        """Normalise the training tiles by every mode and compute the candidates' scales."""
        used = sorted({mode for mode, _ in self.modes})
        self.bank = torch.stack([normalised(tiles, mode) for mode in used])
        self.which = torch.tensor([used.index(mode) for mode, _ in self.modes], device=self.device)[:, None]
        self.scales = torch.stack([gain_and_offset(tiles, mode, other) for mode, other in self.modes])
        self.count = len(tiles.raw)

    def step(self, rows: Tensor, places: list[int], rate: float) -> None:
        """One optimiser step of every model with its tiles `rows` (M, B)."""
        models, batch = rows.shape
        images = self.bank[self.which, rows][:, :, places]
        images = augment(images.flatten(0, 1), self.options.augmentation, self.generator).view_as(images)
        scale = self.scales[torch.arange(models, device=self.device)[:, None], :, rows]  # (M, B, 2, C)
        scale = scale.permute(0, 2, 1, 3)[..., places]
        shape = (models, batch, self.options.model.patches)
        noise = torch.rand(shape, generator=self.generator, device=self.device)
        host = self.options.model.decoder == "per_channel"
        index = torch.tensor(places, device="cpu" if host else self.device)

        def one(values: dict[str, Tensor], images: Tensor, noise: Tensor, scale: Tensor) -> Tensor:
            return functional_call(self.loss, {**values, **self.fixed}, (images, index, noise, scale))

        with sdpa_kernel(SDPBackend.MATH):  # products, which vmap batches on every device
            vmap(one)(self.values, images, noise, scale).sum().backward()
        self.update(rate)

    def update(self, rate: float) -> None:
        """Clip the gradients of each model by its own norm and move the weights."""
        # Decoders of channels that the step does not use have none.
        gradients = [value.grad for value in self.values.values() if value.grad is not None]
        squares = torch.stack([gradient.flatten(1).square().sum(1) for gradient in gradients])
        factor = (self.options.clip / (squares.sum(0).sqrt() + 1e-6)).clamp_max(1.0)
        for gradient in gradients:
            gradient.mul_(factor.view(-1, *[1] * (gradient.ndim - 1)))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def model(self, number: int) -> MaskedAutoencoder:
        """The shared module with the weights of model `number`, for evaluation."""
        with torch.no_grad():
            for name, parameter in self.loss.named_parameters():
                if name in self.values:
                    parameter.copy_(self.values[name][number])
        return self.loss.model.eval()

    def fit(self, epochs: int, deadline: float, every: int = 0, look: Any = None) -> int:
        """Train; `look(epoch, steps)` after every `every` epochs. Returns the optimiser steps made.

        In the first half the schedule is shortened where the remaining epochs would not end before the deadline.
        """
        batch = self.options.global_batch
        steps = max(1, self.count // batch)
        draws = torch.Generator().manual_seed(1)
        done = epoch = 0
        began, planned = time.monotonic(), epochs
        while epoch < planned:
            self.loss.train()
            plan = schedule(self.options.changed(epochs=planned), steps)
            noise = torch.rand(len(self.runs), self.count, generator=self.generator, device=self.device)
            order = noise.argsort(1)
            for step in range(steps):
                if time.monotonic() > deadline:
                    return done
                places = draw_channels(self.bank.shape[2], self.options.augmentation.channel_subset, draws)
                self.step(order[:, step * batch : (step + 1) * batch], places, plan.rate(done))
                done += 1
            epoch += 1
            if self.device.type == "cuda":
                torch.cuda.synchronize()
            now = time.monotonic()
            if epoch < planned / 2:
                planned = max(epoch + 1, min(epochs, epoch + int(0.9 * (deadline - now) / (now - began))))
            if every and epoch % every == 0 and epoch < planned:
                look(epoch, done)
            began = time.monotonic()
        return done


@torch.no_grad()
def scores(model: MaskedAutoencoder, tiles: Tiles, modes: tuple[str, str], channels: list[str]) -> dict[str, float]:
    """The columns of metrics.parquet over `tiles`, channel embeddings from all of them, the same masks each time."""
    images, scale = normalised(tiles, modes[0]), gain_and_offset(tiles, *modes)
    device = "cpu" if model.config.decoder == "per_channel" else images.device
    index = torch.tensor([FIVE.index(c) for c in channels], device=device)
    sums = model.channel_sums(images, index, scale)
    generator = torch.Generator(images.device).manual_seed(0)
    found = ChannelScores(channels, images.shape[2], images.device)
    for part in torch.arange(len(images)).split(128):
        output = model.reconstruct(images[part], index, generator=generator, sums=sums, scale=scale[:, part])
        found.add(output.prediction, output.target, output.pixel_mask(), channels)
    values = found.values(found.sums)
    return {k: round(v, 4) for k, v in values.items()} | {"blindness": round(blindness(values) or 0.0, 4)}


def demo_options(group: str, **changes: Any) -> PretrainOptions:
    """The demo's run with the architecture of a group."""
    values = yaml.safe_load(Path("config/demo.yaml").read_text(encoding="utf-8"))["pretrain"]["runs"]["campfire"]
    values["model"] = {**values["model"], **ARCHITECTURE[group]}
    return PretrainOptions(**{**values, "warmup_learning_rate": 1e-5, **changes})


def on_demo(ensemble: Ensemble, arguments: argparse.Namespace, append: Any) -> None:
    """Train on the demo's train wells, measure on its val wells, embed the cells of the probes."""
    wells = read_table(arguments.wells)
    device = ensemble.device
    trained = [channel for channel in FIVE if channel in arguments.channels]
    ensemble.prepare(read_tiles(arguments.tiles, wells[wells["split"] == "train"], trained, device))
    val = wells[wells["split"] == "val"]
    known = read_tiles(arguments.tiles, val, trained, device)
    other = read_tiles(arguments.tiles, val, ["DNA", "ER", "RNA"], device)

    def look(epoch: int, done: int) -> None:
        for number, (name, seed) in enumerate(ensemble.runs):
            label = {"data": "demo", "candidate": name, "seed": seed, "epochs": arguments.length, "epoch": epoch}
            append("curves", {**label, **scores(ensemble.model(number), known, ensemble.modes[number], trained)})

    done = ensemble.fit(arguments.length, arguments.deadline, max(1, arguments.length // 6), look)
    cells = read_table(arguments.cells)
    cells = cells[cells["protocol"] == "strict"]
    sets = {
        n: read_tiles(arguments.tiles, cells, c, device)
        for n, c in {"trained": trained, "unseen": ["DNA", "ER", "RNA"]}.items()
    }
    for number, (name, seed) in enumerate(ensemble.runs):
        model, modes = ensemble.model(number), ensemble.modes[number]
        label = {"data": "demo", "candidate": name, "seed": seed, "epochs": arguments.length, "steps": done}
        row = {**label, **scores(model, known, modes, trained)}
        if "learned" not in name and "per-channel" not in name:
            row |= {f"unseen_{k}": v for k, v in scores(model, other, modes, ["DNA", "ER", "RNA"]).items()}
        append("runs", row)
        vectors = {}
        with torch.no_grad():
            for which, tiles in sets.items():
                images = normalised(tiles, modes[0]).split(512)
                vectors[which] = torch.cat([model.embed(part) for part in images]).cpu().numpy()
        keys = {key: sets["trained"].keys[key].to_numpy() for key in CELL_KEYS}
        keys = {key: values.astype(str) if values.dtype == object else values for key, values in keys.items()}
        path = arguments.out / "embeddings" / f"{arguments.group}-{arguments.length}-{number}.npz"
        partial = path.with_name(f".{path.name}")
        np.savez(partial, **vectors, **keys, label=json.dumps(label))
        os.replace(partial, path)


def on_pilot(ensemble: Ensemble, arguments: argparse.Namespace, append: Any) -> None:
    """Overfit the tiles of one real field, all channels, and measure on the same tiles."""
    raw = np.load(arguments.pilot)
    statistics = plate_statistics(raw)
    every = [torch.from_numpy(np.repeat(part[None], len(raw), axis=0)).to(ensemble.device) for part in statistics]
    tiles = Tiles(torch.from_numpy(raw).to(ensemble.device), PlateStatistics(*every), pd.DataFrame())
    ensemble.prepare(tiles)
    per_epoch = max(1, len(raw) // ensemble.options.global_batch)
    done = ensemble.fit(max(1, arguments.length // per_epoch), arguments.deadline)
    for number, (name, seed) in enumerate(ensemble.runs):
        label = {"data": "pilot", "candidate": name, "seed": seed, "epochs": arguments.length, "steps": done}
        append("runs", {**label, **scores(ensemble.model(number), tiles, ensemble.modes[number], FIVE)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", choices=["demo", "pilot"])
    parser.add_argument("group", choices=list(CANDIDATES))
    parser.add_argument("length", type=int, help="epochs of the demo, or optimiser steps on the real field")
    for name in ("tiles", "wells", "cells", "pilot", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--more-seeds", type=int, default=8)
    parser.add_argument("--channels", nargs="+", default=["DNA", "AGP", "Mito"], choices=FIVE, help="trained on")
    parser.add_argument("--finalists", action="store_true", help="only candidates worth a long training")
    parser.add_argument("--limit", type=float, default=200)
    arguments = parser.parse_args()
    arguments.deadline = time.monotonic() + arguments.limit
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("high")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    # On the CPU `index_add_` sums in place, which vmap cannot batch; the sum is the same.
    autoencoder.label_sums = _sums_by_product_of_tiles  # type: ignore[attr-defined]
    changes: dict[str, Any] = {"channels": tuple(FIVE)} if arguments.data == "pilot" else {}
    options = demo_options(arguments.group, epochs=10**6, **changes)
    many = {OLD, DEFAULT, LEARNED}
    runs = [
        (name, seed)
        for name in CANDIDATES[arguments.group]
        if name in FINALISTS or not arguments.finalists
        for seed in range(1, 1 + (arguments.more_seeds if name in many else arguments.seeds))
    ]
    ensemble = Ensemble(options, runs, arguments.group, device)

    def append(kind: str, row: dict[str, Any]) -> None:
        with (arguments.out / f"{kind}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    began = time.monotonic()
    (on_demo if arguments.data == "demo" else on_pilot)(ensemble, arguments, append)
    what = f"{arguments.data} {arguments.group} {arguments.length}: {len(runs)} models"
    print(f"{what}, {time.monotonic() - began:.1f} s on {device.type}", flush=True)


def _sums_by_product_of_tiles(values: Tensor, channel_index: Tensor) -> Tensor:
    """`label_sums` as a matrix product on every device."""
    return _sums_by_product(values.flatten(0, 1), channel_index.expand(values.shape[:2]).reshape(-1))


if __name__ == "__main__":
    main()
