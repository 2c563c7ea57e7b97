"""The objective against closed forms and against a direct computation with full Fourier transforms."""

from typing import Any

import numpy as np
import pytest
import torch

from campfire.core.errors import ConfigError
from campfire.training.objective import Objective, ObjectiveOptions, filter_images, keep_mask, radius_squared

SIZE = 32
ZERO = torch.zeros(1, 1, SIZE, SIZE)


def terms(prediction: torch.Tensor, mask: torch.Tensor | None = None, **options: Any) -> dict[str, float]:
    weights = {"spatial": 0.25, "high": 0.25, "low": 0.25, "frequency": 0.25, "low_fraction": 0.1}
    found = Objective(ObjectiveOptions(**(weights | options)))(prediction, torch.zeros_like(prediction), mask)
    return {name: value.item() for name, value in found.items()}


def wave(cycles_down: int, cycles_across: int, amplitude: float = 2.0) -> torch.Tensor:
    position = torch.arange(SIZE, dtype=torch.float64) / SIZE * 2 * torch.pi
    phase = cycles_down * position[:, None] + cycles_across * position[None, :]
    return (amplitude * phase.cos()).float()[None, None]


def test_a_constant_error_is_all_zero_frequency() -> None:
    found = terms(torch.full_like(ZERO, 3.0))
    assert found["spatial"] == pytest.approx(9)
    assert found["high"] == pytest.approx(0, abs=1e-9)
    assert found["low"] == pytest.approx(9)
    # One coefficient of SIZE^2: 3 SIZE in the orthonormal transform.
    assert found["frequency"] == pytest.approx(3 * SIZE / SIZE**2)
    assert found["loss"] == pytest.approx(0.25 * (9 + 0 + 9 + 3 / SIZE))
    assert found["reconstruction"] == pytest.approx(9)


@pytest.mark.parametrize(("down", "across", "high", "low"), [(1, 2, 0, 1), (0, 8, 1, 1), (15, 14, 1, 0), (3, 0, 0, 1)])
def test_one_sinusoid_is_kept_or_dropped_as_a_whole(down: int, across: int, high: int, low: int) -> None:
    # Amplitude 2: mean square 2; at 10 % the high-pass drops radius <= 5, the low-pass radius >= 19 or so.
    found = terms(wave(down, across))
    assert found["spatial"] == pytest.approx(2, rel=1e-5)
    assert found["high"] == pytest.approx(2.0 * high, abs=1e-5)
    assert found["low"] == pytest.approx(2.0 * low, abs=1e-5)
    # Two coefficients of modulus amplitude / 2 * SIZE.
    assert found["frequency"] == pytest.approx(2 * SIZE / SIZE**2, rel=1e-4)


def test_an_impulse_spreads_evenly_over_all_frequencies() -> None:
    impulse = ZERO.clone()
    impulse[0, 0, 5, 7] = 4.0
    found = terms(impulse, high_fraction=0.1, low_fraction=0.3)
    assert found["spatial"] == pytest.approx(16 / SIZE**2)
    for kind, fraction in (("high", 0.1), ("low", 0.3)):
        share = keep_mask(SIZE, SIZE, kind, fraction).double().mean().item()
        assert found[kind] == pytest.approx(share * 16 / SIZE**2, rel=1e-5)
    assert found["frequency"] == pytest.approx(4 / SIZE, rel=1e-5)


@pytest.mark.parametrize("size", [(32, 32), (7, 9), (8, 6), (112, 112)])
@pytest.mark.parametrize("fraction", ["area", "linear"])
@pytest.mark.parametrize("l1", ["complex", "amplitude"])
def test_terms_and_gradients_equal_the_plain_computation(size: tuple[Any, ...], fraction: str, l1: str) -> None:
    generator = torch.Generator().manual_seed(0)
    options = ObjectiveOptions(
        spatial=0.1, high=0.2, low=0.3, frequency=0.4, high_fraction=0.2, low_fraction=0.4, fraction=fraction, l1=l1
    )
    prediction = torch.randn(2, 3, *size, generator=generator, requires_grad=True)
    target = torch.randn(2, 3, *size, generator=generator)
    found = Objective(options)(prediction, target)
    (gradient,) = torch.autograd.grad(found["loss"], prediction)
    error = prediction - target
    high = filter_images(error, "high", 0.2, fraction).square().mean()
    low = filter_images(error, "low", 0.4, fraction).square().mean()
    if l1 == "complex":
        frequency = torch.fft.fft2(error, norm="ortho").abs().mean()
    else:
        moduli = [torch.fft.fft2(images, norm="ortho").abs() for images in (prediction, target)]
        frequency = (moduli[0] - moduli[1]).abs().mean()
    loss = 0.1 * error.square().mean() + 0.2 * high + 0.3 * low + 0.4 * frequency
    (expected,) = torch.autograd.grad(loss, prediction)
    torch.testing.assert_close(found["high"], high)
    torch.testing.assert_close(found["low"], low)
    torch.testing.assert_close(found["frequency"], frequency)
    torch.testing.assert_close(found["loss"], loss)
    torch.testing.assert_close(gradient, expected, atol=1e-7, rtol=1e-4)


