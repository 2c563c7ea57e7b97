"""Batches of an epoch, prefetched: threads read shards, shuffle windows and gather batches."""

import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from campfire.core.files import atomic_path
from campfire.core.random import keyed_generator
from campfire.training.epoch_plan import EpochPlan, cut_shards, slice_line, window_edges
from campfire.training.source import Group, Source, copy_planes


@dataclass(frozen=True)
class Batch:
    """Tiles of one forward pass of one process."""

    step: int
    """Step in the epoch, from 0."""
    part: int
    """Forward pass inside the step, from 0."""
    parts: int
    total: int
    """Tiles of the step over all processes."""
    images: torch.Tensor
    """(b, c, H, W) as stored (uint16 or uint8), this step's channels only."""
    channels: tuple[str, ...]
    plates: NDArray[np.int64]
    """(b,) plate of each tile, as a number in Source.plates."""
    rows: NDArray[np.int64]
    """(b,) row of each tile in its plate's array."""


@dataclass
class _Window:
    images: NDArray[Any]
    plates: NDArray[np.int64]
    rows: NDArray[np.int64]
    order: NDArray[np.int64]


class _Stream:
    """The tiles of one group that belong to this process in one epoch, from a position on."""

    def __init__(
        self, group: Group, first_plate: int, span: tuple[int, int], used: int, key: tuple[int, ...],
        loader: "Loader", pool: ThreadPoolExecutor,
    ) -> None:  # fmt: skip
        self.group, self.first_plate, self.key, self.pool, self.loader = group, first_plate, key, pool, loader
        shards = cut_shards(group.sizes, loader.shard_tiles)
        if loader.shuffle:
            # The order of shards is common to all processes; each takes its part of the line.
            shards = keyed_generator(*key[:3]).permutation(shards)
        self.part = slice_line(shards, *span)
        self.edges = window_edges(span[1] - span[0], loader.window_tiles)
        self.number = int(np.searchsorted(self.edges, used, side="right") - 1) if used else 0
        self.place = used - int(self.edges[self.number]) if self.number < len(self.edges) - 1 else 0
        self.current: _Window | None = None
        self.next: tuple[_Window, list[Future[None]]] | None = None
        self._request(self.number)

    def _request(self, number: int) -> None:
        """Start reading a window."""
        if number >= len(self.edges) - 1 or self.edges[-1] == 0:
            self.next = None
            return
        pieces = slice_line(self.part, int(self.edges[number]), int(self.edges[number + 1]))
        size = int(self.edges[number + 1] - self.edges[number])
        first = self.group.plates[0]
        shape = (size, len(self.group.channels), *first.images.shape[2:])
        order = keyed_generator(*self.key, number).permutation(size) if self.loader.shuffle else np.arange(size)
        window = _Window(np.empty(shape, self.group.dtype), np.empty(size, np.int64), np.empty(size, np.int64), order)
        for plate, start, stop in pieces:
            self.group.plates[plate].announce(int(start), int(stop))
        futures, at = [], 0
        for plate, start, stop in pieces:
            futures.append(self.pool.submit(self._read, window, at, int(plate), int(start), int(stop)))
            at += int(stop - start)
        self.next = (window, futures)

    def _read(self, window: _Window, at: int, plate: int, start: int, stop: int) -> None:
        source, end = self.group.plates[plate], at + stop - start
        source.read(start, stop, window.images[at:end])
        window.plates[at:end] = self.first_plate + plate
        window.rows[at:end] = source.rows[start:stop]

    def _advance(self) -> _Window:
        if self.next is None:
            raise RuntimeError("the plan asks for more tiles than there are")  # a bug, not a user's mistake
        window, futures = self.next
        for future in futures:
            future.result()
        self.number += 1
        self._request(self.number)
        return window

    def take(self, count: int) -> list[tuple[_Window, NDArray[np.int64]]]:
        """The next `count` tiles as (window, positions in it)."""
        pieces = []
        while count:
            if self.current is None or self.place >= len(self.current.order):
                # The first window of a resumed run may start in the middle; later ones start at 0.
                self.place = self.place if self.current is None else 0
                self.current = self._advance()
            chosen = self.current.order[self.place : self.place + count]
            self.place += len(chosen)
            count -= len(chosen)
            pieces.append((self.current, chosen))
        return pieces


