"""Memory of short processes: freed memory is kept, and Python seldom looks for objects that nothing refers to."""

import atexit
import ctypes
import gc
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt (malloc.h)."""
LARGEST_KEPT = 32 << 20
"""Largest block that is kept, bytes: the most that glibc takes."""
KEPT = 256 << 20
"""Free memory of a heap above which it is given back, bytes."""
COMPLAINING = {"duckdb", "triton"}
"""Libraries that print a page of warnings about objects that are left over at a process's end."""
NEW_OBJECTS = 50_000
"""New Python objects after which unreachable ones are looked for; Python's own value is 700."""


def keep_freed_memory() -> bool:
    """Let this process keep freed memory for its next arrays; returns whether its C library can.

    By default glibc gives the memory of each array back to the system, which clears it before it is used again: 2 to 6
    of 25 to 30 ms of processor time per object of a download with eight threads (bench/download.py), and 28 % of an
    embedding on a CPU in batches of 16 tiles. Results do not depend on it.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)) and bool(mallopt(M_TRIM_THRESHOLD, KEPT))


def collect_seldom() -> None:
    """Make Python look for unreachable objects less often in this process, and not at all when it ends.

    Libraries make hundreds of thousands of objects when they are imported. Python goes through them again and again
    while they load, and several times before it exits: a third of the processor time of one that imports torch and
    scikit-learn (docs/performance.md). Nothing but cycles waits for it: arrays and tensors are freed at once as before,
    drawings (some megabytes each) later.
    """
    gc.set_threshold(NEW_OBJECTS, 10, 10)
    atexit.unregister(_leave_objects)
    atexit.register(_leave_objects)


def _leave_objects() -> None:
    """Hide all objects from the searches at the end of the process, whose memory the system takes back anyway."""
    if not sys.modules.keys() & COMPLAINING:
        gc.freeze()
