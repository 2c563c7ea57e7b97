"""Small packed plates of blurred discs, written by hand in the store's own format, for the tests of pretraining."""

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core.columns import NUCLEUS, PLATE, PLATE_TYPE, SITE, WELL
from campfire.core.files import write_table
from campfire.images.tiles.store import FORMAT, digest, well_digests
from campfire.training import PretrainOptions

SMALL_MODEL = {
    "image_size": 28, "patch_size": 7, "width": 32, "depth": 2, "heads": 4,
    "decoder_width": 16, "decoder_depth": 1, "decoder_heads": 2, "mask_ratio": 0.75,
}  # fmt: skip


def write_plate(
    folder: Path,
    plate: str,
    tiles: int,
    channels: list[str],
    seed: int = 0,
    size: int = 28,
    images: NDArray[Any] | None = None,
) -> Path:
    """A plate of `tiles` uint16 tiles (blurred discs, or `images`) in ten wells, cells of a well contiguous."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    centre = rng.uniform(0.3 * size, 0.7 * size, (tiles, 2, 1, 1))
    distance = np.hypot(rows - centre[:, 0], columns - centre[:, 1])
    radius = rng.uniform(0.1 * size, 0.3 * size, (tiles, 1, 1))
    layers = [np.exp(-((distance / (radius * (1 + 0.4 * c))) ** 2)) for c in range(len(channels))]
    if images is None:
        discs = 200 + 3000 * np.stack(layers, axis=1) + rng.normal(0, 40, (tiles, len(channels), size, size))
        images = discs.clip(0, 65535).astype(np.uint16)
    index = pd.DataFrame(
        {
            PLATE: plate,
            WELL: np.sort(rng.choice([f"A{i:02d}" for i in range(1, 11)], tiles)),
            SITE: "1",
            NUCLEUS: np.arange(1, tiles + 1, dtype=np.int32),
            "row": np.arange(tiles),
            "crc32": np.array([zlib.crc32(tile) for tile in images], dtype=np.uint32),
        }
    )
    path = folder / f"{plate}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, images)
    description = {
        "format": FORMAT, "channels": channels, "shape": list(images.shape), "dtype": str(images.dtype), "ranges": None,
        "bytes": path.stat().st_size, "wells": well_digests(index), "digest": digest(index),
    }  # fmt: skip
    write_table(index, path.with_suffix(".parquet"), description)
    return path


def split_table(plates: list[str], plate_type: str = "TARGET2") -> pd.DataFrame:
    """A split of each plate's ten wells: seven train, two val, one test."""
    wells = [f"A{i:02d}" for i in range(1, 11)]
    split = ["train"] * 7 + ["val"] * 2 + ["test"]
    parts = [pd.DataFrame({PLATE: p, WELL: wells, PLATE_TYPE: plate_type, "split": split}) for p in plates]
    return pd.concat(parts, ignore_index=True)


PLATES = ["five", "three", "two"]
"""Names of `three_plates`."""


def three_plates(folder: Path) -> list[Path]:
    """Plates with five, three and two channels."""
    return [
        write_plate(folder, "five", 120, ["DNA", "AGP", "Mito", "ER", "RNA"], 1),
        write_plate(folder, "three", 150, ["DNA", "AGP", "Mito"], 2),
        write_plate(folder, "two", 60, ["DNA", "ER"], 3),
    ]


def options(**changes: Any) -> PretrainOptions:
    values: dict[str, Any] = {
        "model": SMALL_MODEL | {"drop_path": 0.1}, "epochs": 3, "global_batch": 48, "batch_size": 16,
        "learning_rate": 2e-3, "warmup_epochs": 1, "log_steps": 2, "snapshot_tiles": 3, "window_tiles": 64,
        "shard_tiles": 16, "loader_threads": 1, "device": "cpu", "checkpoint_steps": 2, "seed": 4,
    }  # fmt: skip
    return PretrainOptions(**values | changes)


def same_run(one: Path, other: Path) -> None:
    """Weights and snapshots bit for bit; the table of epochs but for timings."""
    from safetensors.torch import load_file

    same_tensors(*(load_file(folder / "model.safetensors") for folder in (one, other)))
    timings = ["seconds", "tiles_per_s", "mfu", "memory_gib"]
    tables = [pd.read_parquet(folder / "metrics.parquet").drop(columns=timings) for folder in (one, other)]
    pd.testing.assert_frame_equal(*tables)
    with np.load(one / "snapshots.npz") as left, np.load(other / "snapshots.npz") as right:
        assert all(np.array_equal(left[name], right[name]) for name in left)


def same_tensors(one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    """Fails unless both have the same tensors bit for bit; says which differ, in their order, and by how much."""
    import torch

    assert list(one) == list(other)
    found = []
    for name, a in one.items():
        b = other[name]
        if a.shape != b.shape or a.dtype != b.dtype:
            found.append(f"{name}: {a.dtype} {tuple(a.shape)} and {b.dtype} {tuple(b.shape)}")
        elif not torch.equal(a, b):
            apart = (a.double() - b.double()).abs()
            share = float((apart > 0).double().mean())
            size = float(a.double().abs().max())
            found.append(
                f"{name}: {100 * share:.2g} % of values differ, at most by {float(apart.max()):.2g} of {size:.2g}"
            )
    assert not found, "\n".join([f"{len(found)} of {len(one)} tensors differ:", *found[:12]])
