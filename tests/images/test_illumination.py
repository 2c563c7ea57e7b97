"""Illumination functions: reading, applying, estimating, and the effect on nuclei."""

import numpy as np
import pytest

from campfire.core.errors import DataError
from campfire.images.illumination import correct, estimate, read_function, read_functions, to_uint16
from campfire.images.nuclei import match_objects, segment
from support.nuclei_fields import real_dna, simulate_field


def vignette(shape, depth=0.5):
    """A function as the gallery's: 1 in the corners, brightest in the middle."""
    y, x = (np.linspace(-1, 1, size) for size in shape)
    return (1 + depth * (1 - (y[:, None] ** 2 + x[None, :] ** 2) / 2)).astype(np.float32)


def test_correction_divides():
    image = np.random.default_rng(0).integers(0, 65536, (40, 50), dtype=np.uint16)
    function = vignette((40, 50))
    corrected = correct(image, function)
    assert corrected.dtype == np.float32
    np.testing.assert_allclose(corrected, image / function.astype(np.float64), rtol=1e-6)
    with pytest.raises(DataError, match="shape"):
        correct(image, function[:20])


def test_rounding_to_counts():
    values = np.array([[-3.0, 0.49, 0.51, 70000.0]], dtype=np.float32)
    assert to_uint16(values).tolist() == [[0, 0, 1, 65535]]


def test_effect_on_the_real_field(shared):
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


def test_reading_a_function(tmp_path):
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


def test_estimate_finds_the_shading_of_many_fields():
    shape = (240, 260)
    function = vignette(shape, depth=0.6)
    fields = (to_uint16(simulate_field(shape, 20, 12, seed=seed)[0] * function) for seed in range(40))
    estimated = estimate(fields)
    ratio = estimated / function
    assert estimated.min() == 1
    assert ratio.std() / ratio.mean() < 0.05 < (1 / function).std() / (1 / function).mean()
    with pytest.raises(DataError, match="no image"):
        estimate([])
    with pytest.raises(DataError, match="shape"):
        estimate([np.ones((5, 5)), np.ones((5, 6))])
