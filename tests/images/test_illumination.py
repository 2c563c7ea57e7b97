"""Illumination functions: reading, applying, estimating, and the effect on nuclei."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from campfire.core.errors import ConfigError, DataError
from campfire.images.illumination import Clipped, Shading, correct, estimate, read_function, read_functions, to_uint16
from campfire.images.nuclei import match_objects, segment, segment_plate
from campfire.images.tiles import open_plate, write_plate
from support.nuclei_fields import real_dna, simulate_field, write_folder


def vignette(shape: Any, depth: float = 0.5) -> Any:
    """A function as the gallery's: 1 in the corners, brightest in the middle."""
    y, x = (np.linspace(-1, 1, size) for size in shape)
    return (1 + depth * (1 - (y[:, None] ** 2 + x[None, :] ** 2) / 2)).astype(np.float32)


def test_correction_divides() -> None:
    image = np.random.default_rng(0).integers(0, 65536, (40, 50), dtype=np.uint16)
    function = vignette((40, 50))
    corrected = correct(image, function)
    assert corrected.dtype == np.float32
    np.testing.assert_allclose(corrected, image / function.astype(np.float64), rtol=1e-6)
    with pytest.raises(DataError, match="shape"):
        correct(image, function[:20])


def test_rounding_to_counts() -> None:
    values = np.array([[-3.0, 0.49, 0.51, 70000.0]], dtype=np.float32)
    assert to_uint16(values).tolist() == [[0, 0, 1, 65535]]


def test_effect_on_the_real_field(shared: Path) -> None:
    """Shading of a third changes brightness across the field; the correction undoes it to the rounding error."""
    image, reference, pixel_size = real_dna(shared)
    function = vignette(image.shape, depth=1 / 3)
    shaded = to_uint16(image * function)
    restored = correct(shaded, function)
    assert np.abs(shaded.astype(float) - image).max() > 1000
    unclipped = shaded < 65535
    assert np.abs(restored - image)[unclipped].max() <= 0.5
    labels = segment(restored, pixel_size)
    assert match_objects(labels, reference).f1 >= 0.92


def test_reading_a_function(tmp_path: Path) -> None:
    path = tmp_path / "illum_DNA.npy"
    with pytest.raises(DataError, match="no such illumination function"):
        read_function(path)
    np.save(path, vignette((30, 40)).astype(np.float64))
    assert read_function(path).dtype == np.float32
    assert read_functions(tmp_path, ["DNA"], "none") is None
    assert list(read_functions(tmp_path, ["DNA"], "gallery")) == ["DNA"]
    with pytest.raises(DataError, match="unknown illumination"):
        read_functions(tmp_path, ["DNA"], "polynomial")
    for array, message in (
        (np.ones((3, 4, 5)), "2-D"),
        (np.zeros((3, 4)), "positive"),
        (np.full((3, 4), np.nan), "finite"),
        (np.array([["a"]]), "numbers"),
        (np.array([[None]], dtype=object), "not a readable"),
    ):
        np.save(path, array, allow_pickle=True)
        with pytest.raises(DataError, match=message):
            read_function(path)
    path.write_bytes(b"\x93NUMPY")
    with pytest.raises(DataError, match="not a readable"):
        read_function(path)


def test_estimate_finds_the_shading_of_many_fields() -> None:
    shape = (240, 260)
    function = vignette(shape, depth=0.6)
    fields = (to_uint16(simulate_field(shape, 20, 12, seed=seed)[0] * function) for seed in range(40))
    estimated = estimate(fields)
    ratio = estimated / function
    assert estimated.min() == 1
    assert ratio.std() / ratio.mean() < 0.05 < (1 / function).std() / (1 / function).mean()
    with pytest.raises(DataError, match="without images"):
        estimate([])
    with pytest.raises(DataError, match="shape"):
        estimate([np.ones((5, 5)), np.ones((5, 6))])


@pytest.mark.parametrize("level", ["min", "mean", "median", "max"])
def test_a_function_of_known_scale_is_brought_to_a_minimum_of_one(tmp_path: Path, level: str) -> None:
    function = vignette((60, 50))
    path = tmp_path / "illum_DNA.npy"
    np.save(path, function / getattr(np, level)(function))
    np.testing.assert_allclose(read_function(path), function / function.min(), rtol=1e-5)


def test_a_function_of_unknown_scale_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "illum_DNA.npy"
    for factor in (1500, 0.01, 1.4):  # counts, a fraction, a mean of something
        np.save(path, vignette((60, 50)) * factor)
        with pytest.raises(DataError, match=r"illum_DNA\.npy: the scale .* is unknown .*divide it by its minimum"):
            read_function(path)


def test_the_camera_offset_is_not_divided(tmp_path: Path) -> None:
    function = vignette((40, 50))
    image = np.rint(100 + 900 * function).astype(np.uint16)
    assert np.abs(correct(image, Shading(function, 100)) - 1000).max() < 1
    assert np.abs(correct(image, function) - 1000).max() > 20
    np.save(tmp_path / "illum_DNA.npy", function)
    assert read_functions(tmp_path, ["DNA"], "gallery", 100)["DNA"].offset == 100
    with pytest.raises(ConfigError, match="illumination_offset"):
        read_functions(tmp_path, ["DNA"], "gallery", -5)


def test_clipped_pixels_are_counted_and_limited(tmp_path: Path) -> None:
    clipped = Clipped()
    to_uint16(np.array([[-3.0, 5.0, 70000.0, 65535.4]], np.float32), clipped)
    assert (clipped.pixels, clipped.of) == (2, 4)
    with pytest.raises(DataError, match=r"plate P1: 50\.00 % of the corrected pixels"):
        clipped.check("plate P1")
    Clipped(1, 2000).check("plate P1")


def test_a_plate_with_its_offset(tmp_path: Path) -> None:
    """Nuclei and tiles take the same correction, and the index says which."""
    image, _ = simulate_field((320, 340), 30, 14, seed=1)
    function = vignette(image.shape)
    write_folder(tmp_path / "P1", {("A01", "1"): {"DNA": to_uint16((image - 200.0) * function + 200)}})
    np.save(tmp_path / "P1/illum_DNA.npy", function)
    given = {"illumination": "gallery", "illumination_offset": 200.0}
    nuclei, _ = segment_plate(tmp_path / "P1", 20 / 30, **given)
    write_plate(tmp_path / "P1.npy", tmp_path / "P1", nuclei, ["DNA"], **given)
    store = open_plate(tmp_path / "P1.npy")
    assert (store.metadata["illumination_offset"], store.metadata["clipped_pixels"]) == (200, 0)
    kept = nuclei[nuclei["kept"]].iloc[0]
    top, left = int(kept["y"] + 0.5) - 56, int(kept["x"] + 0.5) - 56
    assert np.abs(store.images[0, 0].astype(int) - image[top : top + 112, left : left + 112]).max() <= 2
