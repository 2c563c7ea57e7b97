"""What a pretrained model fills in on unseen wells and channels, and on which patches an embedding depends."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from campfire.core.columns import CELL_KEYS, COMPOUND, PLATE, WELL, channel_order
from campfire.core.errors import DataError
from campfire.core.random import keyed_generator
from campfire.images.tiles import open_plate
from campfire.model import MaskedAutoencoder, load_weights
from campfire.model.encoder import patchify, unpatchify
from campfire.model.normalise import PlateStatistics, needs_plate, normalise, plate_statistics, rescale

CONTEXT_TILES = 64
"""Tiles reconstructed together: the embedding of a channel is a mean over a batch, as in the snapshots of training."""
SEED = 5


def choose_rows(index: pd.DataFrame, wells: pd.DataFrame, shown: int) -> NDArray[np.int64]:
    """Rows of a plate's tiles: `shown` of different compounds, held-out ones first, then others as their context.

    index: the plate's tile index. wells: split/wells.parquet. DataError for a plate without a test well.
    """
    roles = wells.loc[wells["split"].str.startswith("test"), [PLATE, WELL, COMPOUND, "split"]]
    tiles = index[[*CELL_KEYS, "row"]].merge(roles, on=[PLATE, WELL])
    if tiles.empty:
        raise DataError(f"tiles/{index[PLATE].iloc[0]}.parquet: no tile of a test well")
    order = tiles.iloc[keyed_generator(SEED).permutation(len(tiles))].reset_index(drop=True)
    order["held"] = ~order["split"].isin(("test_ood_both", "test_ood_compound"))
    first = order.drop_duplicates(COMPOUND).sort_values("held", kind="stable").head(shown)
    rest = order.drop(first.index).head(max(0, CONTEXT_TILES - len(first)))
    return pd.concat([first, rest])["row"].to_numpy(np.int64)


def look(
    weights: str | Path,
    tiles: str | Path,
    wells: pd.DataFrame,
    sets: Mapping[str, Sequence[str]],
    shown: int = 2,
) -> dict[str, NDArray[Any]]:
    """Reconstructions and occlusion of `shown` tiles, as arrays of an npz file.

    weights: of a pretraining run. tiles: of a plate with test wells. sets: channel sets, the trained one first; of each
    other set only its untrained channels come back, reconstructed together with all of its own.
    `channels` (K,), `seen` (K,) bool, `target`, `reconstruction` (S, K, H, W) float32 in normalised units, `mask`
    (S, K, H, W) bool, keys (S,), and `occlusion` (S, 1 + C, n, n): 1 - cosine similarity of the embedding when a patch
    is replaced by its channel's mean, in all C trained channels and in each alone.
    """
    model, header = load_weights(weights)
    plate = open_plate(tiles)
    rows = choose_rows(plate.index, wells, shown)
    shown = min(shown, len(rows))
    trained = list(header["channels"])
    channels: list[str] = []
    targets, masks, predictions, occluded = [], [], [], None
    for names in sets.values():
        values, index, scale = _prepare(header, plate, rows, names)
        output = model.reconstruct(values, index, generator=torch.Generator().manual_seed(SEED), scale=scale)
        kept = [i for i, name in enumerate(names) if name not in channels and (not channels or name not in trained)]
        channels += [names[i] for i in kept]
        targets.append(values[:shown, kept])
        predictions.append(output.prediction.float()[:shown, kept])
        masks.append(output.pixel_mask()[:shown, kept])
        if occluded is None:
            occluded = occlusion(model, values[:shown], index)
    keys = plate.index.iloc[rows[:shown]]
    return {
        "channels": np.array(channels),
        "seen": np.array([name in trained for name in channels]),
        "target": torch.cat(targets, 1).numpy(),
        "reconstruction": torch.cat(predictions, 1).numpy(),
        "mask": torch.cat(masks, 1).numpy().astype(bool),
        "occlusion": np.asarray(occluded),
        **{name: keys[name].to_numpy(dtype=None if name == CELL_KEYS[3] else str) for name in CELL_KEYS},
    }


def _prepare(
    header: Mapping[str, Any], plate: Any, rows: NDArray[np.int64], names: Sequence[str]
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Normalised tiles (B, C, H, W), the channel index (C,) and the scale of the channel embeddings, as in training."""
    positions = [plate.channels.index(name) for name in names]
    raw = torch.from_numpy(np.asarray(plate.images[np.sort(rows)])[np.argsort(np.argsort(rows))][:, positions])
    mode, other = header["normalisation"], header["options"]["augmentation"]["channel_scale"]
    statistics: PlateStatistics | None = None
    if needs_plate(mode) or needs_plate(other):
        statistics = plate_statistics(plate.images).of(positions)
    scale = None if other in ("input", mode) else rescale(raw, mode, other, statistics)
    order = channel_order(header["channels"])
    order += [name for name in names if name not in order]
    return normalise(raw, mode, statistics), torch.tensor([order.index(name) for name in names]), scale


@torch.inference_mode()
def occlusion(model: MaskedAutoencoder, images: Tensor, index: Tensor) -> NDArray[np.float32]:
    """(B, 1 + C, n, n) how far an embedding moves when a patch is occluded: in all channels, and in each alone.

    images: (B, C, H, W), normalised. The distance is 1 - cosine similarity; an occluded patch holds its channel's mean.
    """
    patch = model.config.patch_size
    side = images.shape[-1] // patch
    found = []
    for tile in images:
        patches = patchify(tile[None], patch)  # (1, C, N, P*P)
        flat = patches.mean(dim=(2, 3), keepdim=True).expand(1, patches.shape[1], 1, patches.shape[3])
        variants = [patches]
        for hidden in (range(patches.shape[1]), *([c] for c in range(patches.shape[1]))):
            for place in range(patches.shape[2]):
                changed = patches.clone()
                changed[:, list(hidden), place] = flat[:, list(hidden), 0]
                variants.append(changed)
        stacked = unpatchify(torch.cat(variants), patch)
        embedded = torch.cat([model.embed(part, index) for part in stacked.split(64)])
        distance = 1 - torch.nn.functional.cosine_similarity(embedded[1:], embedded[:1])
        found.append(distance.reshape(1 + images.shape[1], side, side).numpy())
    return np.stack(found).astype(np.float32)
