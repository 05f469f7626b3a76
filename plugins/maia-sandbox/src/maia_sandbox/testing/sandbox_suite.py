"""The conformance suite of sandboxes: what programs may rely on, and what no program may reach.

A plugin runs it by subclassing, with one fixture:

    class TestMySandbox(SandboxSuite):
        @pytest.fixture(scope="class")
        @classmethod
        def sandbox(cls):
            sandbox = MySandbox(MySandbox.Config(), cls.context())
            yield sandbox
            sandbox.close()
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from maia_core import testing
from maia_core.plugin import Context, ExecutionLimits, RunConfig, RunContext, Sandbox
from maia_sandbox.testing.hostile import Hostile, programs
from maia_sandbox.testing.trial import LIMITS, SuiteHost, Trap, children, fault, suite_secret

__all__ = ["SandboxSuite", "SuiteHost", "Trap", "children", "suite_secret"]


class SandboxSuite(testing.SandboxSuite):
    """Subclass it with a fixture `sandbox`: a sandbox made with `self.context()`."""

    limits: ClassVar[ExecutionLimits] = LIMITS
    """Small, so that the suite is quick."""
    names_late_line: ClassVar[bool] = True
    """False: a program that ran too long is stopped, but nobody can tell in which line it was."""

    @classmethod
    def context(cls) -> RunContext:
        """Returns the context to make the sandbox with."""
        return Context(RunConfig(experiment=cls.limits, seed=7))

    @pytest.fixture
    def host(self) -> SuiteHost:
        """What programs reach."""
        return SuiteHost()

    @pytest.fixture
    def trap(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trap]:
        """What hostile programs try to reach; in a folder that every user can enter."""
        for parent in (tmp_path, *tmp_path.parents):
            if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o755)
        monkeypatch.setenv("MAIA_HOSTILE_SECRET", suite_secret)
        trap = Trap(tmp_path)
        yield trap
        trap.close()

    @pytest.fixture
    def twin(self, sandbox: Sandbox) -> Iterator[Sandbox]:
        """A second instance, made with the default options."""
        # The test reaches into the sandbox.
        twin = type(sandbox)(type(sandbox).Config(), self.context())  # type: ignore[call-arg, attr-defined]
        yield twin
        twin.close()

    def test_time_limit_names_the_line_and_replaces_the_worker(self, sandbox: Sandbox, host: SuiteHost) -> None:
        sandbox.run("kept = 1", host)
        done = sandbox.run("print('before')\ndef run_experiment(system, tools):\n    while True: pass\n", host)
        assert "TimeLimit" in done.error
        assert "line 3" in done.error or not self.names_late_line
        assert (done.stdout, done.variables_lost) == ("before\n", True)
        after = sandbox.run("def run_experiment(system, tools): return kept", host)
        assert "NameError" in after.error
        assert not after.variables_lost

    def test_time_of_host_calls_does_not_count(self, sandbox: Sandbox, host: SuiteHost) -> None:
        def slow(*values: Any, **named: Any) -> None:
            time.sleep(self.limits.seconds / 2)

        host._echo = slow  # type: ignore[method-assign]  # The test reaches into the sandbox.
        done = sandbox.run("def run_experiment(system, tools):\n    for _ in range(4): tools.echo()", host)
        assert done.error == ""

    def test_output_is_cut_with_a_note(self, sandbox: Sandbox, host: SuiteHost) -> None:
        done = sandbox.run("print('x' * 150_000)\ndef run_experiment(system, tools): pass", host)
        assert "OutputLimitError" in done.error
        assert done.stdout.startswith("x" * 100_000)
        assert len(done.stdout) < 101_000

    def test_too_many_calls_are_refused(self, sandbox: Sandbox, host: SuiteHost) -> None:
        done = sandbox.run("def run_experiment(system, tools):\n    while True: tools.echo(1)", host)
        assert "CallLimitError" in done.error
        assert len(host.asked) <= self.limits.host_calls

    def test_images_that_are_dropped_make_room(self, sandbox: Sandbox, host: SuiteHost) -> None:
        entry = "def run_experiment(system, tools):\n"
        program = f"{entry}    for i in range(150): image = tools.image(i)\n    return image.title"
        assert sandbox.run(program, host).value == "a tiger on grass"
        kept = f"{entry}    kept = [tools.image(i) for i in range(150)]"
        assert str(self.limits.live_images) in sandbox.run(kept, host).error

    def test_clock_and_hashes_repeat(self, sandbox: Sandbox, twin: Sandbox, host: SuiteHost) -> None:
        program = "import time\ndef run_experiment(system, tools): return time.time(), hash('a')"
        host.number = 5
        first = sandbox.run(program, host).value
        assert twin.run(program, host).value == first

    def test_names_of_builtins_are_whole_for_the_next_program(self, sandbox: Sandbox, host: SuiteHost) -> None:
        sandbox.run("len = None\nkept = 1\ndef run_experiment(system, tools):\n    global max\n    max = 3", host)
        done = sandbox.run("def run_experiment(system, tools): return len([1, 2]), max(3, 4), kept", host)
        assert (done.error, done.value, done.variables_lost) == ("", "(2, 4, 1)", False)

    # What no program may reach.

    @pytest.mark.slow
    @pytest.mark.parametrize("hostile", list(programs()), ids=lambda hostile: f"{hostile.group}: {hostile.name}")
    def test_hostile(self, sandbox: Sandbox, host: SuiteHost, trap: Trap, hostile: Hostile) -> None:
        assert fault(sandbox, host, trap, hostile) == ""
