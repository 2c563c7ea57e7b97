"""Size and reading speed of ways to store tiles without loss, and of uint8, on tiles of one field.

    python bench/codecs_of_tiles.py [--quick] [--field FOLDER] [--json FILE]

Tiles (five channels of 112 px) are cut around the nuclei of the real JUMP field where the reference data lies beside
the checkout, else of a simulated one. Each tile is encoded by itself, as random access needs; reading decodes single
tiles in random order into a batch's memory, on one thread, from memory: no disk takes part. The first row is the store
as it is.
"""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from scaling import PIXEL_SIZE_UM, field_files, field_parser, write_json
from tiles import machine

from campfire.images.nuclei import NucleiOptions, measure, segment
from campfire.images.reader import read_image

Tile = NDArray[Any]
SIDE = 112
PAPER_BYTES = 6.89e12
"""Tile bytes of the paper's run in uint16 (docs/scale.md)."""


def shuffled(encode: Callable[[bytes], bytes]) -> Callable[[Tile], bytes]:
    """Encoder of horizontal differences whose bits are sorted by significance first."""
    return lambda tile: encode(imagecodecs.bitshuffle_encode(imagecodecs.delta_encode(tile, axis=-1)).tobytes())


def unshuffled(decode: Callable[[bytes], bytes]) -> Callable[[bytes, tuple[int, ...]], Tile]:
    """Decoder of `shuffled`."""

    def tile(data: bytes, shape: tuple[int, ...]) -> Tile:
        flat = np.frombuffer(decode(data), np.uint16).reshape(shape)
        decoded: Tile = imagecodecs.delta_decode(imagecodecs.bitshuffle_decode(flat), axis=-1)
        return decoded

    return tile


def by_channel(
    encode: Callable[[Tile], bytes], decode: Callable[[bytes], Tile]
) -> tuple[Callable[[Tile], list[bytes]], Callable[[list[bytes], tuple[int, ...]], Tile]]:
    """An image codec applied to each channel."""
    return (
        lambda tile: [bytes(encode(np.ascontiguousarray(channel))) for channel in tile],
        lambda parts, shape: np.stack([decode(part) for part in parts]),
    )


def codecs() -> dict[str, tuple[Callable[[Tile], Any], Callable[[Any, tuple[int, ...]], Tile]]]:
    """Encoder and decoder of each way."""

    def plain(tile: Tile) -> Tile:
        return tile.copy()

    def blosc(name: str, level: int) -> tuple[Callable[[Tile], bytes], Callable[[bytes, tuple[int, ...]], Tile]]:
        return (
            lambda tile: bytes(
                imagecodecs.blosc2_encode(tile, level=level, compressor=name, shuffle=2, typesize=2, numthreads=1)
            ),
            lambda data, shape: np.frombuffer(imagecodecs.blosc2_decode(data, numthreads=1), np.uint16).reshape(shape),
        )

    return {
        "uint16 (default)": (plain, lambda data, shape: data),
        "uint8 (tiles.dtype)": (lambda tile: (tile >> 8).astype(np.uint8), lambda data, shape: data),
        "LZ4, differences, bits sorted": (
            shuffled(lambda data: bytes(imagecodecs.lz4_encode(data))),
            unshuffled(lambda data: bytes(imagecodecs.lz4_decode(data, out=2 << 20))),
        ),
        "Zstandard 1, differences, bits sorted": (
            shuffled(lambda data: bytes(imagecodecs.zstd_encode(data, level=1))),
            unshuffled(lambda data: bytes(imagecodecs.zstd_decode(data))),
        ),
        "Blosc2 LZ4, bits sorted": blosc("lz4", 1),
        "Blosc2 Zstandard 1, bits sorted": blosc("zstd", 1),
        "JPEG-LS": by_channel(imagecodecs.jpegls_encode, imagecodecs.jpegls_decode),
        "JPEG XL, effort 1": by_channel(
            lambda image: bytes(imagecodecs.jpegxl_encode(image, lossless=True, effort=1, numthreads=1)),
            lambda data: imagecodecs.jpegxl_decode(data, numthreads=1),
        ),
    }


def field_tiles(files: list[Path], most: int) -> Tile:
    """Tiles (N, C, 112, 112) around the field's nuclei."""
    field = np.stack([read_image(file) for file in files])
    nuclei = measure(segment(field[0], PIXEL_SIZE_UM), field[0], PIXEL_SIZE_UM, NucleiOptions())
    half, tiles = SIDE // 2, []
    for y, x in nuclei[["y", "x"]].round().astype(int).to_numpy():
        if half <= y <= field.shape[1] - half and half <= x <= field.shape[2] - half:
            tiles.append(field[:, y - half : y + half, x - half : x + half])
    return np.stack(tiles[:most])


def measure_codecs(files: list[Path], seconds: float = 1.5) -> list[dict[str, Any]]:
    """One row per way: bytes relative to uint16, tiles read per processor second."""
    tiles = field_tiles(files, 60)
    rows = []
    for name, (encode, decode) in codecs().items():
        began = time.process_time()
        stored = [encode(tile) for tile in tiles]
        writing = len(tiles) / max(time.process_time() - began, 1e-9)
        size = sum(sum(map(len, item)) if isinstance(item, list) else memoryview(item).nbytes for item in stored)
        if "uint8" not in name:
            for tile, item in zip(tiles, stored, strict=True):
                assert np.array_equal(decode(item, tile.shape), tile), name
        batch = np.ones((64, *tiles.shape[1:]), np.uint8 if "uint8" in name else np.uint16)
        order, count = np.random.default_rng(0).permutation(len(tiles)).tolist(), 0
        began = time.process_time()
        while time.process_time() - began < seconds:
            for row in order:
                np.copyto(batch[count % 64], decode(stored[row], tiles.shape[1:]))
                count += 1
        rate = count / (time.process_time() - began)
        share = size / tiles.nbytes
        rows.append({"store": name, "share": share, "paper_tb": share * PAPER_BYTES / 1e12})
        rows[-1] |= {"tiles_per_cpu_s": rate, "encoded_per_cpu_s": writing}
    return rows


def main() -> None:
    arguments = field_parser(__doc__, "short turns").parse_args()
    with tempfile.TemporaryDirectory(prefix="bench_codecs_") as folder:
        rows = measure_codecs(field_files(arguments.field, Path(folder) / "field"), 0.1 if arguments.quick else 1.5)
    print(machine())
    for row in rows:
        print(
            f"{row['store']:40s} {row['share']:.2f} of the bytes, {row['paper_tb']:.1f} TB; reads "
            f"{row['tiles_per_cpu_s']:,.0f} and writes {row['encoded_per_cpu_s']:,.0f} tiles per processor second"
        )
    write_json(arguments.json, rows=rows)


if __name__ == "__main__":
    main()
