"""Repeating an attempt: how often, how long the pauses are, and when it ends early."""

import threading
import time

import pytest

from campfire.core.retry import Backoff, StoppedError, retry


def test_pauses_grow_and_end_on_stop() -> None:
    stop = threading.Event()
    backoff = Backoff(3, 0.01, stop)
    started = time.monotonic()
    backoff.wait()
    assert time.monotonic() - started >= 0.005 and not backoff.spent
    backoff.wait()
    assert backoff.spent
    stop.set()
    with pytest.raises(StoppedError):
        Backoff(8, 60, stop).wait()


def test_a_passing_error_is_retried_and_the_last_one_raised() -> None:
    asked: list[bool] = []
    warnings: list[str] = []

    def ask(last: bool) -> str:
        asked.append(last)
        if len(asked) < 3:
            raise TimeoutError(f"attempt {len(asked)}")
        return "answer"

    def warn(error: Exception, attempt: str) -> None:
        warnings.append(f"{error}, {attempt}")

    assert retry(ask, TimeoutError, Backoff(3, 0), warn) == "answer"
    assert asked == [False, False, True]
    assert warnings == ["attempt 1, attempt 1 of 3", "attempt 2, attempt 2 of 3"]
    asked.clear()
    with pytest.raises(TimeoutError, match="attempt 2"):
        retry(ask, TimeoutError, Backoff(2, 0), warn)


def test_another_error_and_a_stop_end_it_at_once() -> None:
    asked: list[bool] = []

    def ask(last: bool) -> None:
        asked.append(last)
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        retry(ask, TimeoutError, Backoff(8, 60), lambda *_: None)
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        retry(ask, ValueError, Backoff(8, 60, stop), lambda *_: None)
    assert asked == [False]
