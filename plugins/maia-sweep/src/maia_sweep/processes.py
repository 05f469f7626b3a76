"""The runner `processes`: a function is applied to many items in several processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from pydantic import Field

from maia_cli import process_started
from maia_core.plugin import PluginConfig, RunContext, RunError


class Processes:
    """Maps items onto processes that each keep the function, and so what it has loaded, from item to item."""

    class Config(PluginConfig):
        """Options of the runner."""

        workers: int = Field(2, ge=1, le=256)
        """Number of processes; each loads its own models."""

    def __init__(self, config: Config, context: RunContext) -> None:
        self._workers = config.workers

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        """See `maia_core.protocols.Runner`.

        Raises:
            RunError: a process was killed.
            Exception: what the function raised on an item, when its turn comes.
        """
        threads = max(1, (os.cpu_count() or 1) // self._workers)
        # A fresh interpreter each: a forked one would share locks and threads with the models of this one.
        spawn = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(self._workers, spawn, _begin, (function, threads))
        try:
            yield from pool.map(_apply, items)
        except BrokenProcessPool as error:
            raise RunError(
                "a worker process was killed, perhaps for lack of memory; run the command again with fewer --workers"
            ) from error
        finally:
            # A worker ends the item that it works on; Ctrl-C in the terminal has reached the worker too.
            pool.shutdown(wait=True, cancel_futures=True)


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
