"""The runner `processes`: a function is applied to many items in several processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from pydantic import Field

from maia_cli import process_started
from maia_core.plugin import PluginConfig, RunContext, RunError


class Processes:
    """Maps items onto processes that each keep the function, and so what it has loaded, from item to item.

    Attributes:
        tries: Number of processes that may be lost to one item.
    """

    tries = 2

    class Config(PluginConfig):
        """Options of the runner."""

        workers: int = Field(2, ge=1, le=256)
        """Number of processes; each loads its own models."""

    def __init__(self, config: Config, context: RunContext) -> None:
        self._workers = config.workers

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """See `maia_core.protocols.Runner`."""
        source, again = iter(items), deque[tuple[Any, int]]()
        # Pools of one process each: the loss of one tells which item was its.
        idle = [self._pool(function) for _ in range(self._workers)]
        busy: dict[Future[Any], tuple[ProcessPoolExecutor, Any, int]] = {}
        try:
            while True:
                while idle and (taken := again.popleft() if again else next(((item, 1) for item in source), None)):
                    pool = idle.pop()
                    busy[pool.submit(_apply, taken[0])] = (pool, *taken)
                if not busy:
                    return
                for future in wait(busy, return_when=FIRST_COMPLETED).done:
                    pool, item, number = busy.pop(future)
                    error = future.exception()
                    if isinstance(error, BrokenProcessPool):
                        pool.shutdown()
                        pool = self._pool(function)
                        if number < self.tries:
                            again.append((item, number + 1))
                            idle.append(pool)
                            continue
                        error = RunError(
                            f"its worker process was killed {self.tries} times, perhaps for lack of memory; "
                            "run the command again with fewer --workers"
                        )
                    elif error is not None and not isinstance(error, Exception):
                        raise error  # Ctrl-C.
                    idle.append(pool)
                    yield item, future.result() if error is None else error
        finally:
            # A worker ends the item that it works on; Ctrl-C in the terminal has reached the worker too.
            for pool in [*idle, *(pool for pool, _, _ in busy.values())]:
                pool.shutdown(wait=False, cancel_futures=True)
            wait(busy)

    def _pool(self, function: Callable[[Any], Any]) -> ProcessPoolExecutor:
        threads = max(1, (os.cpu_count() or 1) // self._workers)
        # A fresh interpreter each: a forked one would share locks and threads with the models of this one.
        spawn = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(1, spawn, _begin, (function, threads))


_function: Callable[[Any], Any] | None = None
_stopped = False


def _begin(function: Callable[[Any], Any], threads: int) -> None:
    """Prepares a worker process."""
    global _function
    _function = function
    os.environ["OMP_NUM_THREADS"] = str(threads)  # Before torch is imported.
    process_started()
    signal.signal(signal.SIGINT, _stop)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _apply(item: Any) -> Any:
    """Applies the function, which Ctrl-C interrupts; after Ctrl-C, skips the items that the worker got before it."""
    global _stopped
    assert _function is not None
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if _stopped:
            raise KeyboardInterrupt
        return _function(item)
    except KeyboardInterrupt:
        _stopped = True
        raise
    finally:
        signal.signal(signal.SIGINT, before)


def _stop(number: int, frame: Any) -> None:
    """Remembers a Ctrl-C between two items, which would otherwise only print a traceback."""
    global _stopped
    _stopped = True


def _end_with_parent() -> None:
    """Ends this process when its parent was killed: nobody reads its results any more."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
