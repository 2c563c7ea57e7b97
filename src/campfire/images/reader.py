"""The one reader of image files: converts a TIFF or PNG of one plane to counts as its tags say, or refuses it by name.

Arranging, preflight, download, nuclei and tiles all read through `decode_image`, so what one step accepts the later
ones accept. Honoured: which end is black (MinIsWhite), orientation, packed bits (10, 12, 14), the bits used (OME
SignificantBits, PNG sBIT), a signed type without negative values, an integer offset (ImageJ's calibration of signed
16-bit images). Pages flagged as previews or pyramid levels are passed over. Refused: stacks, colour, palettes, floats,
32-bit integers, negative counts, scale factors.
"""

import io
import json
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from campfire.core.errors import DataError

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_COLOURS = {2: "a colour image", 3: "a palette image", 4: "grey with transparency", 6: "colour with transparency"}
_ONE_PLANE = "write one 2-D, 8- or 16-bit grey plane per file and channel"


class ImageError(DataError):
    """An image file that is not one plane of counts: `file`, what is wrong, and what to do."""

    def __init__(self, file: str, what: str, remedy: str) -> None:
        super().__init__(f"{file}: {what}; {remedy}")
        self.file, self.what, self.remedy = file, what, remedy


@dataclass(frozen=True)
class Picture:
    """One decoded image file."""

    pixels: NDArray[np.uint16]
    """(H, W) counts: the larger, the brighter."""
    bits: int
    """Bits that a pixel can use, as the file states them; 8 or 16 where it only states its type."""
    plain: bool
    """Whether the file is a TIFF whose stored uint16 numbers are the counts, so that it can be used unchanged."""
    dtype: str
    """The stored type, e.g. uint8."""
    compression: str
    pixel_size_um: float | None = None
    """Edge of a pixel as the file's OME or ImageJ metadata state it; None where they do not."""

    @property
    def full_scale(self) -> int:
        """The largest count that `bits` allow."""
        return int(2**self.bits - 1)


def read_image(path: str | Path) -> NDArray[np.uint16]:
    """One field as (H, W) uint16 counts; a DataError names a file that is not an image of one plane."""
    return decode_image(path).pixels


