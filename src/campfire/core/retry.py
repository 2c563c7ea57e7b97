"""Repeating what may succeed a moment later: a request to a server that is busy, or a connection that broke off."""

import random
import threading
from collections.abc import Callable
from typing import TypeVar

from campfire.core.errors import DataError

LONGEST_PAUSE_S = 20.0

T = TypeVar("T")


class StoppedError(DataError):
    """Another part of the work has ended it."""


class Backoff:
    """The attempts at one thing: counts them and waits between them, longer each time, half of it random.

    The first pause is `first_s` and doubles up to `LONGEST_PAUSE_S`.
    """

    def __init__(self, attempts: int, first_s: float, stop: threading.Event | None = None) -> None:
        self.attempts, self._first_s = attempts, first_s
        self._stop = stop or threading.Event()
        self._jitter = random.Random()
        self.attempt = 1

    @property
    def spent(self) -> bool:
        """Whether this is the last attempt."""
        return self.attempt >= self.attempts

    def check(self) -> None:
        """Raise StoppedError if `stop` is set."""
        if self._stop.is_set():
            raise StoppedError("stopped")

    def wait(self) -> None:
        """Pause before the next attempt; raises StoppedError as soon as `stop` is set."""
        longest = min(self._first_s * 2 ** (self.attempt - 1), LONGEST_PAUSE_S)
        self._stop.wait(longest * (0.5 + 0.5 * self._jitter.random()))
        self.check()
        self.attempt += 1


def retry(
    ask: Callable[[bool], T],
    passing: type[Exception] | tuple[type[Exception], ...],
    backoff: Backoff,
    warn: Callable[[Exception, str], None],
) -> T:
    """What `ask(last)` returns, asked again after each `passing` error until the attempts are spent.

    `ask` is told whether the attempt is the last; the error of that one is raised. `warn(error, "attempt 2 of 8")`
    is called for each of them.
    """
    while True:
        backoff.check()
        try:
            return ask(backoff.spent)
        except passing as error:
            warn(error, f"attempt {backoff.attempt} of {backoff.attempts}")
            if backoff.spent:
                raise
        backoff.wait()
