"""Errors a user can act on.

Every message names the file, plate or well it is about and says what to do. The workflow prints such an
error as one line, as `in_one_line` does for commands; anything else is a bug and keeps its traceback.
"""

import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

P = ParamSpec("P")


class CampfireError(Exception):
    """Base of all errors with a remedy in the message."""


class ConfigError(CampfireError):
    """The configuration or a sheet is wrong."""


class DataError(CampfireError):
    """An input file is missing, unreadable, incomplete or altered."""


class SplitError(CampfireError):
    """Plates, wells or compounds do not suffice for the split that was asked for."""


class WeightsError(CampfireError):
    """Model weights are missing or do not fit the model."""


class InterruptedRunError(CampfireError):
    """A run stopped on a signal after writing a checkpoint; started again, it goes on from there."""


def reason(error: Exception) -> str:
    """The first line of what an exception says, or its kind where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def in_one_line(main: Callable[P, int]) -> Callable[P, int]:
    """A command's `main`: an error with a remedy is one line on stderr and exit code 1."""

    @wraps(main)
    def command(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return main(*args, **kwargs)
        except CampfireError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1

    return command
