"""Generators and seeds from named keys: the same key gives the same draws, whatever was drawn before."""

import zlib

import numpy as np


def _words(key: tuple[int | str, ...]) -> list[int]:
    return [zlib.crc32(part.encode()) if isinstance(part, str) else part & 0xFFFFFFFF for part in key]


def keyed_generator(*key: int | str) -> np.random.Generator:
    """A NumPy generator that depends only on this key, e.g. (seed, plate) or (seed, epoch, rank).

    Text counts by its CRC-32, whole numbers by their lowest 32 bits.
    """
    return np.random.default_rng(_words(key))


def keyed_seed(*key: int | str) -> int:
    """A seed of 64 bits for torch's generators, from a key like that of `keyed_generator`."""
    return int(np.random.SeedSequence(_words(key)).generate_state(1, np.uint64)[0])
