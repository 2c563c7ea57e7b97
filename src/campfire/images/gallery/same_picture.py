"""Detection of the same picture at two positions of a plate: copies, or one file named for two channels or sites."""

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Place = tuple[str, str, str]
"""Well, site and channel."""


def picture_digest(pixels: NDArray[np.uint16]) -> str:
    """Digest of the pixels and shape of an image, independent of its file; "" for a blank image, which may recur."""
    if pixels.size == 0 or int(pixels.min()) == int(pixels.max()):
        return ""
    digest = hashlib.blake2b(str(pixels.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def positions_of_copies(pictures: Iterable[tuple[Place, str]]) -> dict[Place, Place]:
    """Map each position with the same picture (or key) as another to one of those others.

    `pictures` holds positions with their digest or key; "" equals no other.
    """
    places: dict[str, list[Place]] = {}
    for place, digest in pictures:
        if digest:
            places.setdefault(digest, []).append(place)
    shared = [found for found in places.values() if len(set(found)) > 1]
    return {place: next(other for other in found if other != place) for found in shared for place in found}


def describe(place: Place) -> str:
    """A position as text."""
    well, site, channel = place
    return f"well {well}, site {site}, {channel}"
