"""Reading tiles at their positions in the file, without a memory map.

A map fills the process's page tables (1.9 GB for each TB touched, for as long as the map is open), reads by page
faults, and lets the kernel read ahead of random accesses. Positioned reads ask for exactly the bytes of the tiles.
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from campfire.core.errors import DataError

FEW_READS, READS_AT_ONCE = 32, 16
"""From so many reads on they are made so many at once: a network disk answers each after milliseconds."""
LARGEST_READ = 1 << 26
"""Bytes of one system call; file systems may return fewer."""


class TileFile:
    """The tiles of a store's `.npy`, read by row numbers. Thread-safe; the file is opened on first use."""

    def __init__(self, images: NDArray[Any]) -> None:
        """images: the memory map of the array, which says where in the file it begins, its shape and type."""
        if not isinstance(images, np.memmap) or images.filename is None:
            raise TypeError("not a memory map of a file")
        self.path = Path(images.filename)
        self.shape, self.dtype, self.start = images.shape, images.dtype, int(images.offset)
        self.tile_bytes = int(np.prod(self.shape[1:])) * self.dtype.itemsize
        self._handle: int | None = None
        self._lock = threading.Lock()

    def read(self, rows: NDArray[np.signedinteger[Any]], out: NDArray[Any]) -> None:
        """Fill `out` (n, C, H, W), C order, with the tiles at `rows`; neighbouring rows are one read.

        DataError for a file that ends before its last tile.
        """
        if not len(rows):
            return
        if rows.min() < 0 or rows.max() >= self.shape[0]:
            raise IndexError(f"rows {rows.min()} to {rows.max()} of an array of {self.shape[0]} tiles")
        target = memoryview(out.reshape(-1).view(np.uint8).data)
        edges = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)]

        def fill(number: int) -> None:
            first, last = edges[number], edges[number + 1]
            part = target[first * self.tile_bytes : last * self.tile_bytes]
            self._fill(part, self.start + int(rows[first]) * self.tile_bytes)

        runs = range(len(edges) - 1)
        if len(runs) < FEW_READS:
            for number in runs:
                fill(number)
            return
        with ThreadPoolExecutor(READS_AT_ONCE) as pool:
            list(pool.map(fill, runs))

    def _fill(self, part: memoryview, position: int) -> None:
        handle = self._opened()
        while part:
            count = os.preadv(handle, [part[:LARGEST_READ]], position)
            if count == 0:
                raise DataError(f"{self.path}: ends at byte {position}, before its last tile; cut its tiles again")
            part, position = part[count:], position + count

    def _opened(self) -> int:
        with self._lock:
            if self._handle is None:
                self._handle = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
                # The reads say exactly what is needed; anything that the kernel adds is wasted.
                os.posix_fadvise(self._handle, 0, 0, os.POSIX_FADV_RANDOM)
            return self._handle

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None:
            os.close(self._handle)  # type: ignore[arg-type]
            self._handle = None
