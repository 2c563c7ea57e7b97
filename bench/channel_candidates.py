"""Candidates for the channel embedding, and tiles scaled as each of them asks (bench/channels_group.py)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from campfire.core.columns import CELL_KEYS, PLATE, WELL
from campfire.core.files import read_table
from campfire.model.normalise import NORMALISATIONS, PlateStatistics, affine, plate_statistics

FIVE = ["DNA", "AGP", "Mito", "ER", "RNA"]
SIX = "tile_range_6"
"""The tile's range as 0 to 6, of about the size of standard deviations."""
MEANS = ("tile_mean", "plate_mean")
"""Divided by the mean of the tile or plate: what the options do not offer."""
OLD, DEFAULT, LEARNED = "tile", "tile, mean in tile_sd", "tile, learned embeddings"
CANDIDATES: dict[str, dict[str, tuple[str, str]]] = {
    "mean": {
        **{mode: (mode, mode) for mode in (*NORMALISATIONS, SIX, *MEANS)},
        **{f"tile, mean in {scale}": ("tile", scale) for scale in ("tile_sd", "tile_range", "plate_sd", "plate_range")},
        **{f"plate, mean in {scale}": ("plate", scale) for scale in ("tile_sd", "plate_sd")},
    },
    "spread": {
        **{f"{mode}, mean and spread": (mode, mode) for mode in ("tile", "plate", "tile_sd", "tile_range", "plate_sd")},
        "tile, mean and spread in tile_sd": ("tile", "tile_sd"),
    },
    "learned": {LEARNED: ("tile", "tile"), "tile_sd, learned embeddings": ("tile_sd", "tile_sd")},
    "per_channel": {"tile, per-channel decoders": ("tile", "tile")},
}
"""By group: normalisation of the input, and scale in which channel embeddings see patches."""
FINALISTS = {
    OLD, DEFAULT, LEARNED, "tile_sd", "tile, mean in plate_sd", "plate, mean in plate_sd", "tile_sd, mean and spread",
    "tile, mean and spread in tile_sd", "tile, per-channel decoders",
}  # fmt: skip
"""What is trained longer."""
ARCHITECTURE: dict[str, dict[str, Any]] = {
    "mean": {},
    "spread": {"channel_context": "mean_spread"},
    "learned": {"channel_embedding": "learned"},
    "per_channel": {"decoder": "per_channel"},
}


@dataclass
class Tiles:
    """Raw tiles (N, C, H, W), statistics of each tile's plate (N, C), keys."""

    raw: Tensor
    statistics: PlateStatistics
    keys: pd.DataFrame


def scale_of(tiles: Tensor, mode: str, statistics: PlateStatistics) -> tuple[Tensor, Tensor]:
    """Offset and divisor, (N, C, 1, 1), of a mode, those that are only tried here included."""
    if mode in MEANS:
        own = tiles.float().mean((2, 3), keepdim=True)
        mean = own if mode == "tile_mean" else statistics.mean[..., None, None]
        return torch.zeros_like(own), mean.clamp_min(1e-8).expand_as(own)
    shift, divisor = affine(tiles, "tile_range" if mode == SIX else mode, statistics)
    shape = (len(tiles), tiles.shape[1], 1, 1)
    return shift.expand(shape), (divisor / (6 if mode == SIX else 1)).expand(shape)


def normalised(tiles: Tiles, mode: str) -> Tensor:
    """(N, C, H, W) float32."""
    shift, divisor = scale_of(tiles.raw, mode, tiles.statistics)
    values = (tiles.raw.float() - shift) / divisor
    return values.clamp(0, 6 if mode == SIX else 1) if "_range" in mode else values


def gain_and_offset(tiles: Tiles, mode: str, other: str) -> Tensor:
    """(2, N, C): from tiles normalised by `mode` to the scale of `other`."""
    shift, divisor = scale_of(tiles.raw, mode, tiles.statistics)
    other_shift, other_divisor = scale_of(tiles.raw, other, tiles.statistics)
    return torch.stack([divisor / other_divisor, (shift - other_shift) / other_divisor])[..., 0, 0]


def read_tiles(folder: Path, chosen: pd.DataFrame, channels: list[str], device: torch.device) -> Tiles:
    """The tiles of `chosen` (rows with a plate and either a well, or the keys of a cell) with these channels."""
    parts, keys, statistics = [], [], []
    for plate, wanted in chosen.groupby(PLATE):
        path = folder / f"{plate}.npy"
        images = np.load(path, mmap_mode="r") if path.is_file() else None
        where = [FIVE.index(c) for c in channels]
        if images is None or max(where) >= images.shape[1]:
            continue
        index = read_table(path.with_suffix(".parquet"))
        by = CELL_KEYS if "Metadata_Nucleus" in wanted else [PLATE, WELL]
        rows = index.merge(wanted[by].drop_duplicates(), on=by)
        numbers = np.sort(rows["row"].to_numpy())
        parts.append(torch.from_numpy(images[numbers][:, where]))
        keys.append(index.set_index("row").loc[numbers, CELL_KEYS])
        of_plate = plate_statistics(images).of(where)
        statistics.append([np.repeat(part[None], len(numbers), axis=0) for part in of_plate])
    joined = [torch.from_numpy(np.concatenate(part)).to(device) for part in zip(*statistics, strict=True)]
    return Tiles(torch.cat(parts).to(device), PlateStatistics(*joined), pd.concat(keys, ignore_index=True))
