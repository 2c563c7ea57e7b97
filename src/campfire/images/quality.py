"""Quality of a site: focus, saturation, background and emptiness, and which sites are left out and why.

The paper is silent on quality control; these are the standard image measures of Bray et al. (2012, J Biomol Screen),
with thresholds as options. Every site that a threshold drops is recorded with its reason.
"""

import logging
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from campfire.images.options import QualityOptions

log = logging.getLogger(__name__)

REASONS = (
    "another size",
    "dead rows",
    "striped",
    "inverted",
    "empty",
    "blurred",
    "saturated",
    "debris",
    "few nuclei",
    "many nuclei",
)
SITE_REASON = "site "
"""Prefix of a nucleus's `reason` when its whole site is left out, e.g. `site blurred`."""


def measure_site(images: Mapping[str, NDArray[Any]], options: QualityOptions | None = None) -> dict[str, Any]:
    """Measures of one site.

    images: channel to (H, W) image in counts, before illumination correction. Returns `focus_<ch>` (power-spectrum
    slope, see `focus`), `maximum_<ch>` (largest count), `saturated_<ch>` (fraction of pixels at full scale; see
    `pile_up` where that is not given), `background_<ch>` (5th percentile, counts), `contrast_<ch>` (brightest 0.1 %
    above the median, in deviations of the pixel noise; inf without noise), `dead_<ch>` and `stripes_<ch>` (see
    `dead_lines`, `stripes`), `height`, `width` (px), `inverted` (the focus channel is dark on bright) and `empty` (no
    signal in the focus channel, or in any channel when that one is not given).
    """
    options = options or QualityOptions()
    row: dict[str, Any] = {}
    inverted: dict[str, bool] = {}
    for channel, image in images.items():
        low, middle, high = quantiles(image, (0.05, 0.5, 0.999))
        noise = noise_deviation(image)
        signal = high - middle
        row[f"focus_{channel}"] = focus(image)
        row[f"maximum_{channel}"] = float(image.max())
        scale = options.saturation_value
        full = pile_up(image) if scale is None else np.count_nonzero(image >= scale)
        row[f"saturated_{channel}"] = float(full / image.size)
        row[f"background_{channel}"] = low
        row[f"dead_{channel}"] = dead_lines(image)
        row[f"stripes_{channel}"] = stripes(image, noise)
        inverted[channel] = middle - low > max(4 * signal, options.empty_contrast * noise)
        row[f"contrast_{channel}"] = signal / noise if noise > 0 else (float("inf") if signal > 0 else 0.0)
    judged = [options.focus_channel] if options.focus_channel in images else list(images)
    row["height"], row["width"] = next(iter(images.values())).shape if images else (0, 0)
    row["inverted"] = any(inverted[channel] for channel in judged if channel == options.focus_channel)
    row["empty"] = all(row[f"contrast_{channel}"] < options.empty_contrast for channel in judged)
    return row


def quantiles(image: NDArray[Any], fractions: tuple[float, ...]) -> list[float]:
    """Quantiles of an image; exact and without sorting for uint16."""
    if image.dtype != np.uint16:
        return [float(value) for value in np.quantile(image, fractions)]
    cumulative = np.cumsum(np.bincount(image.ravel(), minlength=1))
    return [float(np.searchsorted(cumulative, fraction * image.size)) for fraction in fractions]


