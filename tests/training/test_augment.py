"""Normalisation, flips and rotations, channel subsets."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch

from campfire.core.errors import ConfigError
from campfire.model.normalise import (
    CENTRED,
    NORMALISATIONS,
    PlateStatistics,
    normalise,
    plate_statistics,
    rescale,
    variance_and_mean,
)
from campfire.training.augment import AugmentOptions, augment, draw_channels, rotate


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def raw(batch: int = 4, dtype: torch.dtype = torch.uint16) -> torch.Tensor:
    return torch.randint(0, 200, (batch, 3, 16, 16), generator=generator()).to(dtype)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32, torch.bfloat16])
def test_tiles_get_zero_mean_and_unit_variance_per_channel(dtype: Any) -> None:
    values = normalise(raw(dtype=dtype), "tile")
    assert values.dtype == torch.float32
    torch.testing.assert_close(values.mean((2, 3)), torch.zeros(4, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(values.std((2, 3), correction=0), torch.ones(4, 3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("offset", [0.0, 60000.0])
def test_variance_in_two_passes_is_that_of_torch(offset: float) -> None:
    images = raw(dtype=torch.float32) + offset
    variance, mean = variance_and_mean(images)
    exact = torch.var_mean(images.double(), dim=(2, 3), correction=0, keepdim=True)
    torch.testing.assert_close(variance.double(), exact[0], atol=0, rtol=1e-5)
    torch.testing.assert_close(mean.double(), exact[1], atol=0, rtol=1e-6)


@pytest.mark.parametrize("level", [0, 7, 511, 65535])
def test_constant_tiles_become_zeros(level: int) -> None:
    values = normalise(torch.full((1, 2, 112, 112), level).to(torch.uint16), "tile")
    assert values.abs().max() < 0.02


def test_tile_normalisation_forgets_gain_and_offset() -> None:
    images = raw(dtype=torch.float32)
    torch.testing.assert_close(normalise(images * 13 + 400), normalise(images), atol=1e-4, rtol=1e-4)


def test_plate_normalisation_uses_the_given_statistics() -> None:
    images = raw()
    statistics = plate_statistics(images.numpy())
    expected = images.numpy().astype(np.float64)
    np.testing.assert_allclose(statistics.mean, expected.mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(statistics.deviation, expected.std((0, 2, 3)), rtol=1e-6)
    flat = np.sort(expected.transpose(1, 0, 2, 3).reshape(3, -1))
    assert statistics.low.tolist() == flat[:, 1].tolist() and statistics.high.tolist() == flat[:, -2].tolist()
    values = normalise(images, "plate", statistics)
    torch.testing.assert_close(values.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    each = normalise(images, "plate", PlateStatistics(*(np.tile(part, (4, 1)) for part in statistics)))
    assert torch.equal(each, values)
    with pytest.raises(ConfigError, match="plate"):
        normalise(images, "plate")


def test_plate_statistics_of_many_tiles_come_from_evenly_spread_ones() -> None:
    images = np.arange(1000, dtype=np.uint16)[:, None, None, None] * np.ones((1, 2, 4, 4), np.uint16)
    assert plate_statistics(images, limit=11).mean.tolist() == pytest.approx([500, 500], abs=1)
    with pytest.raises(ConfigError, match="without tiles"):
        plate_statistics(images[:0])


def test_no_normalisation_scales_integers_by_documented_constants() -> None:
    assert normalise(torch.full((1, 1, 2, 2), 2500).to(torch.uint16), "none").unique().item() == 2.5
    assert normalise(torch.full((1, 1, 2, 2), 51, dtype=torch.uint8), "none").unique().item() == pytest.approx(0.2)
    floats = torch.randn(1, 1, 2, 2, generator=generator())
    assert torch.equal(normalise(floats, "none"), floats)


@pytest.mark.parametrize("mode", [m for m in NORMALISATIONS if m != "none"])
def test_scales_forget_the_camera_and_only_the_centred_ones_forget_the_channel(mode: Any) -> None:
    """Gain and offset of a camera change nothing; a channel of few bright pixels keeps another mean."""
    tiles = torch.rand(6, 2, 32, 32, generator=generator()) ** torch.tensor([8.0, 1.0])[:, None, None] * 500 + 100
    tiles = tiles.round().to(torch.uint16)
    brighter = (tiles.int() * 3 + 50).to(torch.uint16)
    values, other = (normalise(x, mode, plate_statistics(x.numpy())) for x in (tiles, brighter))
    torch.testing.assert_close(values, other, atol=1e-3, rtol=1e-3)
    one, two = values.mean((0, 2, 3))
    assert abs(one - two) < 1e-4 if mode in CENTRED else abs(one - two) > 0.2


@pytest.mark.parametrize("other", ["tile_sd", "plate_range", "none"])
def test_a_normalised_tile_can_be_brought_to_another_scale(other: str) -> None:
    images = raw(dtype=torch.uint16)
    statistics = plate_statistics(images.numpy())
    gain, offset = rescale(images, "tile", other, statistics)[..., None, None]
    expected = normalise(images, other, statistics)
    inside = (expected > 0) & (expected < 1) if other == "plate_range" else torch.ones_like(expected, dtype=torch.bool)
    found = normalise(images, "tile") * gain + offset
    torch.testing.assert_close(found[inside], expected[inside], atol=1e-4, rtol=1e-4)


def variants(options: AugmentOptions, batch: int = 400) -> Counter:
    """How often each of the eight orientations of one tile occurs."""
    tile = torch.arange(9.0).reshape(1, 1, 3, 3)
    known = {}
    for turn in range(4):
        for flip in (False, True):
            image = torch.rot90(tile.flip(3) if flip else tile, turn, (2, 3))
            known[tuple(image.flatten().tolist())] = (turn, flip)
    assert len(known) == 8
    return Counter(
        known[tuple(image.flatten().tolist())]
        for image in augment(tile.expand(batch, 2, 3, 3), options, generator())[:, 1]
    )


def test_all_eight_orientations_are_equally_likely() -> None:
    counts = variants(AugmentOptions(), 4000)
    assert len(counts) == 8
    assert all(400 < count < 600 for count in counts.values())


def test_flips_and_turns_can_be_had_alone() -> None:
    assert set(variants(AugmentOptions(flip=False))) == {(turn, False) for turn in range(4)}
    assert set(variants(AugmentOptions(rotation="none"))) == {(0, False), (0, True), (2, False), (2, True)}
    assert set(variants(AugmentOptions(flip=False, rotation="none"))) == {(0, False)}


@pytest.mark.parametrize("rotation", ["right", "any"])
def test_channels_of_a_tile_move_together_and_tiles_apart(rotation: str) -> None:
    image = torch.randn(1, 1, 16, 16, generator=generator())
    moved = augment(image.expand(32, 3, 16, 16).contiguous(), AugmentOptions(rotation=rotation), generator(1))
    assert torch.equal(moved[:, 0], moved[:, 2])
    assert len({tuple(tile.flatten().tolist()) for tile in moved[:, 0]}) >= 6
    again = augment(image.expand(32, 3, 16, 16).contiguous(), AugmentOptions(rotation=rotation), generator(1))
    assert torch.equal(moved, again)


def test_turning_by_right_angles_is_exact_and_full_turns_come_home() -> None:
    images = torch.randn(4, 2, 16, 16, generator=generator())
    quarter = torch.tensor([0.0, 1.0, 2.0, 4.0]) * torch.pi / 2
    turned = rotate(images, quarter)
    for sample, turns in enumerate((0, 1, 2, 0)):
        expected = torch.rot90(images[sample], turns, (1, 2))
        torch.testing.assert_close(turned[sample], expected, atol=1e-4, rtol=1e-4)


def test_subsets_have_the_probabilities_of_release_and_paper() -> None:
    source = generator()
    draws = 9000
    release = Counter(tuple(draw_channels(3, "release", source)) for _ in range(draws))
    uniform = Counter(tuple(draw_channels(3, "uniform", source)) for _ in range(draws))
    assert set(release) == set(uniform) == {(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)}
    for subset, count in release.items():
        assert count / draws == pytest.approx(1 / 3 if len(subset) == 3 else 1 / 9, abs=0.02)
    for count in uniform.values():
        assert count / draws == pytest.approx(1 / 7, abs=0.02)
    assert draw_channels(4, "all", source) == [0, 1, 2, 3]
    assert draw_channels(1, "release", source) == [0]


@pytest.mark.parametrize("options", [{"normalisation": "batch"}, {"rotation": "45"}, {"channel_subset": "some"}])
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="augment"):
        AugmentOptions(**options)


def test_a_channel_without_a_range_is_no_outlier_in_any_scale() -> None:
    """Five hot pixels in an empty tile: both quantiles are the background; their mean patch would drown all others."""
    empty = torch.full((1, 1, 112, 112), 100, dtype=torch.int32)
    empty[0, 0, 50, 50:55] = 3000
    assert normalise(empty, "tile_range").max() < 1e-3
    assert normalise(empty, "tile").max() == pytest.approx(50, abs=1)
    for mode in ("tile", "tile_sd", "tile_range", "none"):
        gain, offset = rescale(empty, mode, "tile_range")
        assert (normalise(empty, mode) * gain[..., None, None] + offset[..., None, None]).abs().max() < 1e-3
    plain = torch.randint(100, 4000, (1, 1, 112, 112), generator=torch.Generator().manual_seed(0))
    low, high = (plain.flatten().sort().values[place].item() for place in (13, 12530))
    expected = ((plain - low) / (high - low)).clamp(0, 1)
    assert torch.allclose(normalise(plain, "tile_range"), expected.float(), atol=1e-5)
