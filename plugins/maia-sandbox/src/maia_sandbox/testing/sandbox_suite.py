"""The conformance suite of sandboxes: what programs may rely on, and what no program may reach.

A plugin runs it by subclassing, with one fixture:

    @pytest.fixture(scope="module")
    def sandbox():
        sandbox = MySandbox(MySandbox.Config(), SandboxSuite.context())
        yield sandbox
        sandbox.close()

    class TestMySandbox(SandboxSuite):
        pass
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from maia_core.plugin import Context, ExecutionLimits, RunConfig, RunContext, RunError, Sandbox
from maia_sandbox.testing.hostile import Hostile, programs
from maia_sandbox.testing.trial import LIMITS, SuiteHost, Trap, children, fault, fault_of_next, suite_secret

__all__ = ["SandboxSuite", "SuiteHost", "Trap", "children", "suite_secret"]


class SandboxSuite:
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

    # What programs may rely on.

    def test_value_output_and_calls_come_back(self, sandbox: Sandbox, host: SuiteHost) -> None:
        done = sandbox.run(
            "print('start')\ndef run_experiment(system, tools):\n"
            "    images = [tools.image(10), tools.image(20)]\n    activations, masked = system.neuron(images)\n"
            "    print(len(masked))\n    return activations\n",
            host,
        )
        assert (done.error, done.stdout, done.value, done.host_calls) == ("", "start\n2\n", "[10.0, 20.0]", 3)
        assert host.asked == ["tools.image", "tools.image", "system.neuron"]

    def test_older_name_of_the_entry_is_accepted(self, sandbox: Sandbox, host: SuiteHost) -> None:
        assert sandbox.run("def execute_command(system, tools): return 'text'", host).value == "text"

    def test_values_cross_unchanged(self, sandbox: Sandbox, host: SuiteHost) -> None:
        values = "[None, True, -3, 2.5, 'ä\\n', [1, (2, [3])], {'a': {'b': ()}}, float('inf'), '']"
        done = sandbox.run(f"def run_experiment(system, tools):\n    v = {values}\n    return tools.echo(v) == v", host)
        assert (done.error, done.value) == ("", "True")

    def test_properties_are_read_without_a_call(self, sandbox: Sandbox, host: SuiteHost) -> None:
        done = sandbox.run("def run_experiment(s, tools): return tools.results, s.info['model']", host)
        assert done.value == "([{'label': 'a', 'activations': (1.0, 2.5)}], 'suite')"

    def test_names_of_a_module_persist_and_locals_do_not(self, sandbox: Sandbox, host: SuiteHost) -> None:
        sandbox.run("kept = [1]\ndef helper(x):\n    return [x + y for y in kept]\n"
                    "def run_experiment(system, tools):\n    local = 1", host)  # fmt: skip
        done = sandbox.run("def run_experiment(system, tools):\n    kept.append(2)\n    return helper(1)", host)
        assert (done.value, done.variables_lost) == ("[2, 3]", False)
        assert "NameError" in sandbox.run("def run_experiment(system, tools): return local", host).error

    def test_last_programs_function_is_not_run_again(self, sandbox: Sandbox, host: SuiteHost) -> None:
        sandbox.run("def run_experiment(system, tools): return 1", host)
        assert "run_experiment(system, tools)" in sandbox.run("x = 1", host).error

    def test_error_names_the_programs_own_line(self, sandbox: Sandbox, host: SuiteHost) -> None:
        error = sandbox.run("\n\ndef run_experiment(system, tools):\n    x = 1\n    return x.lenght\n", host).error
        assert "line 5" in error
        assert "AttributeError" in error
        assert "maia_core" not in error

    def test_syntax_error_names_the_line(self, sandbox: Sandbox, host: SuiteHost) -> None:
        error = sandbox.run("x = 1\ndef run_experiment(system, tools)\n    pass\n", host).error
        assert "line 2" in error
        assert "SyntaxError" in error

    def test_wrong_parameters_are_explained(self, sandbox: Sandbox, host: SuiteHost) -> None:
        assert "(system, tools)" in sandbox.run("def run_experiment(system): pass", host).error

    def test_unknown_tool_lists_what_there_is(self, sandbox: Sandbox, host: SuiteHost) -> None:
        error = sandbox.run("def run_experiment(system, tools): tools.ecko(1)", host).error
        assert "AttributeError" in error
        assert "echo" in error
        assert not host.asked

    def test_refusal_of_a_tool_can_be_caught(self, sandbox: Sandbox, host: SuiteHost) -> None:
        program = "def run_experiment(system, tools):\n    try: tools.fail()\n    except Exception as e: return str(e)"
        assert sandbox.run(program, host).value == "give a list of prompts"
        error = sandbox.run("def run_experiment(system, tools):\n    tools.fail()", host).error
        assert "give a list of prompts" in error
        assert "line 2" in error

    def test_what_no_program_can_mend_reaches_the_caller(self, sandbox: Sandbox, host: SuiteHost) -> None:
        for name, kind in (("ended", RunError), ("broken", ZeroDivisionError)):
            program = f"def run_experiment(system, tools):\n    try: tools.{name}()\n    except BaseException: pass"
            with pytest.raises(kind):
                sandbox.run(program, host)
        self._check_next(sandbox)

    def test_images_are_handles(self, sandbox: Sandbox, host: SuiteHost) -> None:
        done = sandbox.run(
            "def run_experiment(system, tools):\n    a, b = tools.masked(), tools.image(200)\n"
            "    return a.title, a.width, a.height, a.size, a.clean == b, a == b, b.clean == b, tools.echo(a) == a\n",
            host,
        )
        assert (done.error, done.value) == ("", "('a tiger on grass', 32, 24, (32, 24), True, False, True, True)")

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

        host._echo = slow  # type: ignore[method-assign]
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

    def test_randomness_and_clock_repeat(self, sandbox: Sandbox, host: SuiteHost) -> None:
        program = (
            "import random, time\ndef run_experiment(system, tools): return random.random(), time.time(), hash('a')"
        )
        again = type(sandbox)(type(sandbox).Config(), self.context())  # type: ignore[call-arg, attr-defined]
        other = type(sandbox)(type(sandbox).Config(), self.context())  # type: ignore[call-arg, attr-defined]
        try:
            assert again.run(program, host).value == other.run(program, host).value != again.run(program, host).value
        finally:
            again.close()
            other.close()

    # What no program may reach.

    @pytest.mark.slow
    @pytest.mark.parametrize("hostile", list(programs()), ids=lambda hostile: f"{hostile.group}: {hostile.name}")
    def test_hostile(self, sandbox: Sandbox, host: SuiteHost, trap: Trap, hostile: Hostile) -> None:
        assert not fault(sandbox, host, trap, hostile)

    def _check_next(self, sandbox: Sandbox) -> None:
        assert not fault_of_next(sandbox)