def dead_lines(image: NDArray[Any]) -> float:
    """Largest share of an image's rows, or of its columns, that are constant or a copy of the line before.

    A failing camera, a transfer cut short and padding after a registration leave such lines; shot noise never does.
    Lines at the image's largest count are saturated, not dead.
    """
    shares, highest = [], image.max()
    for lines in (image, image.T):
        sample = lines[:, :: max(1, lines.shape[1] // 64)]
        constant = (sample == sample[:, :1]).all(axis=1)
        repeated = np.concatenate([[False], (sample[1:] == sample[:-1]).all(axis=1)])
        full = (sample == highest).all(axis=1)
        shares.append(float(((constant | repeated) & ~full).mean()))
    return max(shares)


def stripes(image: NDArray[Any], noise: float) -> float:
    """Scatter of the medians of neighbouring rows, or columns, in deviations of the pixel noise; about 0.3 in JUMP."""
    scatter = 0.0
    for lines in (image, image.T):
        middle = np.median(lines[:, :: max(1, lines.shape[1] // 64)], axis=1)
        second = np.abs(middle[2:] - 2 * middle[1:-1] + middle[:-2])
        scatter = max(scatter, float(1.4826 * np.median(second) / np.sqrt(6)))
    # Images of few bits have no noise smaller than their step.
    return scatter / max(noise, 1.0)


FEWEST_SATURATED = 16
"""Fewest pixels at the largest count that can be a camera's full scale; a nucleus's brightest point is one or two."""


def pile_up(image: NDArray[Any]) -> int:
    """Number of pixels at the image's largest count where they pile up there, as those of a full camera do; else 0.

    They pile up when there are `FEWEST_SATURATED` of them, three times as many as at the next smaller count that
    occurs, and when they are not most of the image.
    """
    highest = image.max()
    at_top = int(np.count_nonzero(image == highest))
    if not FEWEST_SATURATED <= at_top <= image.size // 2:
        return 0
    below = image[image < highest].max()
    return at_top if at_top >= 3 * np.count_nonzero(image == below) else 0


def settle_saturation(
    table: pd.DataFrame, options: QualityOptions | None = None
) -> tuple[pd.DataFrame, dict[str, int]]:
    """The measures of a plate's sites with saturation by one full scale per channel, and the bits that each uses.

    A camera's full scale is the same on every site of a plate: a pile-up below the plate's largest count is not
    saturation. Bits are those of the largest count, rounded up to a camera's (8, 10, 12, 14 or 16).
    """
    options = options or QualityOptions()
    bits: dict[str, int] = {}
    changed: dict[str, Any] = {}
    for column in (str(name) for name in table.columns if str(name).startswith("maximum_")):
        channel, highest = column.removeprefix("maximum_"), float(table[column].max())
        bits[channel] = next((n for n in (8, 10, 12, 14) if highest < 2**n), 16)
        if options.saturation_value is None:
            changed[f"saturated_{channel}"] = table[f"saturated_{channel}"].where(table[column] == highest, 0.0)
    return table.assign(**changed), bits


def describe_depth(table: pd.DataFrame, bits: Mapping[str, int]) -> str:
    """One line: the bits that each channel uses, its largest count, and the sites in which it saturates."""
    parts = []
    for channel, used in bits.items():
        sites = int((table[f"saturated_{channel}"] > 0).sum())
        full = f", full scale in {sites} of {len(table)} sites" if sites else ""
        parts.append(f"{channel} {used} bits (largest count {table[f'maximum_{channel}'].max():.0f}{full})")
    return "; ".join(parts)


def noise_deviation(image: NDArray[Any]) -> float:
    """Standard deviation of the pixel noise, from the median absolute second difference along the rows.

    Every fourth row is used. A second difference of white noise has sqrt(6) times its deviation; smooth structure
    and gradients cancel.
    """
    rows = image[::4].astype(np.float32)
    second = rows[:, 2:] - 2 * rows[:, 1:-1] + rows[:, :-2]
    return float(1.4826 * np.median(np.abs(second)) / np.sqrt(6))


def focus(image: NDArray[Any], block: int = 256) -> float:
    """Slope of log power against log spatial frequency; blur removes high frequencies and makes it more negative.

    The power is averaged over Hann-windowed blocks that cover the image (Welch's method) and over rings of equal
    frequency, and the line is fitted over rings of equal width in log frequency from 2 cycles per block to 0.35
    cycles per pixel. Images smaller than `block` use one block of their shorter side. nan for a constant image.
    """
    from scipy.fft import rfft2

    size = min(block, *image.shape)
    blocks = _blocks(image, size).astype(np.float32)
    blocks -= blocks.mean(axis=(1, 2), keepdims=True)
    window, ring, frequencies, counts = _rings(size)
    blocks *= window
    spectrum = rfft2(blocks, axes=(1, 2))
    power = (spectrum.real**2 + spectrum.imag**2).mean(axis=0)
    means = np.bincount(ring.ravel(), weights=power.ravel(), minlength=len(counts) + 1)[1:] / counts
    if not (means > 0).all():
        return float("nan")
    return float(np.polyfit(frequencies, np.log(means), 1)[0])


def _blocks(image: NDArray[Any], size: int) -> NDArray[Any]:
    """(B, size, size) blocks of `image` on a grid that is centred and does not overlap."""
    rows, columns = image.shape[0] // size, image.shape[1] // size
    top, left = (image.shape[0] - rows * size) // 2, (image.shape[1] - columns * size) // 2
    grid = image[top : top + rows * size, left : left + columns * size]
    return grid.reshape(rows, size, columns, size).swapaxes(1, 2).reshape(-1, size, size)


@lru_cache(maxsize=8)
def _rings(size: int) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """The 2-D Hann window, the ring of every frequency (0 is unused), the rings' log frequency and their sizes."""
    hann = np.hanning(size).astype(np.float32)
    radius = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    edges = np.geomspace(2 / size, 0.35, 13)
    ring = np.digitize(radius, edges)
    ring[ring == len(edges)] = 0
    counts = np.bincount(ring.ravel(), minlength=len(edges))[1:]
    used = np.flatnonzero(counts) + 1
    renumber = np.zeros(len(edges), dtype=np.int64)
    renumber[used] = np.arange(1, len(used) + 1)
    log_radius = np.log(np.where(radius > 0, radius, 1.0))
    sums = np.bincount(ring.ravel(), weights=log_radius.ravel(), minlength=len(edges))[1:]
    counts_used = counts[used - 1]
    return np.outer(hann, hann), renumber[ring], sums[used - 1] / counts_used, counts_used


def judge_sites(table: pd.DataFrame, options: QualityOptions | None = None) -> pd.DataFrame:
    """Adds `kept` and `reason` (empty when kept) to the measures of all sites of one plate.

    table: one row per site with the columns of `measure_site`, `nuclei` and, where known, `debris_area`. The first of
    `REASONS` that applies is given. The plate's own spread decides on blur, so that a threshold holds across
    microscopes.
    """
    options = options or QualityOptions()
    reason = pd.Series("", index=table.index, dtype=object)

    def mark(bad: Any, text: str) -> None:
        reason[(reason == "") & np.asarray(bad, dtype=bool)] = text

    for bad, text in _camera_faults(table, options):
        mark(bad, text)
    mark(table["empty"], "empty")
    focus_column = f"focus_{options.focus_channel}"
    if focus_column in table:
        slope = table[focus_column].to_numpy(dtype=float)
        if options.focus_min is not None:
            mark(~(slope >= options.focus_min), "blurred")
        usable = slope[(reason == "").to_numpy() & np.isfinite(slope)]
        if options.focus_deviations is not None and len(usable) >= 16:
            middle = np.median(usable)
            # A plate of near-identical sites would have no spread; slopes within 0.05 count as equal.
            spread = max(1.4826 * float(np.median(np.abs(usable - middle))), 0.05)
            mark(slope < middle - options.focus_deviations * spread, "blurred")
    if options.saturated_max is not None:
        columns = [name for name in table.columns if str(name).startswith("saturated_")]
        mark((table[columns] > options.saturated_max).any(axis=1), "saturated")
    if options.debris_max is not None and "debris_area" in table:
        mark(table["debris_area"] > options.debris_max, "debris")
    if options.nuclei_min is not None:
        mark(table["nuclei"] < options.nuclei_min, "few nuclei")
    if options.nuclei_max is not None:
        mark(table["nuclei"] > options.nuclei_max, "many nuclei")
    return table.assign(kept=reason == "", reason=reason)


def _camera_faults(table: pd.DataFrame, options: QualityOptions) -> Iterator[tuple[Any, str]]:
    """Which sites fail each technical criterion, reason by reason; only for the measures present."""
    if "height" in table:
        size = table["height"].astype(int).astype(str) + "x" + table["width"].astype(int).astype(str)
        yield size != size.mode()[0], "another size"
    for prefix, limit, text in (("dead_", options.dead_max, "dead rows"), ("stripes_", options.stripes_max, "striped")):
        columns = [name for name in table.columns if str(name).startswith(prefix)]
        if limit is not None and columns:
            yield (table[columns] > limit).any(axis=1), text
    if "inverted" in table:
        yield table["inverted"], "inverted"


def summarise(table: pd.DataFrame) -> str:
    """One line: how many sites are kept, and how many are left out for which reason."""
    dropped = table.loc[~table["kept"], "reason"].value_counts()
    parts = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
    return f"{int(table['kept'].sum())} of {len(table)} sites kept" + (f" ({parts} left out)" if parts else "")
