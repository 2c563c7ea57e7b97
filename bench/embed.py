"""Speed of embedding a plate with several encoders, beside reading alone and the encoder alone.

    python bench/embed.py [--quick] [--encoders campfire_demo,features] [--tiles 4096] [--device auto] [--json out]

A synthetic plate is written to a temporary folder and a random part of its cells embedded by `embed_plate` (`run`).
`encoder` is the same encoder on one batch in memory, repeated: the upper bound. `read` is embed_plate with an encoder
that does nothing. `share` is run / encoder. Weights are random, as speed does not depend on
them. `--quick` uses two small encoders and 512 tiles; on a CPU, large encoders embed only a few tiles.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))

import numpy as np
import pandas as pd
import torch

from campfire.core.columns import CELL_KEYS, CHANNELS
from campfire.encoders import Encoder, load, resolve_device
from campfire.encoders.embed import embed_plate

ENCODERS: dict[str, tuple[dict[str, Any], int]] = {
    "campfire_demo": (
        {
            "kind": "untrained",
            "seed": 0,
            "normalisation": "tile",
            "model": {"width": 128, "depth": 4, "heads": 4, "decoder_depth": 1},
        },
        256,
    ),
    "campfire_large": ({"kind": "untrained", "seed": 0, "normalisation": "tile", "model": {"size": "large"}}, 512),
    "dino_vits8": ({"kind": "timm", "model": "vit_small_patch8_224.dino", "weights": "random"}, 128),
    "dino_vits8_native": (
        {"kind": "timm", "model": "vit_small_patch8_224.dino", "weights": "random", "size": "native"},
        256,
    ),
    "dinov2_vitl14": ({"kind": "timm", "model": "vit_large_patch14_dinov2.lvd142m", "weights": "random"}, 128),
    "features": ({"kind": "features"}, 64),
}
"""Encoder specs and their batch sizes."""


ON_CPU = {"campfire_large": 16, "dino_vits8": 64, "dino_vits8_native": 256, "dinov2_vitl14": 8, "features": 32}
"""Tiles on the plate for encoders that would take a CPU minutes, with fewer repeats."""


@dataclass
class Plate:
    """A plate of random tiles on disk, read through a memory map."""

    images: np.ndarray
    index: pd.DataFrame
    channels: list[str] = field(default_factory=lambda: list(CHANNELS))

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Tiles as stored."""
        return self.images[rows]

    def to_counts(self, tiles: np.ndarray) -> np.ndarray:
        """Tiles as float32."""
        return tiles.astype(np.float32)


class Nothing:
    """An encoder that reads its batch and computes nothing."""

    name, normalisation, digest = "nothing", "tile", ""

    def __init__(self, device: str) -> None:
        self.device = device

    def dim(self, channels: Any) -> int:
        """One number."""
        return 1

    def embed(self, images: torch.Tensor, channels: Any, statistics: Any = None) -> torch.Tensor:
        """The first pixel."""
        return images.to(self.device)[:, 0, 0, :1].float()


def write_plate(folder: Path, tiles: int) -> Plate:
    """`tiles` tiles of five channels, and their index."""
    images = np.lib.format.open_memmap(
        folder / "tiles.npy", mode="w+", dtype=np.uint16, shape=(tiles, len(CHANNELS), 112, 112)
    )
    generator = np.random.default_rng(0)
    block = generator.integers(200, 4000, (min(tiles, 256), *images.shape[1:]), dtype=np.uint16)
    for start in range(0, tiles, 256):
        images[start : start + 256] = block[: min(256, tiles - start)]
    images.flush()
    numbers = np.arange(tiles)
    index = pd.DataFrame(
        dict(
            zip(
                CELL_KEYS,
                ("P", np.char.add("W", (numbers // 500).astype(str)), "1", (numbers % 500 + 1).astype(np.int32)),
                strict=True,
            )
        )
    )
    index["row"] = numbers
    return Plate(np.load(folder / "tiles.npy", mmap_mode="r"), index)


def rate(work: Callable[[], Any], tiles: int, repeats: int, device: str) -> float:
    """Median tiles/s over the repeats, after one warm-up."""
    times = []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        work()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return tiles / statistics.median(times[1:])


def measure(encoder: Encoder, plate: Plate, batch: int, channels: list[str], repeats: int, device: str) -> dict:
    """Tiles/s of the run, of the encoder alone and of reading alone."""
    cells = plate.index.sample(frac=0.5, random_state=0)
    positions = [plate.channels.index(channel) for channel in channels]
    held = torch.from_numpy(np.array(plate.images[:batch][:, positions]))

    def alone() -> None:
        encoder.embed(held, channels).cpu()

    run = rate(lambda: embed_plate(encoder, plate, cells, channels, batch), len(cells), repeats, device)
    reader = Nothing(device)
    read = rate(lambda: embed_plate(reader, plate, cells, channels, batch), len(cells), repeats, device)
    bound = rate(alone, len(held), repeats, device)
    return {"tiles": len(cells), "batch": batch, "run": run, "encoder": bound, "read": read, "share": run / bound}


def main() -> None:
    """Print one line per encoder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--encoders", default="", help=f"of {', '.join(ENCODERS)}")
    parser.add_argument("--tiles", type=int, default=0, help="tiles on the plate; half of them are embedded")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    device = resolve_device(args.device)
    names = args.encoders.split(",") if args.encoders else ["campfire_demo", "features"] if args.quick else [*ENCODERS]
    tiles = args.tiles or (512 if args.quick else 65_536 if device == "cuda" else 2_048)
    machine = torch.cuda.get_device_name() if device == "cuda" else f"{platform.machine()}, {os.cpu_count()} cores"
    print(f"{machine}, torch {torch.__version__}, {torch.get_num_threads()} threads, 3 of 5 channels, {tiles} tiles")
    print(f"{'encoder':20s} {'batch':>6s} {'run':>9s} {'encoder':>9s} {'read':>9s}  tiles/s  {'share':>6s}")
    results: dict[str, Any] = {"machine": machine, "torch": torch.__version__}
    with tempfile.TemporaryDirectory() as folder:
        plate = write_plate(Path(folder), tiles)
        for name in names:
            spec, batch = ENCODERS[name]
            few = ON_CPU.get(name) if device == "cpu" else None
            part = Plate(plate.images, plate.index.iloc[:few])
            encoder = load({**spec, "name": name}, device)
            found = measure(encoder, part, min(batch, len(part.index) // 2), CHANNELS[:3], 1 if few else 3, device)
            results[name] = found
            rates = " ".join(f"{found[key]:9.1f}" for key in ("run", "encoder", "read"))
            print(f"{name:20s} {found['batch']:6d} {rates}           {found['share']:6.2f}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
