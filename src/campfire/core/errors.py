"""Errors a user can act on.

Every message names the file, plate or well it is about and says what to do. The workflow prints such an
error as one line, as `in_one_line` does for commands; anything else is a bug and keeps its traceback.
"""

import errno
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
    """There are too few plates, wells or compounds for the requested split."""


class WeightsError(CampfireError):
    """Model weights are missing or do not fit the model."""


class InterruptedRunError(CampfireError):
    """A run stopped on a signal after writing a checkpoint; the next start resumes from it."""


class DivergedError(CampfireError):
    """A training whose loss is too often not finite."""


def reason(error: Exception) -> str:
    """First line of an exception's message, or its class name if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


OS_REMEDIES = {
    errno.ENOSPC: "make room on that disk and start again: what was finished is kept",
    errno.EDQUOT: "make room within your quota and start again: what was finished is kept",
    errno.EROFS: "that disk is mounted read-only; choose a folder where you may write",
    errno.EACCES: "you have no right to do that there; change the rights, or choose another place",
    errno.EPERM: "you have no right to do that there; change the rights, or choose another place",
    errno.ENOENT: "there is no such file or folder; correct the path",
    errno.ENOTDIR: "a part of the path is a file, not a folder; correct the path",
    errno.EISDIR: "it is a folder, not a file; correct the path",
    errno.EEXIST: "a part of the path is a file, not a folder, or the name is taken; choose another",
    errno.ENAMETOOLONG: "the name is too long for this file system; shorten the name or the folders",
    errno.ELOOP: "its symbolic links form a loop; correct the link",
    errno.EMFILE: "too many files are open; raise the limit (`ulimit -n 4096`)",
    errno.EIO: "the disk or network drive does not answer properly; check it and start again",
    errno.ESTALE: "the network drive was remounted; start again",
    errno.ETXTBSY: "another program uses the file; close it and start again",
}
"""What to do about the operating system's errors on files."""


def explain_os_error(error: OSError, path: object = None) -> str:
    """One line for an operating-system error on a file: path, reason, remedy; "" for any other error."""
    remedy = OS_REMEDIES.get(error.errno or 0)
    where = path or error.filename
    if remedy is None or (where is None and error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EMFILE)):
        return ""
    return f"{where or 'output'}: {error.strerror}; {remedy}"


def in_one_line(main: Callable[P, int]) -> Callable[P, int]:
    """Run a command's `main`: an error with a remedy, or on a file, becomes one line on stderr and exit code 1."""

    @wraps(main)
    def command(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return main(*args, **kwargs)
        except CampfireError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        except BrokenPipeError:
            raise
        except OSError as error:
            explanation = explain_os_error(error)
            if not explanation:
                raise
            print(f"error: {explanation}", file=sys.stderr)
            return 1

    return command
