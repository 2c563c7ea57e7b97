"""The choice among nested components, and resizing at the scale of a nucleus."""

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from campfire.images.nuclei.components import choose_components
from campfire.images.resample import background, bin_pixels, nearest, resize

LEVELS = np.arange(0.1, 3, 0.05)


def blobs(*discs: Any, shape: tuple[Any, ...] = (80, 120), blur: float = 1.5) -> Any:
    """Discs (y, x, radius, brightness) joined by maximum and blurred."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = np.zeros(shape, np.float32)
    for cy, cx, radius, brightness in discs:
        np.maximum(image, brightness * ((y - cy) ** 2 + (x - cx) ** 2 <= radius**2), out=image)
    return ndimage.gaussian_filter(image, blur)


def count(landscape: Any, **options: Any) -> Any:
    labels, number = choose_components(landscape, LEVELS, typical_area=314, smallest=0.1, **options)
    assert sorted(np.unique(labels)) == list(range(number + 1))
    return number


def test_touching_discs_are_two_and_a_dip_in_one_is_not() -> None:
    assert count(blobs((40, 30, 10, 1), (40, 51, 10, 1))) == 2
    assert count(blobs((40, 30, 10, 1), (40, 80, 10, 1))) == 2
    assert count(blobs((40, 30, 10, 1))) == 1
    textured = blobs((40, 40, 10, 1)) * (1 - 0.3 * blobs((40, 40, 2, 1), blur=1))
    assert count(textured) == 1


def test_a_bright_object_does_not_hide_a_dim_neighbour() -> None:
    labels, number = choose_components(blobs((40, 30, 10, 2.5), (40, 52, 10, 0.6)), LEVELS, 314, 0.1)
    assert number == 2
    assert labels[40, 30] != labels[40, 56] and labels[40, 56] > 0


def test_specks_do_not_count() -> None:
    assert count(blobs((40, 30, 10, 1), (40, 60, 1, 1))) == 1
    assert count(blobs((40, 60, 1, 1))) == 0
    assert count(np.zeros((20, 20), np.float32)) == 0


def test_distance_landscape_splits_where_it_is_narrow() -> None:
    inside = blobs((40, 30, 10, 1), (40, 47, 10, 1), blur=0.3) > 0.5
    distance = ndimage.distance_transform_edt(inside).astype(np.float32)
    labels, number = choose_components(distance, np.arange(0.5, 12, 0.75), 314, 0.12, margin=0.01, eroded=True)
    assert number == 2 and labels[40, 30] != labels[40, 47]
    ellipse = np.hypot((np.mgrid[:80, :120][0] - 40) / 9, (np.mgrid[:80, :120][1] - 60) / 16) < 1
    distance = ndimage.distance_transform_edt(ellipse).astype(np.float32)
    assert choose_components(distance, np.arange(0.5, 12, 0.75), 314, 0.12, margin=0.01, eroded=True)[1] == 1


def test_the_place_of_objects_in_the_field_does_not_matter() -> None:
    one = blobs((40, 30, 10, 1), (40, 51, 10, 1), (20, 90, 8, 0.5))
    labels, number = choose_components(one, LEVELS, 314, 0.1)
    for turned in (np.rot90, np.flipud, np.fliplr):
        again, count_again = choose_components(np.ascontiguousarray(turned(one)), LEVELS, 314, 0.1)
        assert count_again == number == 3
        assert np.array_equal(again > 0, turned(labels) > 0)


@pytest.mark.parametrize("shape", [(50, 60), (100, 45), (33, 20), (200, 240), (37, 61)])
def test_resizing_keeps_a_gradient(shape: tuple[Any, ...]) -> None:
    y, x = np.mgrid[:100, :120].astype(np.float32)
    resized = resize(2 * y + x, shape)
    assert resized.shape == shape and resized.dtype == np.float32
    rows, columns = ((np.arange(n) + 0.5) * old / n - 0.5 for n, old in zip(shape, (100, 120), strict=True))
    truth = 2 * rows[:, None] + columns[None, :]
    # Incomplete blocks at the far edge repeat their last pixels.
    assert np.abs(resized - truth)[:-4, :-4].max() < 1.5


def test_binning_and_nearest() -> None:
    image = np.arange(30, dtype=np.uint16).reshape(5, 6)
    assert np.array_equal(bin_pixels(image, 1, 1), image)
    assert bin_pixels(image, 2, 3)[0].tolist() == [np.mean([0, 1, 2, 6, 7, 8]), np.mean([3, 4, 5, 9, 10, 11])]
    assert bin_pixels(image, 2, 3).shape == (3, 2)
    labels = np.array([[1, 0], [0, 2]], dtype=np.int32)
    assert np.array_equal(nearest(labels, (4, 6)), np.kron(labels, np.ones((2, 3), int)))


def test_background_follows_shading_and_ignores_nuclei() -> None:
    y, x = np.mgrid[:300, :330].astype(np.float32)
    shading = 200 + 0.5 * x + 0.3 * y
    image = shading.copy()
    for cy, cx in np.random.default_rng(0).uniform(15, 285, (30, 2)):
        image[(y - cy) ** 2 + (x - cx) ** 2 < 100] += 3000
    difference = background(image, 60) - shading
    assert np.abs(difference - np.median(difference)).max() < 30
