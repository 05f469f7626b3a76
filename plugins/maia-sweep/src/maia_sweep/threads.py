"""The runner `threads`: a function is applied to many items in several threads of this process."""

from __future__ import annotations

import contextvars
import ctypes
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import Field

from maia_core.plugin import PluginConfig, RunContext

GRACE_SECONDS = 10.0
"""How long Ctrl-C waits for the sessions to record that they were interrupted; a record is complete without that."""

NAME = "maia-session"
"""How the names of the threads begin."""

_END = object()


class Threads:
    """Maps items onto threads that share one copy of the weights: while one waits for a service, the others compute.

    A Ctrl-C interrupts every thread, as soon as the call returns that it waits for.
    """

    class Config(PluginConfig):
        """Options of the runner."""

        workers: int = Field(8, ge=1, le=256)
        """Number of sessions at the same time."""

    def __init__(self, config: Config, context: RunContext) -> None:
        self._workers = config.workers

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """See `maia_core.protocols.Runner`."""
        crew = _Crew(function, iter(items), self._workers)
        with _interrupting(crew):
            try:
                yield from crew.results()
            except BaseException:  # Whoever reads the results has failed or stopped: nobody would keep the others.
                crew.interrupt()
                raise
            finally:
                crew.end()


class _Crew:
    """Threads that work on the items of one call of `map`."""

    def __init__(self, function: Callable[[Any], Any], source: Iterator[Any], workers: int) -> None:
        self._function, self._source = function, source
        self._taking = threading.Lock()
        self._room = threading.Semaphore(2 * workers)  # For results that nobody has read yet.
        self._ended, self._interrupted = False, False
        self._done: queue.SimpleQueue[tuple[Any, Any, BaseException | None]] = queue.SimpleQueue()
        # Each has a context of its own, so that `Context.restart` gives it a run of its own.
        self._threads = [
            threading.Thread(target=contextvars.Context().run, args=(self._work,), name=f"{NAME}-{n}", daemon=True)
            for n in range(workers)
        ]

    def results(self) -> Iterator[tuple[Any, Any]]:
        """Yields each item with its result, as it comes.

        Raises:
            BaseException: a thread ended by an error that is not an `Exception`, or the source of items failed.
        """
        for thread in self._threads:
            thread.start()
        working = len(self._threads)
        while working:
            item, result, error = self._done.get()
            self._room.release()
            if error is not None:
                raise error
            if item is _END:
                working -= 1
            else:
                yield item, result

    def _work(self) -> None:
        try:
            while (item := self._next()) is not _END:
                try:
                    result = self._function(item)
                except Exception as error:
                    result = error
                self._done.put((item, result, None))
            self._done.put((_END, None, None))
        except BaseException as error:
            self._ended = True
            self._done.put((_END, None, error))

    def _next(self) -> Any:
        self._room.acquire()
        with self._taking:
            return _END if self._ended else next(self._source, _END)

    def interrupt(self) -> None:
        """Raises KeyboardInterrupt in every thread once, and waits a while until they have ended."""
        if self._interrupted:
            return
        self._interrupted = True
        self._take_no_more()
        for thread in self._threads:
            if thread.is_alive():
                ident, error = ctypes.c_ulong(thread.ident or 0), ctypes.py_object(KeyboardInterrupt)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, error)
        deadline = time.monotonic() + GRACE_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def end(self) -> None:
        """Lets the threads end the items that they work on; takes no others."""
        self._take_no_more()
        for thread in self._threads:
            if thread.ident is not None and not self._interrupted:
                thread.join()

    def _take_no_more(self) -> None:
        self._ended = True
        self._room.release(len(self._threads))


@contextmanager
def _interrupting(crew: _Crew) -> Iterator[None]:
    """Has Ctrl-C interrupt the threads first, whatever the main thread does: signals reach that one only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: Any) -> None:
        signal.signal(signal.SIGINT, before)  # A second Ctrl-C does not wait.
        crew.interrupt()
        signal.default_int_handler(number, frame)

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
