"""Outputs of a run: weights, a table of epochs, and reconstructions of fixed tiles during training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

import campfire
from campfire.core.columns import CELL_KEYS
from campfire.core.errors import DataError
from campfire.core.files import atomic_path, link_or_copy, write_table
from campfire.core.random import keyed_generator
from campfire.model import MaskedAutoencoder, save_weights
from campfire.model.checkpoints import StateFolder
from campfire.training.engine import Engine
from campfire.training.loader import Batch
from campfire.training.position import Position
from campfire.training.source import Source, tile_keys

OUTPUTS = ("snapshots.npz", "metrics.parquet", "model.safetensors")
"""Outputs of a run; the last one is written last."""
FINISHED = "finished"
CHOOSE_SNAPSHOTS = 7
CONTEXT_TILES = 64
"""Tiles in the batch that snapshots are reconstructed in: the channel embedding is a mean over a batch."""


class RunFolder(StateFolder):
    """The state folder of one pretraining run, which also keeps the outputs of the finished run."""

    def finish(self, out_dir: Path) -> None:
        """Keep the outputs as hard links and drop the checkpoints, which are several times as large."""
        for name in OUTPUTS:
            link_or_copy(out_dir / name, self.folder / FINISHED / name)
        for spent in [*self.newest(), *self.folder.glob("snapshots/*.npy")]:
            spent.unlink(missing_ok=True)

    def finished(self) -> Path | None:
        """Folder of the kept outputs if this run finished before, else None."""
        kept = self.folder / FINISHED
        return kept if all((kept / name).is_file() for name in OUTPUTS) else None

    def restore(self, out_dir: Path) -> None:
        """Restore kept outputs."""
        for name in OUTPUTS:
            link_or_copy(self.folder / FINISHED / name, out_dir / name)


def metrics_table(history: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """metrics.parquet: a row per epoch and split, numbers as float64."""
    table = pd.DataFrame(list(history))
    return table.astype({c: "float64" for c in table.columns if c not in ("epoch", "step", "split")})


class Snapshots:
    """Fixed tiles, reconstructed after chosen epochs with the same masks each time (Figure 3.3)."""

    def __init__(self, engine: Engine, source: Source, folder: Path) -> None:
        self.engine, self.folder = engine, folder / "snapshots"
        self.count = min(engine.options.snapshot_tiles, max((g.tiles for g in source.groups), default=0))
        if not self.count or not engine.processes.first:
            return
        group = max(source.groups, key=lambda g: (len(g.channels), g.tiles))
        rng = keyed_generator(engine.options.seed, CHOOSE_SNAPSHOTS)
        chosen = rng.choice(group.tiles, min(group.tiles, max(CONTEXT_TILES, self.count)), replace=False)
        edges = np.concatenate([[0], np.cumsum(group.sizes)])
        numbers = np.searchsorted(edges, chosen, side="right") - 1
        first = next(i for i, g in enumerate(source.groups) if g is group)
        before = sum(len(g.plates) for g in source.groups[:first])
        tiles: list[NDArray[Any]] = []
        keys: list[pd.DataFrame] = []
        for number, place in zip(numbers, chosen - edges[numbers], strict=True):
            plate = group.plates[number]
            tiles.append(plate.images[plate.rows[place], plate.positions])
            if len(keys) < self.count:
                keys.append(tile_keys(plate, plate.rows[[place]]))
        raw = torch.from_numpy(np.stack(tiles))
        batch = Batch(0, 0, 1, len(raw), raw, group.channels, before + numbers, chosen)
        self.channels = group.channels
        self.keys = pd.concat(keys, ignore_index=True)
        self.prepared = engine.prepare(batch, source, training=False)

    def write(self, epoch: int) -> None:
        """Reconstruct after this epoch; kept in the state folder until the run is done."""
        if self.count:
            prediction, _ = self.engine.reconstruct(*self.prepared)
            with atomic_path(self.folder / f"epoch-{epoch:05d}.npy") as partial:
                np.save(partial, prediction[: self.count].astype(np.float32))

    def collect(self, epochs: Sequence[int]) -> dict[str, NDArray[Any]]:
        """The arrays of snapshots.npz (docs/contracts.md); masked pixels of `masked` are 0."""
        if not self.count or not epochs:
            size = self.engine.config.image_size
            none = np.empty((0, 0, size, size), np.float32)
            return {"epochs": np.empty(0, np.int64), "target": none, "masked": none, "reconstruction": none[None][:0]}
        target = self.prepared.images[: self.count].cpu().numpy()
        _, mask = self.engine.reconstruct(*self.prepared)
        mask = mask[: self.count]
        paths = [self.folder / f"epoch-{epoch:05d}.npy" for epoch in epochs]
        missing = [str(p) for p in paths if not p.is_file()]
        if missing:
            raise DataError(f"{missing[0]}: a snapshot is gone from the state folder; remove that folder and run again")
        return {
            "epochs": np.array(epochs, dtype=np.int64),
            "target": target,
            "masked": target * (1 - mask),
            "mask": mask.astype(bool),
            "reconstruction": np.stack([np.load(p) for p in paths]),
            "channels": np.array(self.channels),
            **{name: self.keys[name].to_numpy(dtype=None if name == CELL_KEYS[3] else str) for name in CELL_KEYS},
        }


def write_outputs(
    out_dir: Path,
    model: MaskedAutoencoder,
    header: Mapping[str, Any],
    position: Position,
    snapshots: Snapshots,
) -> None:
    """Write snapshots.npz, metrics.parquet and, last, model.safetensors, each atomically.

    position: the end of the run, from whose epochs there are metrics and snapshots.
    """
    arrays = snapshots.collect([epoch for epoch in snapshots.engine.options.snapshots() if epoch <= position.epoch])
    with atomic_path(out_dir / "snapshots.npz") as partial:
        np.savez(partial, **arrays)
    software = {"software": f"campfire {campfire.__version__}", "torch": torch.__version__}
    described = {**header, **software}
    write_table(metrics_table(position.history), out_dir / "metrics.parquet", described)
    save_weights(model, out_dir / "model.safetensors", described)
