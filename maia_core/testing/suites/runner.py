"""What every `maia_core.protocols.Runner` does."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from maia_core.errors import RunError, ToolError
from maia_core.protocols import Runner


class _Work:
    """Squares numbers; remembers how many it was given, as one that has loaded a model remembers the model."""

    def __init__(self, place: Path | None = None) -> None:
        self.place = place
        self.given = 0

    def __call__(self, number: int) -> tuple[int, int, int]:
        self.given += 1
        if self.place is not None:
            (self.place / f"{number}-{os.getpid()}-{time.monotonic_ns()}").touch()
        time.sleep(0.02 * (number % 3))
        return number * number, self.given, os.getpid()


class _Fatal:
    """Ends its own worker at some numbers: always at 1, and at 2 when it is given for the first time."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __call__(self, number: int) -> int:
        tried = self.place / f"{number}-{time.monotonic_ns()}"
        tried.touch()
        if number == 1 or (number == 2 and len(list(self.place.glob("2-*"))) == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        return number


def _fail(number: int) -> int:
    if number == 3:
        raise ToolError("three is not taken")
    return number


class RunnerSuite:
    """Subclass it and return the runner from the fixture `runner`, with two workers where it has any."""

    processes = True
    """Whether the function is sent to other processes."""

    @pytest.fixture
    def runner(self) -> Iterator[Runner]:
        """The runner under test."""
        raise NotImplementedError("override the fixture `runner`: it returns the runner under test")

    def test_each_item_comes_with_its_own_result(self, runner: Runner) -> None:
        results = list(runner.map(_Work(), range(12)))
        assert sorted((item, square) for item, (square, _, _) in results) == [(n, n * n) for n in range(12)]

    def test_every_item_is_worked_on_once(self, runner: Runner, tmp_path: Path) -> None:
        list(runner.map(_Work(tmp_path), range(10)))
        assert sorted(int(file.name.partition("-")[0]) for file in tmp_path.iterdir()) == list(range(10))

    def test_a_worker_keeps_the_function(self, runner: Runner) -> None:
        """Otherwise each item would load the model again."""
        results = list(runner.map(_Work(), range(12)))
        workers = {worker for _, (_, _, worker) in results}
        assert len(workers) <= 2
        assert max(given for _, (_, given, _) in results) >= 12 / len(workers)
        assert (os.getpid() not in workers) == self.processes

    def test_an_item_that_fails_does_not_end_the_others(self, runner: Runner) -> None:
        results = dict(runner.map(_fail, range(6)))
        error = results.pop(3)
        assert isinstance(error, ToolError)
        assert str(error) == "three is not taken"
        assert results == {n: n for n in (0, 1, 2, 4, 5)}

    def test_an_item_that_kills_its_worker_is_retried_once(self, runner: Runner, tmp_path: Path) -> None:
        """As the system kills a worker that takes too much memory."""
        if not self.processes:
            pytest.skip("the function runs in this process")
        results = dict(runner.map(_Fatal(tmp_path), range(6)))
        lost = results.pop(1)
        assert isinstance(lost, RunError)
        assert results == {n: n for n in (0, 2, 3, 4, 5)}
        tries = [len(list(tmp_path.glob(f"{n}-*"))) for n in range(6)]
        assert tries[1:3] == [2, 2]
        # Another item of a lost worker may be tried again too, never more than once.
        assert max(tries) == 2

    def test_items_are_taken_as_workers_become_free(self, runner: Runner) -> None:
        """A source of ten thousand units, or one that grows, is not read to its end at the start."""
        source = itertools.count(100)
        next(iter(runner.map(_fail, itertools.islice(source, 1000))))
        assert next(source) < 200

    def test_it_can_be_used_again_and_for_nothing(self, runner: Runner) -> None:
        assert list(runner.map(_fail, [])) == []
        assert list(runner.map(_fail, [1])) == [(1, 1)]
        assert sorted(runner.map(_fail, iter([2, 4]))) == [(2, 2), (4, 4)]
