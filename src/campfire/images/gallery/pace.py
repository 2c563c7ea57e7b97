"""How many requests to keep in flight: fewer when S3 throttles, more on success."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

CUT_EVERY_S = 1.0
"""Seconds in which refusals count once: requests in flight together are refused together."""


class Pace:
    """Requests in flight, at most `most`: halved when S3 throttles, one more after as many successes.

    Shared by the threads of a download. `limit` is the present bound.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._free = threading.Condition()
        self._running = 0
        self._last_cut = float("-inf")
        self.limit = float(most)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn to make a request, and give it back."""
        with self._free:
            self._free.wait_for(lambda: self._running < int(self.limit))
            self._running += 1
        try:
            yield
        finally:
            with self._free:
                self._running -= 1
                self._free.notify_all()

    def succeeded(self) -> None:
        with self._free:
            self.limit = min(float(self._most), self.limit + 1 / self.limit)
            self._free.notify_all()

    def slow_down(self) -> bool:
        """Halve the limit unless that has just been done; returns whether it was."""
        with self._free:
            if time.monotonic() - self._last_cut < CUT_EVERY_S:
                return False
            self._last_cut = time.monotonic()
            self.limit = max(1.0, self.limit / 2)
            return True
