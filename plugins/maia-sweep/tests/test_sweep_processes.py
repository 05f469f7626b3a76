from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from maia_core.context import Context
from maia_core.errors import RunError, UsageError
from maia_core.registry import installed
from maia_core.testing import DistributionSuite, RunnerSuite
from maia_sweep.processes import Processes


class TestDistribution(DistributionSuite):
    distribution = "maia-sweep"


def processes(workers: int = 2) -> Processes:
    return Processes(Processes.Config(workers=workers), Context())


@pytest.mark.slow
class TestProcesses(RunnerSuite):
    @pytest.fixture
    def runner(self) -> Processes:
        return processes()


def die(number: int) -> int:
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def threads(number: int) -> str:
    return os.environ["OMP_NUM_THREADS"]


@pytest.mark.slow
def test_an_item_that_kills_its_worker_fails_with_one_line_and_the_others_go_on() -> None:
    """As the system does to one that takes too much memory."""
    results = dict(processes(1).map(die, range(4)))
    error = results.pop(1)
    assert isinstance(error, RunError)
    assert "fewer --workers" in str(error)
    assert results == {0: 0, 2: 2, 3: 3}


@pytest.mark.slow
def test_the_threads_are_shared_out() -> None:
    """Workers that all take every core are slower together than one after another."""
    assert dict(processes(os.cpu_count() or 1).map(threads, [1, 2])) == {1: "1", 2: "1"}


def test_options_are_checked() -> None:
    with pytest.raises(UsageError, match="workers"):
        Context().build("runner", "processes", workers=0)


SLOW = """
import sys, time
from pathlib import Path
from maia_core.context import Context
from maia_sweep.processes import Processes

def work(number):
    Path("begun-%d" % number).touch()
    try:
        time.sleep(60)
    finally:
        Path("ended-%d" % number).touch()

if __name__ == "__main__":
    try:
        list(Processes(Processes.Config(workers=2), Context()).map(work, range(6)))
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.fixture
def script(tmp_path: Path) -> subprocess.Popen[str]:
    """A program with two workers that are at their first items."""
    (tmp_path / "slow.py").write_text(SLOW)
    # A shell starts what it runs in the background with SIGINT ignored, and children inherit that.
    program = subprocess.Popen(
        [sys.executable, "slow.py"], cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    wait(lambda: len(list(tmp_path.glob("begun-*"))) == 2)
    return program


def wait(until) -> None:  # type: ignore[no-untyped-def]
    for _ in range(600):
        if until():
            return
        time.sleep(0.05)
    pytest.fail("it did not happen within 30 seconds")


@pytest.mark.slow
def test_ctrl_c_ends_what_is_under_way_and_begins_nothing_else(script: subprocess.Popen[str], tmp_path: Path) -> None:
    os.killpg(script.pid, signal.SIGINT)
    error = script.communicate(timeout=30)[1]
    assert script.returncode == 130
    assert error == ""
    assert len(list(tmp_path.glob("ended-*"))) == len(list(tmp_path.glob("begun-*"))) == 2


@pytest.mark.slow
def test_workers_end_with_a_parent_that_is_killed(script: subprocess.Popen[str]) -> None:
    """Else they would go on to the last unit, and nobody would know."""
    script.kill()
    script.communicate(timeout=30)

    def gone() -> bool:
        try:
            os.killpg(script.pid, 0)
        except ProcessLookupError:
            return True
        return False

    wait(gone)


def commands_with_workers(command: click.Command) -> Iterator[click.Command]:
    if isinstance(command, click.Group):
        for each in command.commands.values():
            yield from commands_with_workers(each)
    elif any(option.name == "runner" for option in command.params):
        yield command


def test_every_command_with_workers_takes_options_of_the_runner(tmp_path: Path) -> None:
    loaded = [plugin.load() for plugin in installed().of_kind("command")]
    commands = [each for command in loaded for each in commands_with_workers(command)]
    assert "sweep" in {command.name for command in commands}
    for command in commands:
        units = ["x:y:z"] if command.params[0].required else []
        done = CliRunner().invoke(command, [*units, "--out", str(tmp_path / "out"), "-o", "runner.workers=0"])
        assert "options of runner 'processes': 'workers'" in str(done.exception), (command.name, done.output)