def test_gradients_agree_with_finite_differences() -> None:
    options = ObjectiveOptions(spatial=0.0, high=0.5, low=0.25, frequency=0.25, low_fraction=0.3)
    generator = torch.Generator().manual_seed(0)
    prediction = torch.randn(1, 1, 8, 8, generator=generator, requires_grad=True)
    target = torch.randn(1, 1, 8, 8, generator=generator)
    objective = Objective(options)
    (gradient,) = torch.autograd.grad(objective(prediction, target)["loss"], prediction)
    direction = torch.randn(1, 1, 8, 8, generator=generator)
    step = 1e-2
    ahead, behind = (objective(prediction + sign * step * direction, target)["loss"].item() for sign in (1, -1))
    assert (gradient * direction).sum().item() == pytest.approx((ahead - behind) / (2 * step), rel=1e-3)


def test_the_spatial_term_counts_masked_pixels_only() -> None:
    prediction = torch.zeros(2, 2, SIZE, SIZE)
    mask = torch.zeros(2, 2, 16)
    prediction[0, 1, 8:16, 16:24], mask[0, 1, 1 * 4 + 2] = 3.0, 1  # a wrong masked patch: row 1, column 2
    prediction[1, 0, :8, :8] = 100.0  # wrong, but seen
    mask[1, 1, 5] = 1  # masked and right
    only = {"high": 0, "low": 0, "frequency": 0}
    assert terms(prediction, mask, **only)["spatial"] == pytest.approx(9 / 2)
    everything = terms(prediction, mask, pixels="all", **only)
    assert everything["spatial"] == pytest.approx(prediction.square().mean().item())
    assert everything["reconstruction"] == everything["spatial"]
    nothing = terms(prediction, torch.zeros_like(mask), **only)
    assert nothing["spatial"] == pytest.approx(everything["spatial"])


def test_filters_take_at_most_their_share_in_whole_shells() -> None:
    radius = radius_squared(SIZE, SIZE)
    for kind in ("high", "low"):
        for fraction in (0.0, 0.001, 0.05, 0.1, 0.35, 0.7, 1.0):
            keep = keep_mask(SIZE, SIZE, kind, fraction)
            dropped = (~keep).sum().item()
            assert dropped <= fraction * SIZE**2 + 1e-6
            assert fraction * SIZE**2 - dropped <= 16 or fraction == 1.0
            if 0 < dropped < SIZE**2:
                inner, outer = (keep, ~keep) if kind == "low" else (~keep, keep)
                assert radius[inner].max() < radius[outer].min()
    assert not keep_mask(SIZE, SIZE, "high", 0.001)[0, 0]
    assert keep_mask(SIZE, SIZE, "high", 0.5, "linear").float().mean() > 0.5


def test_terms_without_weight_are_not_computed() -> None:
    assert set(terms(ZERO, spatial=1, high=0, low=0, frequency=0)) == {"spatial", "loss", "reconstruction"}
    assert set(terms(ZERO, spatial=0, frequency=0)) == {"high", "low", "loss", "reconstruction"}


def test_half_precision_predictions_are_compared_in_single_precision() -> None:
    target = torch.zeros(1, 1, SIZE, SIZE)
    found = Objective()(torch.full_like(target, 3.0, dtype=torch.bfloat16), target, torch.ones(1, 1, 16))
    assert found["loss"].dtype == torch.float32
    assert found["spatial"].item() == pytest.approx(9)


def test_a_low_pass_without_a_fraction_is_the_error_of_all_pixels() -> None:
    prediction = torch.randn(1, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    found = Objective(ObjectiveOptions(spatial=0.75, high=0.0, low=0.25, low_fraction=0.0))(prediction, ZERO)
    assert found["low"].item() == pytest.approx(found["reconstruction"].item(), rel=1e-5)


@pytest.mark.parametrize(
    "options", [{"spatial": 2.0}, {"pixels": "some"}, {"spatial": 0.0, "high": 0.0}, {"high_fraction": -0.1}]
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="objective"):
        ObjectiveOptions(**options)


def test_a_first_call_without_gradients_does_not_spoil_the_next() -> None:
    options = ObjectiveOptions(high_fraction=0.123)
    with torch.inference_mode():
        Objective(options)(ZERO, ZERO)
    prediction = torch.ones_like(ZERO, requires_grad=True)
    Objective(options)(prediction, ZERO)["loss"].backward()
    assert np.isfinite(prediction.grad.numpy()).all()
