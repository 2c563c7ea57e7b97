"""Encoders that have learnt nothing: mean intensities and a random network."""

import numpy as np
import pytest
import torch

from campfire.core.errors import ConfigError
from campfire.encoders import Encoder, load
from campfire.model.normalise import plate_statistics

CHANNELS = ["DNA", "AGP", "Mito"]


def tiles(count: int = 4, size: int = 48) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 4000, (count, 3, size, size), generator=generator).to(torch.int32)


@pytest.mark.parametrize(("kind", "width"), [("intensities", 6), ("random_cnn", 192)])
def test_they_are_encoders(kind: str, width: int) -> None:
    encoder = load({"kind": kind}, "cpu")
    assert isinstance(encoder, Encoder) and encoder.dim(CHANNELS) == width
    found = encoder.embed(tiles(), CHANNELS)
    assert found.shape == (4, width) and found.dtype == torch.float32 and torch.isfinite(found).all()
    assert torch.equal(found, load({"kind": kind}, "cpu").embed(tiles(), CHANNELS))


def test_intensities_are_means_of_tile_and_centre_in_counts() -> None:
    encoder = load({"kind": "intensities"}, "cpu")
    images = torch.full((1, 1, 60, 60), 100, dtype=torch.int32)
    images[0, 0, 25:35, 25:35] = 500  # 100 pixels inside the disc of radius 10
    tile, centre = encoder.embed(images, ["DNA"])[0].tolist()
    assert encoder.normalisation == "counts" and tile == pytest.approx(100 + 400 * 100 / 3600)
    assert centre == pytest.approx(100 + 400 * 100 / 316, rel=0.02)
    images[0, 0, 0, 0] = 1000
    assert encoder.embed(images, ["DNA"])[0, 1].item() == pytest.approx(centre)


def test_a_random_network_depends_on_its_seed_and_treats_channels_alike() -> None:
    images = tiles()
    first, other = (load({"kind": "random_cnn", "seed": seed}, "cpu") for seed in (0, 1))
    found = first.embed(images, CHANNELS)
    assert first.digest != other.digest and not torch.allclose(found, other.embed(images, CHANNELS))
    turned = first.embed(images.flip(1), CHANNELS[::-1])
    assert torch.allclose(turned[:, :64], found[:, -64:])
    average = load({"kind": "random_cnn", "combine": "average"}, "cpu")
    assert average.dim(CHANNELS) == 64 and average.digest != first.digest
    assert torch.allclose(average.embed(images, CHANNELS), found.reshape(4, 3, 64).mean(dim=1), atol=1e-6)
    brighter = first.embed(images * 3 + 7, CHANNELS)  # tiles are normalised one by one, as Campfire's are
    assert torch.allclose(brighter, found, atol=1e-4)
    state = torch.get_rng_state()
    load({"kind": "random_cnn"}, "cpu")
    assert torch.equal(state, torch.get_rng_state())
    assert load({"kind": "random_cnn"}, "cpu").pooling == "mean"


def test_widths_are_checked() -> None:
    assert load({"kind": "random_cnn", "widths": [8, 16]}, "cpu").dim(["DNA"]) == 16
    with pytest.raises(ConfigError, match="widths"):
        load({"kind": "random_cnn", "widths": [8]}, "cpu")


def test_brightness_counts_where_tiles_are_normalised_by_their_plate() -> None:
    """Normalised one by one, a tile and the same tile at twice the light are one; by their plate they are two."""
    images = tiles()
    bright = images.clone()
    bright[0] *= 2
    statistics = plate_statistics(np.concatenate([images, bright]).astype(np.uint16))
    moved = {}
    for scale in ("tile", "plate"):
        encoder = load({"kind": "random_cnn", "normalisation": scale}, "cpu")
        found = [encoder.embed(batch, CHANNELS, statistics) for batch in (images, bright)]
        assert torch.allclose(found[0][1:], found[1][1:], atol=1e-5)
        moved[scale] = (found[0][0] - found[1][0]).abs().max().item()
    assert moved["tile"] < 1e-3 < 0.1 < moved["plate"]
