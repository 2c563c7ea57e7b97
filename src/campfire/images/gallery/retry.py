"""When to retry a request to S3, and how many to keep in flight: fewer when S3 throttles, more on success."""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from campfire.core.errors import DataError
from campfire.images.gallery.options import S3Options

LONGEST_PAUSE_S = 20.0
CUT_EVERY_S = 1.0
"""Seconds in which refusals count once: requests in flight together are refused together."""


class StoppedError(DataError):
    """Another object of the plate has ended the download."""


class Backoff:
    """The attempts of one request: counts them and waits between them, longer each time, half of it random."""

    def __init__(self, options: S3Options, stop: threading.Event | None = None) -> None:
        self._options = options
        self._stop = stop or threading.Event()
        self._jitter = random.Random()
        self.attempt = 1

    @property
    def spent(self) -> bool:
        """Whether this is the last attempt."""
        return self.attempt >= self._options.attempts

    def wait(self) -> None:
        """Pause before the next attempt; raises StoppedError as soon as `stop` is set."""
        longest = min(self._options.backoff_s * 2 ** (self.attempt - 1), LONGEST_PAUSE_S)
        if self._stop.wait(longest * (0.5 + 0.5 * self._jitter.random())):
            raise StoppedError("stopped")
        self.attempt += 1


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
