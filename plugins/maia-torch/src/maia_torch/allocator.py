"""Keeps the memory that torch frees on the CPU, instead of handing it back to the kernel after every layer."""

from __future__ import annotations

import ctypes
import functools
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""Numbers of glibc's `mallopt` (malloc.h)."""

KEPT = 1 << 30
"""Bytes that stay with the process when they are freed."""


@functools.cache
def keep_freed_memory() -> bool:
    """Sets glibc's allocator for large, short-lived blocks; returns whether it could.

    A batch's activations are tens of megabytes. By default glibc maps such a block and unmaps it when it is freed, so
    the kernel zeroes every page of every layer anew: a third to two thirds of the time of a small network's pass. One
    arena for all threads, because those of other threads are too small for such blocks. Other allocators and systems
    are left alone.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return all(mallopt(*option) for option in ((M_MMAP_THRESHOLD, KEPT), (M_TRIM_THRESHOLD, KEPT), (M_ARENA_MAX, 1)))
