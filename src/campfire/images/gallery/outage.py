"""Waiting for an S3 that delivers nothing: an outage, a stalled network, or throttling that outlasts all attempts."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from campfire.core.text import duration
from campfire.images.gallery.faults import NotFoundError, RefusedError, UnavailableError

log = logging.getLogger(__name__)

PAUSE_S = 60.0
"""Seconds between two requests to an S3 that delivers nothing."""
TELL_EVERY_S = 600.0

T = TypeVar("T")


class Outage:
    """Waits up to `patience_s` each time that S3 delivers nothing. name: whom log lines are about, e.g. `plate P1`."""

    def __init__(self, name: str, patience_s: float) -> None:
        self.name, self.patience_s = name, patience_s
        self.waited = 0.0
        """Seconds that the last wait took."""

    def outlast(self, ask: Callable[[], T]) -> T:
        """What `ask()` returns, asked once a minute while S3 is unavailable; its last error when patience has ended."""
        self.waited, began, told = 0.0, time.monotonic(), float("-inf")
        while True:
            try:
                answer = ask()
            except UnavailableError as error:
                self.waited = time.monotonic() - began
                left = self.patience_s - self.waited
                if left <= 0:
                    raise
                if self.waited - told >= TELL_EVERY_S:
                    told = self.waited
                    log.warning(
                        "%s: S3 delivers nothing (%s); asking once a minute for up to %s more (s3.patience_s), what is "
                        "here is kept",
                        *(self.name, error, duration(left)),
                    )
                time.sleep(min(PAUSE_S, left))
                continue
            if self.waited:
                log.info("%s: S3 delivers again after %s", self.name, duration(time.monotonic() - began))
            return answer

    def has_passed(self, deliver: Callable[[], object]) -> bool:
        """Whether there was an outage that is over: False where `deliver()` works at once, or not within patience."""
        try:
            self.outlast(deliver)
        except UnavailableError:
            return False
        except (NotFoundError, RefusedError):
            pass  # an answer, if not the object
        return self.waited > 0
