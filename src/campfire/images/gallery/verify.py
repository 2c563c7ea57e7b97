"""What makes a downloaded object count: it decodes to the one kind of image, or function, that later steps expect."""

import io
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

ZERO_ROWS = 0.1
"""Share of an image's height: a longer run of all-zero rows in an uncompressed file is a hole, not a picture."""


class BadObjectError(Exception):
    """The bytes are not what they should be; the message is the reason in the download table."""


def check_image(body: bytes) -> tuple[int, int]:
    """Decode a TIFF of one 2-D uint16 image fully and return its shape (H, W) in px.

    Raises BadObjectError for anything else: not a TIFF, cut short, damaged compression, another dtype, a stack,
    a constant image, or rows filled with zeros (known from the gallery: objects of normal size, partly zeros).
    Compressed and uncompressed files both count.
    """
    import tifffile

    if not body.strip(b"\0"):
        raise BadObjectError(f"zero-filled: all {len(body)} bytes are 0")
    try:
        with tifffile.TiffFile(io.BytesIO(body)) as handle:
            pages = len(handle.pages)
            page = handle.pages.first
            offsets, counts, compressed = page.dataoffsets, page.databytecounts, page.compression != 1
            if any(start + count > len(body) or count == 0 for start, count in zip(offsets, counts, strict=True)):
                raise BadObjectError("damaged TIFF: its pixel data lie beyond its end")
            image = page.asarray()
    except BadObjectError:
        raise
    except Exception as error:  # damaged bytes can raise nearly anything inside a decoder
        raise BadObjectError(f"not a readable TIFF ({_line(error)})") from error
    if pages != 1 or image.ndim != 2:
        raise BadObjectError(f"not one 2-D image ({pages} pages of shape {_shape(image)})")
    if image.dtype != np.uint16:
        raise BadObjectError(f"pixels are {image.dtype}, not uint16")
    low, high = int(image.min()), int(image.max())
    if low == high:
        raise BadObjectError(f"constant image: every pixel is {low}")
    if not compressed and low == 0 and _longest_zero_rows(image) > ZERO_ROWS * image.shape[0]:
        raise BadObjectError(f"zero-filled: {_longest_zero_rows(image)} of {image.shape[0]} rows in a run are 0")
    return int(image.shape[0]), int(image.shape[1])


def check_function(body: bytes) -> tuple[int, int]:
    """Load an illumination function (.npy, never pickled) and return its shape (H, W); its values must be above 0.

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
        raise BadObjectError("holds values that are not finite and above 0; images cannot be divided by them")
    return int(function.shape[0]), int(function.shape[1])


def describe_image(body: bytes) -> dict[str, str]:
    """Shape, dtype and compression of a TIFF as text, for the preflight; raises BadObjectError when unreadable."""
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(body)) as handle:
            page = handle.pages.first
            compression = getattr(page.compression, "name", str(page.compression))
            return {"shape": _shape(page), "dtype": str(page.dtype), "compression": compression}
    except Exception as error:  # as above
        raise BadObjectError(f"not a readable TIFF ({_line(error)})") from error


def _longest_zero_rows(image: NDArray[Any]) -> int:
    """Length of the longest run of rows that are 0 throughout."""
    empty = np.concatenate([[False], ~image.any(axis=1), [False]])
    edges = np.flatnonzero(empty[1:] != empty[:-1])
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _shape(array: object) -> str:
    return "x".join(str(size) for size in getattr(array, "shape", ()))


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
