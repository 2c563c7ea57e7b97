"""Reuse of memory by a process that allocates and frees the same few megabytes over and over."""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt (malloc.h)."""
LARGEST_KEPT = 32 << 20
"""Largest block that is kept, bytes: the most that glibc takes."""
KEPT = 256 << 20
"""Free memory of a heap above which it is given back, bytes."""


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
