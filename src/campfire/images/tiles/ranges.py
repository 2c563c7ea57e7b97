"""Intensity ranges by which tiles are stored as uint8."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.core.errors import ConfigError
from campfire.images.illumination import to_uint16
from campfire.images.sites import Function, iterate_sites

log = logging.getLogger(__name__)


def check_ranges(ranges: dict[str, Any], channels: list[str]) -> dict[str, tuple[float, float]]:
    """Ranges of `channels` as (low, high) counts; ConfigError when one is missing or not increasing."""
    checked = {}
    for channel in channels:
        if channel not in ranges:
            raise ConfigError(f"tiles.ranges has no range for channel {channel}")
        low, high = (float(value) for value in ranges[channel])
        if not low < high:
            raise ConfigError(f"tiles.ranges: {channel} goes from {low} to {high}; the second must be larger")
        checked[channel] = (low, high)
    return checked


def sample_ranges(
    folder: str | Path,
    sites: pd.DataFrame,
    channels: list[str],
    functions: dict[str, Function] | None = None,
    n_sites: int = 24,
    quantiles: tuple[float, float] = (0.001, 0.9995),
) -> dict[str, tuple[float, float]]:
    """Each channel's range (low, high) in counts, from `n_sites` fields spread evenly over the plate.

    The quantiles are those of all pixels of these fields together. Only these fields are read a second time, so that
    tiles can be written as uint8 in one pass.
    """
    chosen = sites.iloc[np.unique(np.linspace(0, len(sites) - 1, min(n_sites, len(sites))).round().astype(int))]
    counts = {channel: np.zeros(65536, dtype=np.int64) for channel in channels}
    for site in iterate_sites(folder, chosen, channels, functions):
        for channel in channels:
            values = site.images[channel] if functions is None else to_uint16(site.images[channel])
            counts[channel] += np.bincount(values.ravel(), minlength=65536)
    ranges = {}
    for channel in channels:
        cumulative = np.cumsum(counts[channel])
        low, high = (float(np.searchsorted(cumulative, quantile * cumulative[-1])) for quantile in quantiles)
        ranges[channel] = (low, max(high, low + 1))
        log.info("uint8 range of %s: %.0f to %.0f counts, from %d sites", channel, *ranges[channel], len(chosen))
    return ranges


def to_uint8(tiles: NDArray[Any], ranges: dict[str, tuple[float, float]], channels: list[str]) -> NDArray[np.uint8]:
    """(N, C, H, W) counts to uint8: low becomes 0, high 255, linear between, clipped beyond, rounded to nearest."""
    out = np.empty(tiles.shape, dtype=np.uint8)
    for c, channel in enumerate(channels):
        low, high = ranges[channel]
        scaled = (tiles[:, c].astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low))
        out[:, c] = np.clip(np.rint(scaled), 0, 255)
    return out


def to_counts(tiles: NDArray[np.uint8], ranges: dict[str, tuple[float, float]], channels: list[str]) -> NDArray[Any]:
    """The counts that uint8 tiles (..., C, H, W) stand for, float32; off by at most half a step inside the range."""
    low = np.array([ranges[channel][0] for channel in channels], dtype=np.float32)
    high = np.array([ranges[channel][1] for channel in channels], dtype=np.float32)
    return tiles.astype(np.float32) * ((high - low) / 255)[:, None, None] + low[:, None, None]
