"""Speed and mean loss of a run between two reads of the device."""

import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from campfire.training.loader import Batch
from campfire.training.source import Source

TERMS = ("spatial", "high", "low", "frequency")
OWN_NAMES = {"reconstruction": "reconstruction_error", "masked": "masked_error", **{t: f"loss_{t}" for t in TERMS}}


def columns(values: dict[str, float]) -> dict[str, float]:
    """Loss terms by their column: `loss`, `loss_<term>`; errors that no objective weighs end in `_error`."""
    return {OWN_NAMES.get(name, name): value for name, value in values.items()}


def memory_gib(device: torch.device) -> float | None:
    """Peak memory of the device so far in GiB; None on a CPU."""
    return torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else None


class Meter:
    """Counts of one epoch; `totals` (K + 1,) float64 are sums of loss terms over tiles, and tiles, of all processes."""

    def __init__(
        self, names: list[str], flops: dict[int, float], peak: float, totals: Tensor, source: Source | None = None
    ) -> None:
        self.names, self.flops_of, self.peak, self.totals, self.source = names, flops, peak, totals, source
        self.resume()

    def resume(self) -> None:
        """Begin a stretch now."""
        self.mark = time.monotonic()
        self.waited, self.flops, self.steps = 0.0, 0.0, 0
        self.plates, self.wells, self.passes = 0, 0, 0

    def watch(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Pass batches on, noting the time spent waiting for them and the arithmetic that they cause."""
        while True:
            began = time.monotonic()
            batch = next(batches, None)
            self.waited += time.monotonic() - began
            if batch is None:
                return
            if batch.part == 0:
                self.flops += batch.total * self.flops_of[len(batch.channels)]
                self.steps += 1
            if self.source is not None:
                plates, wells = self.source.mixing(batch.plates, batch.rows)
                self.plates, self.wells, self.passes = self.plates + plates, self.wells + wells, self.passes + 1
            yield batch

    def read(self, totals: Tensor) -> dict[str, Any]:
        """Means and rates of the stretch, which ends here (`resume` begins the next).

        Plates and wells are those of a forward pass of this process, on average.
        """
        seconds = max(time.monotonic() - self.mark, 1e-9)
        stretch = totals - self.totals
        self.totals = totals
        tiles = float(stretch[-1])
        means = dict(zip(self.names, (stretch[:-1] / max(tiles, 1.0)).tolist(), strict=True))
        return {
            **columns(means),
            "seconds": seconds,
            "flops": self.flops,
            "tiles_per_s": tiles / seconds,
            "steps_per_s": self.steps / seconds,
            "mfu": self.flops / seconds / self.peak if self.peak else None,
            "waited_share": self.waited / seconds,
            "plates_per_pass": self.plates / max(self.passes, 1),
            "wells_per_pass": self.wells / max(self.passes, 1),
        }
