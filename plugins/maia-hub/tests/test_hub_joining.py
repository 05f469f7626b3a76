"""Calls of several threads as one: which are joined, who gets an error, what an interrupt leaves behind."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from maia_hub.joining import POLL, Joiner

WAIT = 30
"""Seconds until a test fails that waits too long."""


class Doubling:
    """Doubles numbers; its first call waits until the test opens the gate, so that others come meanwhile."""

    def __init__(self, most: int = 10) -> None:
        self.batches: list[list[Any]] = []
        self.running = 0
        self.entered, self.gate = threading.Event(), threading.Event()
        self.joiner: Joiner[Any, Any] = Joiner(self.run, most)
        self.pool = ThreadPoolExecutor(16)

    def run(self, requests: list[Any]) -> list[Any]:
        assert not self.running, "two calls at the same time"
        self.running += 1
        try:
            self.batches.append(requests)
            if len(self.batches) == 1:
                self.entered.set()
                assert self.gate.wait(WAIT)
            return [self.double(request, len(requests) > 1) for request in requests]
        finally:
            self.running -= 1

    def double(self, request: Any, joined: bool) -> Any:
        return 2 * request

    def begin(self, request: Any = 0) -> Future[Any]:
        """Makes the first call, which runs until the gate opens."""
        first = self.pool.submit(self.joiner.call, request)
        assert self.entered.wait(WAIT)
        return first

    def ask(self, *arguments: Any, **options: Any) -> Future[Any]:
        """Makes a call, and returns when it waits."""
        before = len(self.joiner._waiting)
        future = self.pool.submit(self.joiner.call, *arguments, **options)
        until(lambda: len(self.joiner._waiting) == before + 1)
        return future


def until(true: Callable[[], bool]) -> None:
    tick = threading.Event()
    for _ in range(WAIT * 200):
        if true():
            return
        tick.wait(0.005)
    raise AssertionError("timed out")


def test_a_call_that_is_alone_starts_at_once_and_returns_its_own_error() -> None:
    doubling = Doubling()
    doubling.gate.set()
    assert doubling.joiner.call(4) == 8
    with pytest.raises(TypeError):
        doubling.joiner.call(None)
    assert doubling.joiner.call(5) == 10
    assert doubling.batches == [[4], [None], [5]]


def test_calls_that_come_meanwhile_are_joined_in_their_order_up_to_the_bound() -> None:
    doubling = Doubling(most=3)
    first = doubling.begin()
    others = [doubling.ask(number) for number in (1, 2, 3, 4, 5)]
    doubling.gate.set()
    assert first.result(WAIT) == 0
    assert [other.result(WAIT) for other in others] == [2, 4, 6, 8, 10]
    assert doubling.batches == [[0], [1, 2, 3], [4, 5]]


def test_sizes_and_keys_decide_who_is_joined_and_nobody_is_overtaken_for_ever() -> None:
    doubling = Doubling(most=4)
    doubling.begin()
    others = [
        doubling.ask(1, 3, "a"),
        doubling.ask(2, 3, "a"),  # Too large for the batch of the first.
        doubling.ask(3, 1, "b"),
        doubling.ask(4, 1, "a"),
        doubling.ask(5, 9, "b"),  # Larger than the bound: as it is, by itself.
        doubling.ask(6, 1, "b", alone=True),
        doubling.ask(7, 1, "b"),
    ]
    doubling.gate.set()
    assert [other.result(WAIT) for other in others] == [2, 4, 6, 8, 10, 12, 14]
    assert doubling.batches == [[0], [1, 4], [2], [3, 7], [5], [6]]


@pytest.mark.parametrize("most", [0, 1])
def test_a_bound_of_one_joins_nothing(most: int) -> None:
    doubling = Doubling(most)
    doubling.begin()
    others = [doubling.ask(number) for number in (1, 2)]
    doubling.gate.set()
    assert [other.result(WAIT) for other in others] == [2, 4]
    assert doubling.batches == [[0], [1], [2]]


def test_only_the_request_that_is_wrong_gets_the_error_of_a_joined_call() -> None:
    doubling = Doubling()
    doubling.begin()
    others = [doubling.ask(1), doubling.ask(None), doubling.ask(3)]
    doubling.gate.set()
    assert [others[0].result(WAIT), others[2].result(WAIT)] == [2, 6]
    with pytest.raises(TypeError):
        others[1].result(WAIT)
    assert doubling.batches == [[0], [1, None, 3], [1], [None], [3]]
    assert doubling.joiner.call(4) == 8


def test_a_request_without_a_result_runs_again_alone() -> None:
    doubling = Doubling()
    doubling.double = lambda request, joined: None if joined and request == 2 else 2 * request  # type: ignore[method-assign]  # one instance
    doubling.begin()
    others = [doubling.ask(1), doubling.ask(2)]
    doubling.gate.set()
    assert [other.result(WAIT) for other in others] == [2, 4]
    assert doubling.batches == [[0], [1, 2], [2]]


def test_where_memory_does_not_suffice_later_batches_are_smaller() -> None:
    class Small(Doubling):
        def double(self, request: Any, joined: bool) -> Any:
            if joined:
                raise MemoryError
            return 2 * request

    doubling = Small()
    doubling.begin()
    others = [doubling.ask(number, 2) for number in (1, 2, 3)]
    doubling.gate.set()
    assert [other.result(WAIT) for other in others] == [2, 4, 6]
    assert doubling.joiner.max_items == 3


def test_a_call_from_within_a_call_does_not_wait_for_itself() -> None:
    joiner: Joiner[int, int] = Joiner(lambda requests: [n if n == 0 else joiner.call(n - 1) + 1 for n in requests], 4)
    assert joiner.call(3) == 3


def _interrupt(thread: threading.Thread) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(KeyboardInterrupt))


def test_a_session_that_is_interrupted_while_it_waits_leaves_the_queue() -> None:
    doubling, ended = Doubling(), []

    def wait() -> None:
        try:
            doubling.joiner.call(1)
        except KeyboardInterrupt:
            ended.append(True)

    doubling.begin()
    waiting = threading.Thread(target=wait)
    waiting.start()
    until(lambda: len(doubling.joiner._waiting) == 2)
    other = doubling.ask(2)
    _interrupt(waiting)
    waiting.join(WAIT)
    assert ended
    assert POLL < 1, "Ctrl-C waits for it"
    doubling.gate.set()
    assert other.result(WAIT) == 4
    assert doubling.batches == [[0], [2]]


def test_an_interrupt_of_the_thread_that_works_for_others_does_not_lose_their_calls() -> None:
    class Interrupted(Doubling):
        def double(self, request: Any, joined: bool) -> Any:
            if joined and not self.gone:
                self.gone = True
                raise KeyboardInterrupt
            return 2 * request

        gone = False

    doubling = Interrupted()
    doubling.begin()
    others = [doubling.ask(number) for number in (1, 2, 3)]
    doubling.gate.set()
    with pytest.raises(KeyboardInterrupt):
        others[0].result(WAIT)
    assert [other.result(WAIT) for other in others[1:]] == [4, 6]
    assert doubling.joiner.call(5) == 10, "the part stays in use"
