"""Classical features as an encoder: the baseline without deep learning."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from torch import Tensor

from campfire.core.errors import ConfigError
from campfire.core.processes import main_hidden
from campfire.encoders.cell_features import FAMILIES, measure_rows, measure_tile

AT_ONCE = 8
"""Tiles that a process measures together."""


class FeatureEncoder:
    """CellProfiler-style measurements per tile (cp_measure), on the CPU, in `workers` processes.

    About 50 ms per tile and channel on one core with all families. Features differ in scale by orders of magnitude:
    standardise them (or sphere on the negative controls) before a probe.
    """

    device = "cpu"
    normalisation = "counts"

    def __init__(self, name: str = "features", families: Sequence[str] | None = None, workers: int = 1) -> None:
        chosen = FAMILIES if families is None else tuple(families)
        unknown = [family for family in chosen if family not in FAMILIES]
        if unknown or not chosen:
            raise ConfigError(f"encoder {name}: families {unknown or 'empty'}; choose from {', '.join(FAMILIES)}")
        self.name = name
        self.families = tuple(family for family in FAMILIES if family in chosen)
        self.workers = workers
        self.digest = hashlib.sha256(f"cp_measure {_version()} {self.families}".encode()).hexdigest()
        self._names: dict[tuple[str, ...], list[str]] = {}
        self._pool: ProcessPoolExecutor | None = None

    def names(self, channels: Sequence[str]) -> list[str]:
        """Names of the features of these channels, in the embedding's order."""
        key = tuple(channels)
        if key not in self._names:
            # What a textured tile yields; a measurement that fails on an odd tile must not change the order.
            probe = np.random.default_rng(0).integers(0, 4000, (len(key), 48, 48), dtype=np.uint16)
            self._names[key] = list(measure_tile(probe, key, self.families))
            if not self._names[key]:
                raise ConfigError(
                    f"encoder {self.name}: the families {', '.join(self.families)} give no features for the channels "
                    f"{', '.join(key)}; shape needs DNA, correlation two channels"
                )
        return self._names[key]

    def dim(self, channels: Sequence[str]) -> int:
        """Number of features of these channels."""
        return len(self.names(channels))

    def embed(self, images: Tensor, channels: Sequence[str], statistics: tuple[Any, ...] | None = None) -> Tensor:
        """See `Encoder.embed`; `statistics` are not used. Tiles are 16-bit counts, of any type but uint8."""
        names = self.names(channels)
        scale = 255.0 if images.dtype == torch.uint8 else 65535.0
        measure = partial(measure_rows, channels=tuple(channels), families=self.families, scale=scale, names=names)
        tiles = images.cpu().numpy()
        blocks = [tiles[start : start + AT_ONCE] for start in range(0, len(tiles), AT_ONCE)]
        if self.workers > 1:
            if self._pool is None:
                # Not forked: fork would copy torch's running threads.
                self._pool = ProcessPoolExecutor(self.workers, mp_context=get_context("spawn"))
            with main_hidden():
                waiting = self._pool.map(measure, blocks)
            rows = list(waiting)
        else:
            rows = [measure(block) for block in blocks]
        return torch.from_numpy(np.concatenate(rows)) if rows else torch.empty(0, len(names))


def _version() -> str:
    from importlib.metadata import version

    return version("cp_measure")
