"""Scores of channels at masked pixels, and models that know their channels or do not."""

import pytest
import torch

from campfire.training.channel_scores import ChannelScores, blindness

NAMES = ["DNA", "AGP", "Mito"]


def tiles(count: int = 40, size: int = 16, seed: int = 0) -> torch.Tensor:
    """Noise of any scale, with a common part in the last two channels."""
    images = torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))
    images[:, 2] = images[:, 1] + images[:, 2]
    return images * torch.tensor([1.0, 20.0, 300.0])[:, None, None] + 500


def scored(prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor) -> dict[str, float]:
    scores = ChannelScores(NAMES, target.shape[2])
    for part in torch.arange(len(target)).split(16):
        scores.add(prediction[part], target[part], mask[part], NAMES)
    return scores.values(scores.sums)


@pytest.fixture
def mask() -> torch.Tensor:
    return (torch.rand(40, 1, 16, 16, generator=torch.Generator().manual_seed(1)) < 0.75).float().expand(-1, 3, -1, -1)


def test_a_perfect_prediction_has_no_error_and_the_likeness_of_its_targets(mask: torch.Tensor) -> None:
    found = scored(tiles(), tiles(), mask)
    for name in NAMES:
        assert found[f"masked_error_{name}"] == pytest.approx(0, abs=1e-6)
    assert found["likeness_AGP_Mito"] == pytest.approx(found["likeness_target_AGP_Mito"])
    assert found["likeness_target_AGP_Mito"] == pytest.approx(0.5**0.5, abs=0.05)
    assert found["likeness_target_DNA_AGP"] == pytest.approx(0, abs=0.05)
    assert blindness(found) == pytest.approx(0, abs=1e-6)


def test_errors_do_not_depend_on_the_scale_of_the_normalisation(mask: torch.Tensor) -> None:
    noise = tiles(seed=3)
    one, other = scored(noise, tiles(), mask), scored(noise * 0.01 - 7, tiles() * 0.01 - 7, mask)
    assert one == pytest.approx(other, rel=1e-3)


def test_the_mean_of_a_tile_has_an_error_of_one(mask: torch.Tensor) -> None:
    flat = tiles().mean((2, 3), keepdim=True).expand_as(tiles())
    found = scored(flat, tiles(), torch.ones_like(mask))
    assert [found[f"masked_error_{name}"] for name in NAMES] == pytest.approx([1, 1, 1], abs=1e-4)
    assert blindness(found) is None  # a flat prediction is like nothing


def test_the_floors_are_what_they_say(mask: torch.Tensor) -> None:
    z = tiles() - tiles().mean((2, 3), keepdim=True)
    z = z / z.square().mean((2, 3), keepdim=True).sqrt()
    everywhere = torch.ones_like(mask)
    together = z.mean(1, keepdim=True).expand_as(z)
    blind = scored(together, z, everywhere)
    others = (z.sum(0, keepdim=True) - z) / (len(z) - 1)
    by_tile = scored(others, z, everywhere)
    for name in NAMES:
        assert blind[f"masked_error_{name}"] == pytest.approx(blind[f"floor_blind_{name}"], rel=1e-4)
        assert by_tile[f"masked_error_{name}"] == pytest.approx(by_tile[f"floor_tile_{name}"], rel=1e-3)
    assert blindness(blind) == pytest.approx(1, abs=1e-4)


def test_sums_of_processes_add_up_and_batches_may_lack_channels(mask: torch.Tensor) -> None:
    whole, parts = ChannelScores(NAMES, 16), [ChannelScores(NAMES, 16) for _ in range(2)]
    noise = tiles(seed=3)
    for number, part in enumerate(torch.arange(40).split(20)):
        for scores in (whole, parts[number]):
            scores.add(noise[part][:, [2, 0]], tiles()[part][:, [2, 0]], mask[part][:, :2], ["Mito", "DNA"])
    assert torch.equal(whole.sums, parts[0].sums + parts[1].sums)
    found = whole.values(whole.sums)
    assert "likeness_DNA_Mito" in found and "masked_error_DNA" in found
    assert not any("AGP" in name for name in found)


def test_nothing_masked_is_no_perfect_prediction(mask: torch.Tensor) -> None:
    """At a mask ratio of 0 there is nothing to fill in, so no error at masked pixels and no floor."""
    assert scored(tiles(seed=3), tiles(), torch.zeros_like(mask)) == {}


def test_a_constant_tile_counts_for_nothing(mask: torch.Tensor) -> None:
    images = tiles()
    images[0] = 7
    found = scored(images, images, mask)
    assert all(value == value for value in found.values())
    assert found["masked_error_DNA"] == pytest.approx(0, abs=1e-6)
