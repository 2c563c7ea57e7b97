"""Scores per channel: errors at masked pixels, and similarity of the predictions of different channels.

Errors are comparable between normalisations: each target tile is first scaled to mean 0 and variance 1.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import torch
from torch import Tensor

from campfire.model.normalise import variance_and_mean

BLIND = 0.9
"""From this `blindness` on the trainer warns: a decoder that cannot distinguish channels has 0.98 or more, one
that learns to falls below after the first epochs (docs/channels.md)."""


class ChannelScores:
    """Sums over tiles of what `values` gives, on one device, of the channels in `names` order; sums of ranks add up.

    masked_error_X: mean squared error of channel X at masked pixels; 1 is the error of the tile's own mean.
    floor_tile_X: the same for the mean of the channel's other tiles, which needs no look at the tile.
    floor_blind_X: the same for the mean of the tile's channels, the best possible for a decoder that knows
    everything except which channel is which.
    likeness_X_Y, likeness_target_X_Y: correlation over masked pixels of two channels of a tile, mean over tiles.
    """

    def __init__(self, names: Sequence[str], size: int, device: torch.device | str = "cpu") -> None:
        self.names, self.size = tuple(names), size
        self.pairs = list(combinations(range(len(self.names)), 2))
        self.sums = torch.zeros(self._length(), dtype=torch.float64, device=device)

    def _length(self) -> int:
        return len(self.names) * (3 + self.size**2) + 3 * len(self.pairs)

    @torch.no_grad()
    def add(self, prediction: Tensor, target: Tensor, mask: Tensor, channels: Sequence[str]) -> None:
        """Add a batch: predictions and targets (B, C, H, W) of any scale, pixel mask (B, C, H, W), 1 masked."""
        target, prediction = target.float(), prediction.float()
        variance, mean = variance_and_mean(target)
        # A constant tile has no scale, and a tile without masked pixels nothing to fill in.
        used = ((variance > 1e-12)[..., 0, 0] & (mask.sum((2, 3)) > 0)).double()
        deviation = variance.clamp_min(1e-12).sqrt()
        target, prediction = (target - mean) / deviation, (prediction - mean) / deviation
        places = [self.names.index(c) for c in channels]
        count, error, blind, tiles = self._channel_parts(self.sums)
        pixels = mask.sum((2, 3)).clamp_min(1)
        together = target.mean(1, keepdim=True)
        for values, other in ((error, prediction), (blind, together)):
            values[places] += (((other - target).square() * mask).sum((2, 3)) / pixels * used).sum(0)
        count[places] += used.sum(0)
        tiles[places] += (target.double() * used[..., None, None]).sum(0).flatten(1)
        for number, (first, second) in enumerate(self.pairs):
            if first in places and second in places:
                a, b = places.index(first), places.index(second)
                both = mask[:, a] * mask[:, b]
                predicted, known = _correlation(prediction[:, a], prediction[:, b], both)
                true, there = _correlation(target[:, a], target[:, b], both)
                valid = known & there
                row = self.sums[-3 * len(self.pairs) :].view(-1, 3)[number]
                row += torch.stack([valid.sum(), (predicted * valid).sum(), (true * valid).sum()]).double()

    def _channel_parts(self, sums: Tensor) -> list[Tensor]:
        """Views of the sums: tiles, squared errors of the prediction and of the blind floor (C,), tiles (C, H W)."""
        channels = len(self.names)
        table = sums[: channels * (3 + self.size**2)].view(channels, -1)
        return [table[:, 0], table[:, 1], table[:, 2], table[:, 3:]]

    def values(self, sums: Tensor) -> dict[str, float]:
        """The columns of metrics.parquet, from sums over all processes; none for channels without tiles."""
        count, error, blind, tiles = (part.cpu() for part in self._channel_parts(sums))
        found: dict[str, float] = {}
        for number, name in enumerate(self.names):
            n = float(count[number])
            if n < 2:
                continue
            found[f"masked_error_{name}"] = float(error[number]) / n
            # Residuals from the mean of the n - 1 others are those from the mean of all, times n / (n - 1).
            left = 1 - float((tiles[number] / n).square().mean())
            found[f"floor_tile_{name}"] = left * (n / (n - 1)) ** 2
            found[f"floor_blind_{name}"] = float(blind[number]) / n
        rows = sums[len(sums) - 3 * len(self.pairs) :].view(-1, 3).tolist()
        for (one, other), (tiles_of_pair, predicted, true) in zip(self.pairs, rows, strict=True):
            if tiles_of_pair:
                pair = f"{self.names[one]}_{self.names[other]}"
                found[f"likeness_{pair}"] = predicted / tiles_of_pair
                found[f"likeness_target_{pair}"] = true / tiles_of_pair
        return found


def blindness(values: Mapping[str, float]) -> float | None:
    """The share of the targets' channel differences that is missing in predictions; None without two channels.

    0: predictions differ as much as targets (mean over pairs); 1: all channels are predicted alike.
    """
    pairs = [name for name in values if name.startswith("likeness_") and not name.startswith("likeness_target_")]
    true = [values[name.replace("likeness_", "likeness_target_", 1)] for name in pairs]
    apart = sum(1 - t for t in true)
    return sum(values[name] - t for name, t in zip(pairs, true, strict=True)) / apart if apart > 0 else None


def _correlation(a: Tensor, b: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Correlation (B,) of (B, H, W) over the pixels of weight 1, and where it exists (both vary)."""
    total = weight.sum((1, 2), keepdim=True).clamp_min(1)
    a, b = ((x - (x * weight).sum((1, 2), keepdim=True) / total) * weight for x in (a, b))
    squares = a.square().sum((1, 2)) * b.square().sum((1, 2))
    return (a * b).sum((1, 2)) / squares.clamp_min(1e-20).sqrt(), squares > 1e-16
