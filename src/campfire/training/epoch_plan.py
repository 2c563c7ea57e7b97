"""The order of an epoch: which tiles, in which step, on which process. A pure function of seed and epoch.

Shards (runs of neighbouring tiles of a plate) are shuffled into one sequence; each process takes its part of the
sequence, reads it window by window and shuffles the tiles inside a window. Every tile is used once per epoch, disks
read whole shards, and any position follows from (epoch, step).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def step_sizes(tiles: int, batch: int) -> Ints:
    """Split `tiles` into steps of `batch`; the last two share the rest when it is under half a batch."""
    full, rest = divmod(tiles, batch)
    sizes = [batch] * full
    if rest and (2 * rest >= batch or not full):
        sizes.append(rest)
    elif rest:
        total = sizes.pop() + rest
        sizes += [total - total // 2, total // 2]
    return np.array(sizes, dtype=np.int64)


def share(total: Ints, parts: int) -> Ints:
    """Split each of `total` (T,) as evenly as possible: (T, parts), earlier parts get the remainder."""
    base, rest = np.divmod(total[:, None], parts)
    extra: Ints = (np.arange(parts)[None, :] < rest).astype(np.int64)
    return base + extra


@dataclass(frozen=True)
class EpochPlan:
    """Steps of one epoch, the same on all processes."""

    group: Ints
    """(T,) group of plates (those with the same training channels) that the step draws from."""
    counts: Ints
    """(T, world) tiles of each process in the step."""

    @property
    def steps(self) -> int:
        return len(self.group)

    def offsets(self, group: int, rank: int) -> tuple[int, int]:
        """The part [start, stop) of the group's line that belongs to a process."""
        totals = self.counts[self.group == group].sum(axis=0)
        stops = np.cumsum(totals)
        return int(stops[rank] - totals[rank]), int(stops[rank])

    def used(self, group: int, rank: int, step: int) -> int:
        """Tiles of the group that the process has used before this step."""
        return int(self.counts[:step][self.group[:step] == group, rank].sum())


def plan_epoch(sizes: list[int], batch: int, world: int, rng: np.random.Generator | None) -> EpochPlan:
    """Plan an epoch over groups with `sizes` tiles; steps of different groups are mixed by `rng` (None: in order)."""
    per_group = [step_sizes(size, batch) for size in sizes]
    group = np.repeat(np.arange(len(sizes)), [len(p) for p in per_group])
    rows = np.concatenate(per_group) if per_group else np.empty(0, dtype=np.int64)
    if rng is not None and len(sizes) > 1:
        # Mix the groups; inside a group the steps keep their order, so full ones come first.
        mixed = rng.permutation(group)
        rows = rows[np.argsort(np.argsort(mixed, kind="stable"), kind="stable")]
        group = mixed
    return EpochPlan(group=group, counts=share(rows, world))


def cut_shards(sizes: list[int], shard: int) -> Ints:
    """Shards of plates with `sizes` tiles: (S, 3) plate, start, stop; the shards of a plate are of even length."""
    pieces = []
    for plate, size in enumerate(sizes):
        edges = np.linspace(0, size, max(1, -(-size // shard)) + 1).round().astype(np.int64)
        pieces.append(np.stack([np.full(len(edges) - 1, plate), edges[:-1], edges[1:]], axis=1))
    return np.concatenate(pieces) if pieces else np.empty((0, 3), dtype=np.int64)


def slice_line(shards: Ints, start: int, stop: int) -> Ints:
    """The pieces of `shards` (laid end to end) that cover positions [start, stop): (S', 3)."""
    edges = np.concatenate([[0], np.cumsum(shards[:, 2] - shards[:, 1])])
    first, last = np.searchsorted(edges, start, side="right") - 1, np.searchsorted(edges, stop, side="left")
    part = shards[first:last].copy()
    if len(part):
        part[-1, 2] -= edges[last] - stop
        part[0, 1] += start - edges[first]
    return part


def window_edges(tiles: int, window: int) -> Ints:
    """Cut `tiles` positions into windows of even length, at most `window` each: edges (W + 1,)."""
    return np.linspace(0, tiles, max(1, -(-tiles // window)) + 1).round().astype(np.int64)
