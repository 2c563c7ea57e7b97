"""Whether the images of a plate are on one scale, of counts and of length, as their files state it."""

import logging
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from campfire.core.errors import DataError
from campfire.images.reader import Picture

log = logging.getLogger(__name__)

TOLERANCE = 0.01
"""Share by which stated pixel sizes may differ and be the same."""


class Scale(NamedTuple):
    """What an image file states: stored type and used bits, edge of a pixel in um (None: not stated), shape in px."""

    file: str
    dtype: str
    bits: int
    pixel_size_um: float | None
    shape: tuple[int, ...]


def scale_of(picture: Picture, file: str) -> Scale:
    """The scale of a decoded image."""
    shape = tuple(int(n) for n in picture.pixels.shape)
    return Scale(file, picture.dtype, picture.bits, picture.pixel_size_um, shape)


def refuse_mixed_types(scales: Iterable[tuple[str, Scale]], plate: str) -> None:
    """DataError where one channel of a plate has images of 8 and of 16 bits, whose counts do not compare.

    scales: (channel, scale) of every image
    """
    kinds: dict[str, Counter[str]] = {}
    example: dict[tuple[str, str], str] = {}
    for channel, scale in scales:
        kinds.setdefault(channel, Counter())[scale.dtype] += 1
        example.setdefault((channel, scale.dtype), scale.file)
    for channel, counts in kinds.items():
        if len(counts) > 1:
            (usual, many), (other, few) = counts.most_common()[0], counts.most_common()[-1]
            raise DataError(
                f"plate {plate}, channel {channel}: {few} images are {other} and {many} are {usual}, such as "
                f"{example[channel, other]} and {example[channel, usual]}; their counts do not compare: export all "
                "images of a channel alike"
            )


def stated_pixel_size(scales: Iterable[Scale], plate: str) -> float | None:
    """The edge of a pixel in um that the images of a plate state; None where they state none.

    DataError where they differ: nuclei are sized in micrometres, and tiles would be of several magnifications.
    """
    stated = [scale for scale in scales if scale.pixel_size_um]
    if not stated:
        return None
    low = min(stated, key=lambda scale: scale.pixel_size_um or 0)
    high = max(stated, key=lambda scale: scale.pixel_size_um or 0)
    small, large = low.pixel_size_um or 0.0, high.pixel_size_um or 0.0
    if large - small > TOLERANCE * large:
        raise DataError(
            f"plate {plate}: images state pixels of {small:.4g} and of {large:.4g} um, such as {low.file} and "
            f"{high.file}; arrange images of one magnification only"
        )
    return small


def warn_of_other_scales(sizes: dict[str, float | None], kinds: dict[str, set[str]]) -> None:
    """Log a warning where plates differ in pixel size or stored type: their batch effect is then one of scale."""
    stated = {plate: size for plate, size in sizes.items() if size}
    if stated and max(stated.values()) - min(stated.values()) > TOLERANCE * max(stated.values()):
        small, large = min(stated, key=stated.__getitem__), max(stated, key=stated.__getitem__)
        log.warning(
            "plates differ in pixel size: %.4g um on %s, %.4g um on %s; give each magnification a run of its own",
            *(stated[small], small, stated[large], large),
        )
    different = {plate: kind for plate, kind in kinds.items() if kind != next(iter(kinds.values()))}
    if different:
        first, other = next(iter(kinds)), next(iter(different))
        log.warning(
            "plates differ in stored type: %s on %s, %s on %s; their counts do not compare",
            *(", ".join(sorted(kinds[first])), first, ", ".join(sorted(kinds[other])), other),
        )
