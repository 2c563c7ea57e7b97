"""The one reader of image files: what tags state is honoured, or refused by name."""

import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from campfire.images.reader import ImageError, decode_image, read_image


@pytest.fixture
def counts() -> NDArray[np.uint16]:
    return np.random.default_rng(0).integers(0, 4096, (40, 30)).astype(np.uint16)


def write(path: Path, image: NDArray[Any], **given: Any) -> Path:
    tifffile.imwrite(path, image, **given)
    return path


def test_plain_files_are_counts(tmp_path: Path, counts: NDArray[np.uint16]) -> None:
    for given in (
        {},
        {"compression": "lzw", "predictor": True},
        {"byteorder": ">"},
        {"bigtiff": True},
        {"tile": (16, 16)},
    ):
        picture = decode_image(write(tmp_path / "a.tif", counts, **given))
        assert np.array_equal(picture.pixels, counts) and picture.pixels.dtype == np.uint16
        assert (picture.bits, picture.plain, picture.full_scale) == (16, True, 65535)
    body = (tmp_path / "a.tif").read_bytes()
    assert np.array_equal(decode_image(body, "an object").pixels, counts)


def test_eight_bits_keep_their_values(tmp_path: Path) -> None:
    image = np.arange(200, dtype=np.uint8).reshape(10, 20)
    picture = decode_image(write(tmp_path / "a.tif", image))
    assert np.array_equal(picture.pixels, image) and (picture.bits, picture.plain) == (8, False)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(image))
    assert np.array_equal(read_image(tmp_path / "a.png"), image)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_white_is_zero(tmp_path: Path, dtype: str) -> None:
    image = np.arange(200).reshape(10, 20).astype(dtype)
    top = np.iinfo(dtype).max
    picture = decode_image(write(tmp_path / "a.tif", (top - image).astype(dtype), photometric="miniswhite"))
    assert np.array_equal(picture.pixels, image) and not picture.plain


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(tmp_path: Path, counts: NDArray[np.uint16], orientation: int) -> None:
    """Stored as the tag says (0th row, 0th column), read upright."""
    turned = {
        1: counts,
        2: counts[:, ::-1],
        3: counts[::-1, ::-1],
        4: counts[::-1],
        5: counts.T,
        6: np.rot90(counts),  # the 0th row is the visual right-hand side
        7: counts[::-1, ::-1].T,
        8: np.rot90(counts, -1),
    }[orientation]
    path = write(tmp_path / "a.tif", np.ascontiguousarray(turned), extratags=[(274, "H", 1, orientation, True)])
    assert np.array_equal(read_image(path), counts)


def test_orientation_six_by_hand(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", np.array([[1, 2, 3], [4, 5, 6]], np.uint16), extratags=[(274, "H", 1, 6, True)])
    assert read_image(path).tolist() == [[4, 1], [5, 2], [6, 3]]


def test_bits_used(tmp_path: Path, counts: NDArray[np.uint16]) -> None:
    path = write(tmp_path / "a.ome.tif", counts, metadata={"axes": "YX", "SignificantBits": 12})
    picture = decode_image(path)
    assert (picture.bits, picture.full_scale) == (12, 4095) and np.array_equal(picture.pixels, counts)
    path = write(tmp_path / "b.ome.tif", counts * 8, metadata={"axes": "YX", "SignificantBits": 12})
    with pytest.raises(ImageError, match=r"b\.ome\.tif: states SignificantBits 12, but has a pixel of 32\d+"):
        read_image(path)


def test_packed_twelve_bits(tmp_path: Path, counts: NDArray[np.uint16]) -> None:
    """Written by hand: few writers pack, cameras' own software does."""
    path = tmp_path / "a.tif"
    bits = np.unpackbits(counts.astype(">u2").view(np.uint8).reshape(-1, 2), axis=1)[:, 4:]
    strip = np.packbits(bits.reshape(40, -1), axis=1).tobytes()
    entries = [(256, 4, 30), (257, 4, 40), (258, 3, 12), (259, 3, 1), (262, 3, 1), (273, 4, 122), (277, 3, 1)]
    entries += [(278, 4, 40), (279, 4, len(strip))]
    body = b"II*\0" + struct.pack("<IH", 8, len(entries))
    body += b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries) + b"\0\0\0\0"
    assert len(body) == 122
    path.write_bytes(body + strip)
    picture = decode_image(path)
    assert picture.bits == 12 and np.array_equal(picture.pixels, counts) and not picture.plain


def png_with_sbit(image: NDArray[np.uint16], significant: int) -> bytes:
    body = imagecodecs.png_encode(image)
    chunk = b"sBIT" + bytes([significant])
    return body[:33] + struct.pack(">I", 1) + chunk + struct.pack(">I", zlib.crc32(chunk)) + body[33:]


