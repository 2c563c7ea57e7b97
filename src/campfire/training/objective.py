"""The pretraining objective: paper Eq. 1 and B.2 to B.5, to be minimised.

All terms are of the difference d = prediction - target. The filters are linear, so the mean square of a filtered
difference is, by Parseval, a weighted sum of |FFT(d)|^2: one real FFT serves every term and none is inverted.
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from campfire.model.encoder import patchify
from campfire.training.options import ObjectiveOptions


def radius_squared(height: int, width: int) -> Tensor:
    """Squared frequency of every coefficient of an unshifted FFT, (H, W) int64, in units of (1 / (H W))^2."""
    rows = (torch.fft.fftfreq(height, 1 / height, device="cpu").round().long() * width)[:, None]
    columns = (torch.fft.fftfreq(width, 1 / width, device="cpu").round().long() * height)[None, :]
    return rows**2 + columns**2


def keep_mask(height: int, width: int, kind: str, removed: float, fraction: str = "area") -> Tensor:
    """Coefficients of an unshifted FFT (H, W) that a filter keeps, bool; `kind` is `high` or `low`.

    `area`: at most the fraction `removed` of the coefficients goes, in whole shells of equal frequency, lowest
    first for `high`, highest first for `low`. `linear`: frequencies below `removed` (above 1 - `removed`) times the
    largest go. Source: App. A, consistent only in the unshifted layout, where the zero frequency is in a corner.
    """
    radius = radius_squared(height, width)
    order = radius if kind == "high" else -radius
    if fraction == "area":
        budget = int(removed * height * width + 1e-9)
        shells, sizes = order.unique(return_counts=True)
        dropped = shells[sizes.cumsum(0) <= budget]
        return order > dropped[-1] if len(dropped) else torch.ones_like(order, dtype=torch.bool)
    share = (radius.double() / radius.max().clamp_min(1)).sqrt()
    if removed == 0:
        return torch.ones_like(share, dtype=torch.bool)
    return share >= removed if kind == "high" else share <= 1 - removed


def filter_images(images: Tensor, kind: str, removed: float, fraction: str = "area") -> Tensor:
    """Images (..., H, W) without the dropped coefficients, float32; what the filter terms compare (for figures)."""
    height, width = images.shape[-2:]
    keep = keep_mask(height, width, kind, removed, fraction).to(images.device)
    return torch.fft.ifft2(torch.fft.fft2(images.float()) * keep).real


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def _half_weights(height: int, width: int, options: ObjectiveOptions, device: torch.device) -> dict[str, Tensor]:
    """Weights (H, W // 2 + 1) on the half spectrum of a real FFT whose weighted sums are means over the full one."""
    twice = torch.full((width // 2 + 1,), 2.0, device="cpu")
    twice[0] = 1.0
    if width % 2 == 0:
        twice[-1] = 1.0
    weights = {"frequency": twice.expand(height, -1)}
    for kind, removed in (("high", options.high_fraction), ("low", options.low_fraction)):
        keep = keep_mask(height, width, kind, removed, options.fraction)
        weights[kind] = keep[:, : width // 2 + 1] * twice
    return {name: (weight / (height * width)).to(device) for name, weight in weights.items()}


class Objective:
    """Callable objective; holds no state but its options."""

    def __init__(self, options: ObjectiveOptions | None = None) -> None:
        self.options = options or ObjectiveOptions()

    def __call__(self, prediction: Tensor, target: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        """Terms of the loss as 0-d float32 tensors on the device, without waiting for it.

        `prediction`, `target` (B, C, H, W), any float type; `mask` (B, C, N), 1 where a patch was masked, None or all
        zeros for all pixels. Returns `loss` (the weighted sum, with gradient), the unweighted terms whose weight is
        positive (`spatial, high, low, frequency`), and `reconstruction`, the mean squared error of all pixels.
        """
        options = self.options
        prediction, target = prediction.float(), target.float()
        difference = prediction - target
        square = difference.square()
        terms: dict[str, Tensor] = {}
        if options.spatial > 0:
            part = mask if options.pixels == "masked" else None
            terms["spatial"] = square.mean() if part is None else masked_mean(square, part)
        if options.high > 0 or options.low > 0 or options.frequency > 0:
            terms.update(self._spectral(prediction, target, difference))
        if options.frequency > 0 and options.l1 == "patch_amplitude":
            terms["frequency"] = patch_amplitudes(prediction, target, mask)
        terms["loss"] = sum(getattr(options, name) * term for name, term in terms.items())  # type: ignore[assignment]
        terms["reconstruction"] = square.detach().mean()
        return terms

    def _spectral(self, prediction: Tensor, target: Tensor, difference: Tensor) -> dict[str, Tensor]:
        options = self.options
        height, width = difference.shape[-2:]
        weights = _half_weights(height, width, options, difference.device)
        modulus = options.frequency > 0 and options.l1 == "complex"
        found = SpectralSums.apply(difference, weights["high"], weights["low"], weights["frequency"], modulus)
        terms = dict(zip(("high", "low", "frequency"), found, strict=True))
        if options.frequency > 0 and options.l1 == "amplitude":
            predicted = torch.fft.rfft2(prediction, norm="ortho").abs()
            distance = (predicted - torch.fft.rfft2(target, norm="ortho").abs()).abs()
            images = difference.numel() // (height * width)
            terms["frequency"] = (distance * weights["frequency"]).sum() / images
        return {name: term for name, term in terms.items() if getattr(options, name) > 0}


def patch_amplitudes(prediction: Tensor, target: Tensor, mask: Tensor | None) -> Tensor:
    """CA-MAE's Fourier term: mean distance of the moduli of masked patches' unnormalised spectra, 0-d.

    The published code computes it per patch at 256 px with patches of 16, and of scrambled pixels at any other size.
    `mask` (B, C, N); of all patches where it is None or all zeros.
    """
    grid = 1 if mask is None else round(mask.shape[2] ** 0.5)
    patch = prediction.shape[-1] // grid
    spectra = (torch.fft.fft2(patchify(images, patch).unflatten(-1, (patch, patch))) for images in (prediction, target))
    predicted, wanted = (spectrum.abs() for spectrum in spectra)
    distance = (predicted - wanted).abs().mean(dim=(-2, -1))
    if mask is None:
        return distance.mean()
    chosen = mask.sum()
    return torch.where(chosen > 0, (distance * mask).sum() / chosen.clamp_min(1), distance.mean())


class SpectralSums(torch.autograd.Function):
    """Weighted sums over the half spectrum S of real images d, with a backward pass of one inverse real FFT.

    Autograd's own would transform a full complex spectrum. Inputs: d (..., H, W) float32 and three weights
    (H, W // 2 + 1); outputs: mean over images of sum(high |S|^2), sum(low |S|^2), sum(frequency |S|), the last
    one zero unless `modulus`.
    """

    @staticmethod
    def forward(
        ctx: Any, difference: Tensor, high: Tensor, low: Tensor, frequency: Tensor, modulus: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        spectrum = torch.fft.rfft2(difference, norm="ortho")
        flat = torch.view_as_real(spectrum.flatten(0, -3))
        power = flat.square().sum(-1)
        mean_power = power.mean(0)
        ctx.save_for_backward(spectrum, high, low, frequency)
        ctx.size, ctx.modulus = difference.shape[-2:], modulus
        absolute = (power.sqrt_().mean(0) * frequency).sum() if modulus else frequency.new_zeros(())
        return (mean_power * high).sum(), (mean_power * low).sum(), absolute

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        spectrum, high, low, frequency = ctx.saved_tensors
        height, width = ctx.size
        # irfft2 counts each inner column twice itself, so the doubled half-spectrum weights are halved there.
        # Filled in place: a number copied from the host cannot be recorded (training/replay.py).
        inner = torch.full((width // 2 + 1,), 0.5, device=spectrum.device)
        inner[0].fill_(1.0)
        if width % 2 == 0:
            inner[-1].fill_(1.0)
        scale = inner * (2 * (gradients[0] * high + gradients[1] * low))
        images = spectrum.numel() // (height * (width // 2 + 1))
        weighted = spectrum * (scale / images)
        if ctx.modulus:
            weighted = weighted + spectrum.sgn() * (inner * (gradients[2] * frequency / images))
        return torch.fft.irfft2(weighted, s=(height, width), norm="ortho"), None, None, None, None


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of (B, C, H, W) values over the pixels of masked patches, 0-d; of all pixels when none is masked.

    `mask` (B, C, N) with N = n^2 patches row by row; n divides H and W.
    """
    grid = round(mask.shape[2] ** 0.5)
    height, width = values.shape[-2:]
    cut = values.unflatten(3, (grid, width // grid)).unflatten(2, (grid, height // grid))
    patches = cut.mean(dim=(3, 5)).flatten(2)
    chosen = mask.sum()
    return torch.where(chosen > 0, (patches * mask).sum() / chosen.clamp_min(1), patches.mean())
