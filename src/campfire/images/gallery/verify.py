"""Verification of downloaded objects: each must decode to the image or illumination function that later steps need."""

import io
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from campfire.images.gallery.same_picture import picture_digest
from campfire.images.reader import ImageError, Picture, decode_image

ZERO_ROWS = 0.1
"""Share of an image's height: a longer run of all-zero rows in an uncompressed file is missing data."""


class BadObjectError(Exception):
    """The bytes are not a valid object; the message is the reason in the download table."""


@dataclass(frozen=True)
class Checked:
    """Facts about a verified object: its shape (H, W) in px, stored type, and the digest of its picture."""

    shape: tuple[int, int]
    dtype: str = ""
    picture: str = ""
    """See `same_picture.picture_digest`; "" for illumination functions."""


def check_image(body: bytes) -> Checked:
    """Decode an image fully, as nuclei and tiles will (`images.reader`).

    Raises BadObjectError for anything but one 2-D image of counts, and for a constant image or rows filled with zeros
    (known from the gallery: objects of normal size, partly zeros). Compressed and uncompressed files both count.
    """
    if not body.strip(b"\0"):
        raise BadObjectError(f"zero-filled: all {len(body)} bytes are 0")
    picture = _decoded(body)
    image = picture.pixels
    low, high = int(image.min()), int(image.max())
    if low == high:
        raise BadObjectError(f"constant image: every pixel is {low}")
    if picture.compression == "NONE" and low == 0 and _longest_zero_rows(image) > ZERO_ROWS * image.shape[0]:
        raise BadObjectError(f"zero-filled: {_longest_zero_rows(image)} of {image.shape[0]} rows in a run are 0")
    return Checked((int(image.shape[0]), int(image.shape[1])), picture.dtype, picture_digest(image))


def _decoded(body: bytes) -> Picture:
    try:
        return decode_image(body)
    except ImageError as error:
        raise BadObjectError(error.what) from error


def check_function(body: bytes) -> Checked:
    """Load an illumination function (.npy, never pickled); its values must be finite and above 0.

    Raises BadObjectError otherwise.
    """
    try:
        function = np.load(io.BytesIO(body), allow_pickle=False)
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise BadObjectError(f"not a readable .npy array ({_line(error)})") from error
    if not isinstance(function, np.ndarray) or function.ndim != 2 or function.dtype.kind != "f":
        raise BadObjectError(
            f"not a 2-D array of floats ({_shape(function)} {getattr(function, 'dtype', type(function))})"
        )
    if not (np.isfinite(function).all() and function.min() > 0):
        raise BadObjectError("has values that are not finite and above 0; images cannot be divided by them")
    return Checked((int(function.shape[0]), int(function.shape[1])))


def describe_image(body: bytes) -> dict[str, str]:
    """Shape, dtype and compression of an image as text, for the preflight; raises BadObjectError when unreadable."""
    picture = _decoded(body)
    return {"shape": _shape(picture.pixels), "dtype": picture.dtype, "compression": picture.compression}


def _longest_zero_rows(image: NDArray[Any]) -> int:
    """Length of the longest run of rows of zeros."""
    empty = np.concatenate([[False], ~image.any(axis=1), [False]])
    edges = np.flatnonzero(empty[1:] != empty[:-1])
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _shape(array: object) -> str:
    return "x".join(str(size) for size in getattr(array, "shape", ()))


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
