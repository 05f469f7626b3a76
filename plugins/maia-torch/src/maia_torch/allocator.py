"""Keeps the memory that torch frees on the CPU, instead of returning it to the kernel after every layer.

An observer: MAIA calls `process_started` in processes of its own only. A library must not change the allocator of a
notebook or of another program.
"""

from __future__ import annotations

import ctypes
import sys

from maia_core.plugin import hookimpl

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""Numbers of glibc's `mallopt` (malloc.h)."""

MAX_FREED = 1 << 30
"""Freed bytes that stay with the process."""


@hookimpl
def process_started() -> None:
    """Sets glibc's allocator for large, short-lived blocks.

    A batch's activations are tens of megabytes. By default glibc maps such a block and unmaps it when it is freed, so
    the kernel zeroes every page of every layer again: a third to two thirds of the time of a small network's pass. One
    arena serves all threads, because those of other threads are too small for such blocks. Other allocators and systems
    stay as they are.
    """
    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    for option, value in ((M_MMAP_THRESHOLD, MAX_FREED), (M_TRIM_THRESHOLD, MAX_FREED), (M_ARENA_MAX, 1)):
        mallopt(option, value)
