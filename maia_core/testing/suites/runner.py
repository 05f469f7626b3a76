"""What every `maia_core.protocols.Runner` does."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from maia_core.errors import MaiaError, ToolError
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

    def test_results_come_in_the_order_of_the_items(self, runner: Runner) -> None:
        assert [square for square, _, _ in runner.map(_Work(), range(12))] == [n * n for n in range(12)]

    def test_every_item_is_worked_on_once(self, runner: Runner, tmp_path: Path) -> None:
        list(runner.map(_Work(tmp_path), range(10)))
        assert sorted(int(file.name.partition("-")[0]) for file in tmp_path.iterdir()) == list(range(10))

    def test_a_worker_keeps_the_function(self, runner: Runner) -> None:
        """Otherwise each item would load the model again."""
        results = list(runner.map(_Work(), range(12)))
        workers = {worker for _, _, worker in results}
        assert len(workers) <= 2
        assert max(given for _, given, _ in results) >= 12 / len(workers)
        assert (os.getpid() not in workers) == self.processes

    def test_what_the_function_raises_arrives_in_its_turn(self, runner: Runner) -> None:
        results = iter(runner.map(_fail, range(6)))
        assert [next(results), next(results), next(results)] == [0, 1, 2]
        with pytest.raises(MaiaError, match="three is not taken"):
            next(results)

    def test_it_can_be_used_again_and_for_nothing(self, runner: Runner) -> None:
        assert list(runner.map(_fail, [])) == []
        assert list(runner.map(_fail, [1])) == [1]
        assert list(runner.map(_fail, iter([2, 4]))) == [2, 4]
