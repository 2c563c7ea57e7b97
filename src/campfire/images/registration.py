"""Checks that the channels of a plate are aligned and that the DNA channel is the nuclear stain.

Tiles from shifted, mirrored or rotated channels, or from two swapped channels, still look plausible. Cells reveal the
error: every stain is brighter where cells are, so the channels of a field correlate best when aligned, and a nuclear
stain fills less of the field than any other stain and lies inside it. Single fields can mislead; the sum over a plate
does not. A mismatch is only a warning, because the user decides on a plate of unusual cells.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from campfire.images.resample import bin_pixels

SIDE = 270
"""Fields are binned to about this many px a side: cells stay visible, and a shift is known to a few px."""
REACH = 24
"""Largest shift searched for, in binned px."""
FEWEST_SITES = 8
"""A plate with fewer sites is not judged."""
MOST_SITES = 24
"""Number of sites of a plate that are checked."""
ORIENTATIONS = (
    *("as it is", "turned by 90 degrees", "turned by 180 degrees", "turned by 270 degrees"),
    *("mirrored at the diagonal", "mirrored top to bottom", "mirrored at the other diagonal", "mirrored left to right"),
)


@dataclass(frozen=True)
class Relation:
    """Alignment of one channel of a site with the DNA channel."""

    surface: NDArray[np.float32]
    """(2 REACH + 1, 2 REACH + 1) correlation by shift of the channel (down, right), in binned px."""
    orientations: NDArray[np.float32]
    """(8,) correlation of the channel's square middle in each of `ORIENTATIONS`."""
    inside: tuple[float, float]
    """Share of the channel's foreground that lies in that of DNA, and its area over that of DNA."""
    bin_px: int
    """Pixels of the field per binned pixel."""


def choose_sites(count: int) -> NDArray[np.int64]:
    """Positions of the sites to check, spread evenly over a plate of `count` sites."""
    return np.unique(np.linspace(0, count - 1, min(count, MOST_SITES)).round().astype(np.int64))


def relate(images: Mapping[str, NDArray[Any]], dna_channel: str) -> dict[str, Relation]:
    """Each other channel of a site against DNA. images: channel to (H, W), at least 32 px a side."""
    dna = images[dna_channel]
    size = max(1, round(min(dna.shape) / SIDE))
    if min(dna.shape) // size < 2 * REACH + 1:
        return {}
    binned = {channel: bin_pixels(image, size, size) for channel, image in images.items()}
    reference, nuclei = _texture(binned[dna_channel]), _foreground(binned[dna_channel])
    found = {}
    for channel, image in binned.items():
        if channel != dna_channel:
            texture, foreground = _texture(image), _foreground(image)
            shared = float((foreground & nuclei).sum() / max(foreground.sum(), 1))
            inside = (shared, float(foreground.sum() / max(nuclei.sum(), 1)))
            found[channel] = Relation(_shifts(reference, texture), _turns(reference, texture), inside, size)
    return found


def _texture(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log brightness against its surroundings, faded out at the edges, of norm 1."""
    from scipy.ndimage import gaussian_filter

    low, high = np.quantile(image, (0.02, 0.99))
    if not high > low:
        return np.zeros_like(image)
    bright = np.log(np.maximum(image - low, 0) + 0.1 * (high - low))
    bright = bright - gaussian_filter(bright, 12)
    window = np.outer(np.hanning(image.shape[0]), np.hanning(image.shape[1]))
    faded = (bright - bright.mean()) * window
    return np.asarray(faded / max(float(np.linalg.norm(faded)), 1e-9), dtype=np.float32)


def _foreground(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    from scipy.ndimage import gaussian_filter
    from skimage.filters import threshold_otsu

    smooth = gaussian_filter(image, 1)
    capped = np.minimum(smooth, np.quantile(smooth, 0.99))
    empty = not capped.max() > capped.min()
    return np.zeros(image.shape, bool) if empty else np.asarray(smooth > threshold_otsu(capped))


def _shifts(reference: NDArray[np.float32], texture: NDArray[np.float32]) -> NDArray[np.float32]:
    from scipy.fft import irfft2, rfft2

    correlation = irfft2(np.conj(rfft2(reference)) * rfft2(texture), s=reference.shape)
    around = np.arange(-REACH, REACH + 1)
    return np.asarray(correlation[around[:, None], around[None, :]], dtype=np.float32)


def _turns(reference: NDArray[np.float32], texture: NDArray[np.float32]) -> NDArray[np.float32]:
    side = min(reference.shape)
    top, left = (reference.shape[0] - side) // 2, (reference.shape[1] - side) // 2
    middle, other = (part[top : top + side, left : left + side] for part in (reference, texture))
    return np.array([(middle * np.rot90(each, k)).sum() for each in (other, other.T) for k in range(4)], np.float32)


def judge_channels(relations: Sequence[Mapping[str, Relation]], dna_channel: str) -> list[str]:
    """Mismatches, one sentence per channel; empty if there are none, or with fewer than `FEWEST_SITES` sites."""
    relations = [relation for relation in relations if relation]
    if len(relations) < FEWEST_SITES:
        return []
    found = []
    for channel in relations[0]:
        of_channel = [relation[channel] for relation in relations if channel in relation]
        shared, area = np.median([relation.inside for relation in of_channel], axis=0)
        where = f"(over {len(of_channel)} sites)"
        if shared > 0.8 and area < 0.6:
            found.append(
                f"{channel} looks like the nuclear stain and {dna_channel} does not {where}: {channel} fills "
                f"{100 * area:.0f} % of the area of {dna_channel}, inside of it; check the names of the channels"
            )
            continue
        turns = np.sum([relation.orientations for relation in of_channel], axis=0)
        best = int(np.argmax(turns))
        if best and turns[best] > 2 * max(turns[0], 0) and turns[best] > 0.1 * len(of_channel):
            found.append(
                f"{channel} seems {ORIENTATIONS[best]} against {dna_channel} {where}; bring its images upright before "
                "tiles are cut"
            )
            continue
        down, right = _shift([relation.surface for relation in of_channel])
        if max(abs(down), abs(right)) >= 2:
            size = of_channel[0].bin_px
            found.append(
                f"{channel} lies about {_way(down * size, 'down', 'up')} and "
                f"{_way(right * size, 'right', 'left')} of {dna_channel} {where}; "
                "register the channels before tiles are cut"
            )
    return found


def _shift(surfaces: Sequence[NDArray[np.float32]]) -> tuple[int, int]:
    """The shift (down, right) in binned px that the sites agree on; (0, 0) where there is none or they do not.

    A real shift occurs on every site: both halves of the sites must agree within a binned px, and the correlation there
    must be clearly above that without a shift. A stain that is merely unlike DNA peaks anywhere, and at different
    shifts in the two halves.
    """
    peaks = []
    for part in (surfaces, surfaces[::2], surfaces[1::2]):
        surface = np.sum(part, axis=0)
        if not (surface.max() > 1.25 * surface[REACH, REACH] and surface.max() > 0.1 * len(part)):
            return 0, 0
        peaks.append([int(k) - REACH for k in np.unravel_index(np.argmax(surface), surface.shape)])
    apart = np.abs(np.array(peaks[1:]) - peaks[0]).max()
    return (peaks[0][0], peaks[0][1]) if apart <= 1 else (0, 0)


def _way(shift: int, forward: str, back: str) -> str:
    return f"{abs(shift)} px {forward if shift >= 0 else back}"