class Loader:
    """Batches of a split for one process; `epoch(...)` may begin at any step."""

    def __init__(
        self, source: Source, batch_size: int, rank: int = 0, seed: int = 0, shuffle: bool = True,
        shard_tiles: int = 1024, window_tiles: int = 16_384, threads: int = 2, prefetch: int = 3, pin: bool = False,
    ) -> None:  # fmt: skip
        self.source, self.batch_size, self.rank, self.seed, self.shuffle = source, batch_size, rank, seed, shuffle
        self.shard_tiles, self.window_tiles, self.threads = shard_tiles, window_tiles, threads
        self.prefetch, self.pin = prefetch, pin

    def epoch(
        self, plan: EpochPlan, epoch: int, first_step: int = 0,
        choose: Callable[[int, tuple[str, ...]], Sequence[int]] | None = None,
    ) -> Generator[Batch, None, None]:  # fmt: skip
        """Batches of the steps from `first_step` on, made by a thread.

        `choose(step, channels)` returns the positions of the channels that the step uses (None: all).
        """
        ready: queue.Queue[Batch | BaseException | None] = queue.Queue(self.prefetch)
        stop = threading.Event()

        def offer(item: Batch | BaseException | None) -> bool:
            while not stop.is_set():
                try:
                    ready.put(item, timeout=0.1)
                    return True
                except queue.Full:
                    continue
            return False

        def produce() -> None:
            try:
                with ThreadPoolExecutor(self.threads, thread_name_prefix="read-tiles") as pool:
                    for batch in self._make(plan, epoch, first_step, choose, pool):
                        if not offer(batch):
                            return
                offer(None)
            except BaseException as error:  # noqa: BLE001 (raised again by the consumer of the batches)
                offer(error)

        thread = threading.Thread(target=produce, name="make-batches", daemon=True)
        thread.start()
        try:
            while (item := ready.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            stop.set()
            thread.join()

    def _make(
        self, plan: EpochPlan, epoch: int, first_step: int,
        choose: Callable[[int, tuple[str, ...]], Sequence[int]] | None, pool: ThreadPoolExecutor,
    ) -> Iterator[Batch]:  # fmt: skip
        streams, first_plate = [], 0
        for number, group in enumerate(self.source.groups):
            key = (self.seed, epoch, number, self.rank)
            used = plan.used(number, self.rank, first_step)
            span = plan.offsets(number, self.rank)
            streams.append(_Stream(group, first_plate, span, used, key, self, pool))
            first_plate += len(group.plates)
        for step in range(first_step, plan.steps):
            group = self.source.groups[plan.group[step]]
            picked = list(range(len(group.channels))) if choose is None else list(choose(step, group.channels))
            mine = int(plan.counts[step, self.rank])
            if not mine and not self.shuffle:
                continue  # a last validation batch of fewer tiles than processes
            # Every process makes the same number of passes, even without a tile: collective calls must match.
            parts = max(1, -(-int(plan.counts[step].max()) // self.batch_size))
            sizes = np.diff(np.linspace(0, mine, parts + 1).round().astype(int))
            for part, size in enumerate(sizes):
                pieces = streams[plan.group[step]].take(int(size))
                yield self._gather(step, part, parts, int(plan.counts[step].sum()), pieces, group, picked)

    def _gather(
        self, step: int, part: int, parts: int, total: int, pieces: list[tuple[_Window, NDArray[np.int64]]],
        group: Group, picked: list[int],
    ) -> Batch:  # fmt: skip
        size = sum(len(chosen) for _, chosen in pieces)
        out = torch.empty(
            (size, len(picked), *group.plates[0].images.shape[2:]),
            dtype=torch.uint16 if group.dtype == np.uint16 else torch.uint8,
            pin_memory=self.pin,
        )
        array, at, columns = out.numpy(), 0, np.asarray(picked)
        for source, chosen in pieces:
            copy_planes(source.images, chosen, columns, array[at : at + len(chosen)])
            at += len(chosen)
        return Batch(
            step, part, parts, total, out, tuple(group.channels[c] for c in picked),
            np.concatenate([w.plates[c] for w, c in pieces] or [np.empty(0, np.int64)]),
            np.concatenate([w.rows[c] for w, c in pieces] or [np.empty(0, np.int64)]),
        )  # fmt: skip


def save_batches(path: Path, batches: Sequence[Batch], source: Source) -> None:
    """Write tiles as they were read, with their channels, plates and row numbers, as .npz."""
    with atomic_path(path) as partial:
        np.savez(
            partial,
            images=np.concatenate([b.images.numpy() for b in batches]),
            channels=np.array(batches[0].channels),
            plate=np.array([source.plates[p] for b in batches for p in b.plates]),
            row=np.concatenate([b.rows for b in batches]),
        )
