"""Joins the calls that several threads make at the same time into one."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Q = TypeVar("Q")
R = TypeVar("R")

POLL = 0.2
"""Seconds after which a waiting thread looks whether it was interrupted."""


@dataclass(eq=False)
class _Call(Generic[Q, R]):
    """A call that waits.

    Attributes:
        request: What is asked for.
        size: Items that count towards the limit of a batch.
        key: Only calls of an equal key are joined.
        alone: Whether it must not be joined.
        thread: The thread that waits for it.
        results: Its result; empty until it has one.
    """

    request: Q
    size: int
    key: Hashable
    alone: bool
    thread: threading.Thread
    results: list[R] = field(default_factory=list)


class Joiner(Generic[Q, R]):
    """Makes one call at a time, and joins the calls that wait meanwhile.

    A call that comes while none runs starts at once. Those that come meanwhile wait for its end at most, and then for
    the batches of the calls before them: the oldest call begins the next batch and takes with it as many of the
    waiting ones as fit. The threads that wait do the work: the one of the oldest call makes the call for all.

    If a joined call fails, each of its callers repeats it alone, so that only the one whose request is wrong gets the
    error.

    Attributes:
        max_items: Most items of a joined call; 1 or less joins nothing. Halved when memory does not suffice.
    """

    def __init__(self, run: Callable[[list[Q]], Sequence[R | None]], max_items: int) -> None:
        """Makes no call yet.

        Args:
            run: Carries out one request, or several at once, and returns as many results. It never runs in two threads
                at the same time. None instead of the result of one of several: that request runs again, alone.
            max_items: Most items of a joined call.
        """
        self._run, self.max_items = run, max_items
        self._changed = threading.Condition()
        self._waiting: list[_Call[Q, R]] = []
        self._leader: threading.Thread | None = None

    def call(self, request: Q, size: int = 1, key: Hashable = None, *, alone: bool = False) -> R:
        """Returns the result of a request, which other threads' requests may be joined with.

        Args:
            request: What `run` gets.
            size: Its items. One of more than `max_items` items is joined with none but empty ones.
            key: Only requests of an equal key are joined.
            alone: Whether to join it with none.

        Raises:
            Exception: what `run` raised for this request alone.
        """
        thread = threading.current_thread()
        if self._leader is thread:  # `run` itself makes a call.
            return _only(self._run([request]))
        call = _Call[Q, R](request, size, key, alone, thread)
        with self._changed:
            self._waiting.append(call)
        try:
            while not call.results:
                if batch := self._turn(call, thread):
                    self._carry_out(batch)
        finally:
            with self._changed:
                self._waiting = [other for other in self._waiting if other is not call and not other.results]
                if self._leader is thread:
                    self._leader = None
                self._changed.notify_all()
        return call.results[0]

    def _turn(self, call: _Call[Q, R], thread: threading.Thread) -> list[_Call[Q, R]]:
        """Returns the batch that a thread carries out, if it is its turn; else waits a while and returns nothing."""
        with self._changed:
            if call.results:
                return []
            # Ctrl-C may end a thread anywhere, also before it gives its place up.
            self._waiting = [other for other in self._waiting if other.thread.is_alive()]
            leader = self._leader
            if (leader is None or leader is thread or not leader.is_alive()) and self._waiting[0] is call:
                self._leader = thread
                return self._batch(call)
            self._changed.wait(POLL)
            return []

    def _batch(self, first: _Call[Q, R]) -> list[_Call[Q, R]]:
        """Returns a call and those waiting that can be joined with it, oldest first."""
        batch, total = [first], first.size
        for call in self._waiting[1:]:
            if not first.alone and not call.alone and call.key == first.key and total + call.size <= self.max_items:
                batch.append(call)
                total += call.size
        return batch

    def _carry_out(self, batch: list[_Call[Q, R]]) -> None:
        if len(batch) == 1:
            batch[0].results.append(_only(self._run([batch[0].request])))
            return
        try:
            pairs = list(zip(batch, self._run([call.request for call in batch]), strict=True))
        except Exception as error:  # Each caller repeats its request alone, so that only the wrong one fails.
            if _is_out_of_memory(error):
                self.max_items = sum(call.size for call in batch) // 2
            pairs = [(call, None) for call in batch]
        for call, result in pairs:
            if result is None:
                call.alone = True
            else:
                call.results.append(result)


def _only(results: Sequence[R | None]) -> R:
    (result,) = results
    assert result is not None
    return result


def _is_out_of_memory(error: Exception) -> bool:
    from maia_hub.device import is_out_of_memory

    return is_out_of_memory(error) if "torch" in sys.modules else isinstance(error, MemoryError)