def test_significant_bits_of_png(tmp_path: Path, counts: NDArray[np.uint16]) -> None:
    for scaled in (counts << 4, (counts << 4) | (counts >> 8), counts):
        (tmp_path / "a.png").write_bytes(png_with_sbit(scaled.astype(np.uint16), 12))
        picture = decode_image(tmp_path / "a.png")
        assert picture.bits == 12 and np.array_equal(picture.pixels, counts)
    (tmp_path / "a.png").write_bytes(png_with_sbit(np.arange(30000, dtype=np.uint16).reshape(300, 100), 12))
    with pytest.raises(ImageError, match="sBIT"):
        read_image(tmp_path / "a.png")


def test_signed_and_offset(tmp_path: Path, counts: NDArray[np.uint16]) -> None:
    assert np.array_equal(read_image(write(tmp_path / "a.tif", counts.astype(np.int16))), counts)
    with pytest.raises(ImageError, match=r"a\.tif: holds counts from -\d+ to .*outside 0 to 65535"):
        read_image(write(tmp_path / "a.tif", counts.astype(np.int16) - 100))
    # ImageJ keeps signed 16 bit as unsigned numbers with a calibration.
    calibration = "ImageJ=1.53\ncf=0\nc0=-32768.0\nc1=1.0\nvunit=gray value\n"
    shifted = counts.astype(np.int64) + 32768
    path = write(tmp_path / "b.tif", shifted.astype(np.uint16), description=calibration, metadata=None)
    picture = decode_image(path)
    assert np.array_equal(picture.pixels, counts) and not picture.plain
    path = write(tmp_path / "c.tif", counts, description=calibration.replace("c1=1.0", "c1=0.5"), metadata=None)
    with pytest.raises(ImageError, match=r"c\.tif: states a scale of 0\.5"):
        read_image(path)


def test_one_plane_whatever_the_description_says(shared: Path) -> None:
    for folder in ("leading_singleton", "stale_shape_description"):
        path = shared / f"data/cases/images/series_not_page/inputs/{folder}/B02_1_DAPI.tif"
        assert decode_image(path).pixels.shape == (240, 240)


def test_previews_are_passed_over(tmp_path: Path, counts: NDArray[np.uint16]) -> None:
    for preview_first in (False, True):
        with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
            for preview in sorted((True, False), reverse=preview_first):
                writer.write(counts[::4, ::4] if preview else counts, subfiletype=int(preview), metadata=None)
        assert np.array_equal(read_image(tmp_path / "a.tif"), counts)


@pytest.mark.parametrize(
    "name, shape, given, message",
    [
        ("pages", (3, 40, 30), {"photometric": "minisblack"}, "a stack of 3 planes"),
        ("imagej", (3, 40, 30), {"imagej": True}, "a stack of 3 planes"),
        ("truncated", (3, 40, 30), {"truncate": True, "photometric": "minisblack"}, "a stack of 3 planes"),
        ("colour", (40, 30, 3), {"photometric": "rgb"}, "pixels are coded as rgb|a colour image"),
        ("two samples", (40, 30, 2), {"photometric": "minisblack", "planarconfig": "contig"}, "colour image of 2"),
        (
            "palette",
            (40, 30),
            {"photometric": "palette", "colormap": np.zeros((3, 256), np.uint16)},
            "coded as palette",
        ),
    ],
)
def test_refused_by_name(
    tmp_path: Path, name: str, shape: tuple[int, ...], given: dict[str, Any], message: str
) -> None:
    dtype = np.uint8 if name == "palette" else np.uint16
    path = write(tmp_path / "odd.tif", np.ones(shape, dtype), **given)
    with pytest.raises(ImageError, match=rf"odd\.tif: .*({message}).*; \w+"):
        read_image(path)


@pytest.mark.parametrize("dtype", ["float32", "uint32", "int32", "float64", "bool"])
def test_other_types_are_refused(tmp_path: Path, dtype: str) -> None:
    with pytest.raises(ImageError, match=r"odd\.tif: pixels (are|have) "):
        read_image(write(tmp_path / "odd.tif", np.ones((9, 9), dtype)))


def test_other_bytes_are_refused(tmp_path: Path, counts: NDArray[np.uint16]) -> None:
    path = write(tmp_path / "a.tif", counts)
    body = path.read_bytes()
    for wrong, message in (
        (b"", "empty"),
        (b"\0" * 500, "zero-filled"),
        (b"\xff\xd8\xff" + body, "JPEG"),
        (b"<html>", "neither TIFF nor PNG"),
        (body[:-200], "beyond its end"),
        (body[:20], "not a readable TIFF"),
    ):
        with pytest.raises(ImageError, match=f"an object: .*{message}"):
            decode_image(wrong, "an object")
    for colour in (
        imagecodecs.png_encode(np.ones((9, 9, 3), np.uint8)),
        imagecodecs.png_encode(np.ones((9, 9, 4), np.uint8)),
    ):
        with pytest.raises(ImageError, match="colour"):
            decode_image(colour, "an object")
    with pytest.raises(ImageError, match=r"none\.tif: no such image"):
        read_image(tmp_path / "none.tif")
