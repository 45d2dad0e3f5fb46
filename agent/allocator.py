"""What the C library does with memory that was given back.

A batch of calls is judged in arrays of some megabytes, many times a second. By default glibc gives what is free at the
heap's end back to the system at once, and takes it again for the next batch, page by page: with 200 calls that was
14,000 page faults a second, and a tenth of all CPU. Other C libraries are left as they are.
"""

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt (https://man7.org/linux/man-pages/man3/mallopt.3.html)."""
KEPT = 32 * 1024 * 1024
"""Bytes that may be free at the heap's end; and what is smaller than this is taken from there."""


def keep_freed_memory() -> bool:
    """Have it kept for the next batch. Whether there is anybody to be told."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_TRIM_THRESHOLD, KEPT) and mallopt(_MMAP_THRESHOLD, KEPT))
