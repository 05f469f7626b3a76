"""Work on a sequence ahead of whoever consumes it, in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")

BATCH = 16
"""Images of one forward pass, whatever number is asked for; read while the pass before them runs."""


def prefetched(function: Callable[[A], B], items: Iterable[A], ahead: int, workers: int = 2) -> Iterator[B]:
    """Yields `function(item)` in order; at most `ahead` results wait. An exception is raised where its result stood."""
    rest = iter(items)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="prefetch")
    try:
        waiting: deque[Future[B]] = deque(pool.submit(function, item) for item in islice(rest, ahead))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(function, item) for item in islice(rest, 1))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