def decode_image(source: str | Path | bytes, name: str = "") -> Picture:
    """The image in a file, or in the bytes of one (then called `name` in errors).

    Raises ImageError for a file that is missing, damaged, cut short, or not one plane of counts.
    """
    file = name or ("image" if isinstance(source, bytes) else str(source))
    try:
        if isinstance(source, bytes):
            return _decode(io.BytesIO(source), source[:8], file)
        with open(source, "rb") as handle:
            start = handle.read(8)
            handle.seek(0)
            return _decode(handle, start, file)
    except (ImageError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise ImageError(file, "no such image", "run the images step of this plate again") from error
    except OSError as error:
        raise ImageError(file, f"cannot be read ({error.strerror or error})", "make the file readable") from error
    except Exception as error:  # damaged bytes can raise nearly anything inside a decoder
        what = f"not a readable TIFF or PNG ({' '.join(str(error).split()) or type(error).__name__})"
        raise ImageError(file, what, "delete it and run the images step again, or save it anew") from error


def _decode(handle: Any, start: bytes, file: str) -> Picture:
    if start == PNG_SIGNATURE:
        return _decode_png(handle.read(), file)
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _decode_tiff(handle, file)
    if not start.strip(b"\0"):
        raise ImageError(file, "zero-filled or empty: its first bytes are 0", "copy or fetch it again")
    kind = "a JPEG" if start[:2] == b"\xff\xd8" else f"neither TIFF nor PNG (it begins with {start[:4]!r})"
    raise ImageError(file, kind, "save the image as 16-bit TIFF, from the raw data")


def _decode_png(body: bytes, file: str) -> Picture:
    import imagecodecs

    bits, colour = body[24], body[25]
    if colour or bits < 8:
        raise ImageError(file, f"{_PNG_COLOURS.get(colour, 'grey')}, {bits} bits a sample", _ONE_PLANE)
    image: NDArray[Any] = imagecodecs.png_decode(body)
    significant, position = bits, 8
    while position + 8 <= len(body) and (kind := body[position + 4 : position + 8]) not in (b"IDAT", b"IEND"):
        length = int.from_bytes(body[position : position + 4], "big")
        if kind == b"sBIT":
            significant = body[position + 8]
            if zlib.crc32(body[position + 4 : position + 9]) != int.from_bytes(
                body[position + 9 : position + 13], "big"
            ):
                raise ImageError(file, "its sBIT chunk is damaged", "copy or fetch it again")
        position += 12 + length
    if 0 < significant < bits:
        image = _significant(image, significant, bits, file)
    return Picture(image.astype(np.uint16), significant, False, f"uint{bits}", "PNG")


def _significant(image: NDArray[Any], significant: int, bits: int, file: str) -> NDArray[Any]:
    """Counts of `significant` bits from samples scaled to `bits` as PNG requires (W3C PNG, 13.12), or unscaled."""
    spare = bits - significant
    counts = image >> spare
    low = image & (2**spare - 1)
    # Writers fill the spare bits with zeros or with the highest bits again.
    if ((low == 0) | (low == counts >> max(significant - spare, 0))).all():
        return counts
    if int(image.max()) < 2**significant:
        return image
    what = f"states {significant} significant bits (sBIT), but its pixels use all {bits}"
    raise ImageError(file, what, "save the counts anew")


def _decode_tiff(handle: Any, file: str) -> Picture:
    import tifffile

    with tifffile.TiffFile(handle) as tiff:
        # Tags, not tifffile's series: a description may state another shape than the pixels have.
        pages: list[Any] = [page for page in tiff.pages if not int(_tag(page, "NewSubfileType", 0)) & 1]
        page = (pages or list(tiff.pages))[0]
        _refuse_stacks(tiff, page, len(pages), file)
        _refuse_types(page, file)
        if any(
            start + count > tiff.filehandle.size or count == 0
            for start, count in zip(page.dataoffsets, page.databytecounts, strict=True)
        ):
            raise ImageError(file, "damaged TIFF: its pixel data lie beyond its end", "copy or fetch it again")
        # One strip holds a whole Opera Phenix field, so tifffile's own threads cannot help.
        stored: NDArray[Any] = page.asarray(maxworkers=1)
        description = page.description
        bits = _bits(page, description, tiff, stored, file)
        image = _offset(stored, description, page, file)
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
            image = 2**bits - 1 - image.astype(np.int64)
        orientation = int(_tag(page, "Orientation", 1))
        image = _upright(image, orientation, file)
        low, high = (int(image.min()), int(image.max())) if image.dtype.kind == "i" else (0, 0)
        if low < 0 or high > 65535:
            raise ImageError(
                file, f"holds counts from {low} to {high}, outside 0 to 65535", "save it as unsigned 16 bit"
            )
        compression = getattr(page.compression, "name", str(page.compression))
        plain = image is stored and stored.dtype == np.uint16 and page.bitspersample == 16 and len(tiff.pages) == 1
        pixels = image.astype(np.uint16, copy=False)
        return Picture(pixels, bits, plain, str(stored.dtype), compression, _pixel_size(tiff, page))


def _tag(page: Any, name: str, default: Any) -> Any:
    tag = page.tags.get(name)
    return default if tag is None else tag.value


def _refuse_stacks(tiff: Any, page: Any, planes: int, file: str) -> None:
    description = page.description or ""
    stated = re.search(r"^images=(\d+)", description, re.MULTILINE) if tiff.is_imagej else None
    if stated:
        planes = max(planes, int(stated[1]))
    elif description.startswith("{") and '"truncated": true' in description:
        # tifffile's own files of many planes behind one page.
        planes = max(planes, int(np.prod(json.loads(description).get("shape", [1])) // np.prod(page.shape)))
    if planes > 1:
        raise ImageError(file, f"a stack of {planes} planes (z, time or channels)", _ONE_PLANE)
    if page.samplesperpixel != 1:
        raise ImageError(file, f"a colour image of {page.samplesperpixel} samples a pixel", _ONE_PLANE)
    if len(page.shape) != 2:
        raise ImageError(file, f"not one 2-D image: its plane has shape {page.shape}", _ONE_PLANE)


def _refuse_types(page: Any, file: str) -> None:
    photometric = getattr(page.photometric, "name", str(page.photometric))
    if photometric not in ("MINISBLACK", "MINISWHITE"):
        raise ImageError(file, f"pixels are coded as {photometric.lower()}, not as grey counts", _ONE_PLANE)
    if page.dtype is None or page.dtype.kind not in "ui" or page.dtype.itemsize > 2:
        kind = page.dtype or f"of {page.bitspersample} bits"
        raise ImageError(
            file, f"pixels are {kind}, whose scale to camera counts is unknown", "save it as 16-bit counts"
        )
    if page.bitspersample < 8:
        raise ImageError(file, f"pixels have {page.bitspersample} bit(s), as masks do", _ONE_PLANE)


def _bits(page: Any, description: str, tiff: Any, stored: NDArray[Any], file: str) -> int:
    """Bits used as the file states them."""
    bits = int(page.bitspersample)
    if tiff.is_ome and (stated := re.search(r'SignificantBits="(\d+)"', description)):
        if 0 < int(stated[1]) < bits:
            bits = int(stated[1])
        highest = int(stored.max())
        if highest >= 2**bits:
            raise ImageError(
                *(file, f"states SignificantBits {bits}, but has a pixel of {highest}"),
                "correct its OME metadata, or save the counts anew",
            )
    return bits


def _offset(stored: NDArray[Any], description: str, page: Any, file: str) -> NDArray[Any]:
    """Counts from stored numbers where the file states a calibration; refused if it is more than an offset."""
    gdal = str(_tag(page, "GDAL_METADATA", ""))
    stated = {role: float(value) for role, value in re.findall(r'role="(offset|scale)"[^>]*>\s*([-+.\deE]+)', gdal)}
    offset, scale = stated.get("offset", 0.0), stated.get("scale", 1.0)
    if description.startswith("ImageJ="):
        calibration = dict(re.findall(r"^(cf|c0|c1)=(\S+)", description, re.MULTILINE))
        if calibration.get("cf", "0") not in ("0", "20"):
            raise ImageError(
                file, f"states an ImageJ calibration curve (cf={calibration['cf']})", "save it uncalibrated"
            )
        if "c0" in calibration:
            offset, scale = float(calibration["c0"]), float(calibration.get("c1", 1))
    if scale != 1 or offset != int(offset):
        raise ImageError(file, f"states a scale of {scale:g} and an offset of {offset:g}", "save the plain counts")
    return stored if offset == 0 else stored.astype(np.int64) + int(offset)


_MICROMETRES = {"µm": 1.0, "um": 1.0, "micron": 1.0, "\\u00B5m": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6}


def _pixel_size(tiff: Any, page: Any) -> float | None:
    """Micrometres per px of OME (PhysicalSizeX) or ImageJ (unit and XResolution); other writers' dpi mean nothing."""
    description = page.description or ""
    if tiff.is_ome and (size := re.search(r'PhysicalSizeX="([-+.\deE]+)"', description)):
        unit = re.search(r'PhysicalSizeXUnit="([^"]+)"', description)
        factor = _MICROMETRES.get(unit[1] if unit else "µm")
        return float(size[1]) * factor if factor else None
    if tiff.is_imagej and (unit := re.search(r"^unit=(\S+)", description, re.MULTILINE)):
        top, bottom = _tag(page, "XResolution", (0, 1))
        factor = _MICROMETRES.get(unit[1])
        return bottom / top * factor if factor and top else None
    return None


def _upright(image: NDArray[Any], orientation: int, file: str) -> NDArray[Any]:
    """The image as its Orientation tag (TIFF 6.0) says it is seen."""
    if not 1 <= orientation <= 8:
        raise ImageError(file, f"states the unknown orientation {orientation}", "save it with orientation 1")
    if orientation == 1:
        return image
    if orientation >= 5:
        image = image.T
    # Rows run from the bottom for 3, 4, 7, 8 (6 and 7 after transposing: from the right), columns from the right.
    flip_rows = orientation in (3, 4, 7, 8)
    flip_columns = orientation in (2, 3, 6, 7)
    return np.ascontiguousarray(image[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1])
