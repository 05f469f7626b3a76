from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from maia_core.context import Context
from maia_core.errors import UsageError
from maia_core.testing import RunnerSuite
from maia_sweep.threads import NAME, Threads


def threads(workers: int = 2) -> Threads:
    return Threads(Threads.Config(workers=workers), Context())


class TestThreads(RunnerSuite):
    processes = False

    @pytest.fixture
    def runner(self) -> Threads:
        return threads()


def test_options_are_checked() -> None:
    with pytest.raises(UsageError, match="workers"):
        Context().build("runner", "threads", workers=0)


def test_items_are_worked_on_at_the_same_time() -> None:
    """A session that waits for a service must not hold back the others."""
    together = threading.Barrier(4)
    assert sorted(threads(4).map(lambda item: together.wait(10) >= 0, range(4))) == [(n, True) for n in range(4)]


def test_who_reads_no_further_gets_no_more_items_and_leaves_no_thread() -> None:
    taken = []
    results = threads().map(taken.append, iter(range(1000)))
    next(iter(results))
    results.close()  # type: ignore[attr-defined]
    assert len(taken) < 100
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(NAME)]


def test_a_source_that_fails_ends_the_map_with_its_error() -> None:
    def source():
        yield 1
        raise UsageError("the plan cannot be read")

    with pytest.raises(UsageError, match="the plan"):
        list(threads().map(str, source()))


def test_an_error_that_ends_the_process_ends_the_map() -> None:
    def leave(item: int) -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        list(threads().map(leave, range(3)))


SLOW = """
import sys, time
from pathlib import Path
from maia_core.context import Context
from maia_sweep.threads import Threads

def work(number):
    Path("begun-%d" % number).touch()
    try:
        while True:
            time.sleep(0.05)
    except KeyboardInterrupt:
        Path("interrupted-%d" % number).touch()
        raise

for _ in Threads(Threads.Config(workers=3), Context()).map(work, range(9)):
    pass
"""

SLOW_READER = SLOW.replace("while True", "while number").replace("    pass\n", "    time.sleep(60)\n")
"""The main thread is not in the runner when Ctrl-C comes."""


@pytest.mark.parametrize("program", [SLOW, SLOW_READER], ids=["waiting", "reading"])
def test_ctrl_c_interrupts_every_thread_and_begins_no_other_item(tmp_path: Path, program: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("begun-*"))) < 3 + (program == SLOW_READER) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    begun = {file.name.partition("-")[2] for file in tmp_path.glob("begun-*")} - {"0" * (program == SLOW_READER)}
    assert b"KeyboardInterrupt" in errors
    assert len(begun) == 3
    assert {file.name.partition("-")[2] for file in tmp_path.glob("interrupted-*")} == begun


def test_who_fails_to_read_a_result_interrupts_the_other_sessions() -> None:
    interrupted = []
    deadline = time.monotonic() + 10

    def work(number: int) -> int:
        try:
            while number and time.monotonic() < deadline:
                time.sleep(0.01)
        except KeyboardInterrupt:
            interrupted.append(number)
            raise
        return number

    results = threads(3).map(work, range(3))
    assert next(iter(results)) == (0, 0)
    results.close()  # type: ignore[attr-defined]
    assert sorted(interrupted) == [1, 2]
