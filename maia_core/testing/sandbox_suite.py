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
import secrets
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from maia_core.config import RunConfig
from maia_core.context import Context
from maia_core.errors import RunError, ToolError
from maia_core.protocols import Sandbox
from maia_core.testing.hostile import ESCAPED, Hostile, programs
from maia_core.types import Execution, ExecutionLimits, Image

suite_secret = secrets.token_hex(16)
"""Must never be seen by a program; it is a module's name, an attribute, an environment variable and a file."""


class SuiteHost:
    """A host that keeps a secret and notes what it was asked."""

    methods = frozenset(
        ["system.neuron", "system.info", "tools.results"]
        + [f"tools.{name}" for name in ("echo", "image", "masked", "fail", "broken", "ended")]
    )
    properties = frozenset(["system.info", "tools.results"])
    number = 0

    def __init__(self) -> None:
        self.hostile_secret = suite_secret
        self.asked: list[str] = []
        self.images: list[Image] = []

    def call(self, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """See `maia_core.protocols.Host`."""
        assert method in self.methods, "the sandbox passed on a call of something that is not offered"
        self.asked.append(method)
        function = getattr(self, f"_{method.partition('.')[2]}")
        if method in self.properties:
            return function
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            raise ToolError(str(error)) from None

    _info: ClassVar[dict[str, Any]] = {"model": "suite", "unit": "1"}
    _results: ClassVar[list[Any]] = [{"label": "a", "activations": (1.0, 2.5)}]

    def _neuron(self, images: list[Image]) -> tuple[list[float], list[Image]]:
        return [float(image.pixels().mean()) for image in images], images

    def _echo(self, *values: Any, **named: Any) -> Any:
        self.images += [value for value in values if isinstance(value, Image)]
        return values[0] if len(values) == 1 and not named else [list(values), named]

    def _image(self, brightness: int = 0) -> Image:
        return Image.from_pixels(np.full((24, 32, 3), brightness % 256, np.uint8), "a tiger on grass")

    def _masked(self) -> Image:
        mask = np.zeros((24, 32), np.bool_)
        mask[:12] = True
        return self._image(200).masked(mask)

    def _fail(self) -> None:
        raise ToolError("give a list of prompts")

    def _broken(self) -> None:
        raise ZeroDivisionError(suite_secret)

    def _ended(self) -> None:
        raise RunError("the generator is gone")


class Trap:
    """What shows that a program got out: a folder, a secret file, a listener."""

    def __init__(self, folder: Path) -> None:
        self.canary = folder / "canary"
        self.canary.mkdir()
        self.secret = folder / "secret"
        self.secret.write_text(suite_secret)
        for path in (folder, self.canary, self.secret):
            path.chmod(0o777)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)

    def arm(self, program: str) -> str:
        """Fills in where the trap is."""
        port = self.listener.getsockname()[1]
        for word, value in (("@CANARY@", self.canary), ("@SECRET@", self.secret), ("@PORT@", port)):
            program = program.replace(word, str(value))
        return program

    def check(self) -> None:
        """Fails if anything happened to it."""
        assert not list(self.canary.iterdir()), "the program wrote a file"
        assert self.secret.read_text() == suite_secret, "the program changed a file"
        with pytest.raises(BlockingIOError):
            self.listener.accept()


def children() -> set[int]:
    """Returns the process ids of this process's children, ended ones that nobody waited for too."""
    found = set()
    for task in Path("/proc/self/task").glob("*/children") if Path("/proc/self/task").is_dir() else ():
        found |= {int(pid) for pid in task.read_text().split()}
    return found


class SandboxSuite:
    """Subclass it with a fixture `sandbox`: a sandbox made with `self.context()`."""

    limits: ClassVar[ExecutionLimits] = ExecutionLimits(
        seconds=0.5, memory_mb=512, output_chars=100_000, host_calls=200, live_images=100
    )
    """Small, so that the suite is quick."""

    @classmethod
    def context(cls) -> Context:
        """Returns the context to make the sandbox with."""
        return Context(RunConfig(experiment=cls.limits, seed=7))

    @pytest.fixture
    def host(self) -> SuiteHost:
        """What programs reach."""
        return SuiteHost()

    @pytest.fixture
    def trap(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trap]:
        """What hostile programs try to reach; in a folder that every user can enter."""
        folder = tmp_path
        for parent in (folder, *folder.parents):
            if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o755)
        monkeypatch.setenv("MAIA_HOSTILE_SECRET", suite_secret)
        trap = Trap(folder)
        yield trap
        trap.listener.close()

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
        assert "line 3" in done.error
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
        program = trap.arm(hostile.program)
        if "def run_experiment" not in program:
            program += "\ndef run_experiment(system, tools): pass\n"
        before = children()
        done = sandbox.run(program, host)
        self._check_contained(done, host, trap)
        assert len(children() - before) <= 2, "the program left a process behind"
        self._check_next(sandbox)

    def _check_contained(self, done: Execution, host: SuiteHost, trap: Trap) -> None:
        trap.check()
        said = done.stdout + done.value + done.error
        assert suite_secret not in said, "the program saw a secret of the host"
        assert ESCAPED not in done.stdout + done.value, done.stdout[:500]
        assert len(done.stdout) <= self.limits.output_chars + 200
        assert len(done.value) <= self.limits.output_chars + 200
        said.encode()
        assert host.hostile_secret == suite_secret
        assert SuiteHost._info == {"model": "suite", "unit": "1"}
        assert SuiteHost._results == [{"label": "a", "activations": (1.0, 2.5)}]
        assert len(host.asked) <= self.limits.host_calls
        assert done.seconds < self.limits.seconds + 3 + 0.01 * len(host.asked)

    def _check_next(self, sandbox: Sandbox) -> None:
        host = SuiteHost()
        done = sandbox.run(
            "import json, time, random, collections\nprint('next', len([1, 2]), json.dumps([1]))\n"
            "def run_experiment(system, tools):\n    return system.neuron([tools.image(3)])[0], tools.echo((1, 2))\n",
            host,
        )
        assert (done.error, done.stdout, done.value) == ("", "next 2 [1]\n", "([3.0], (1, 2))")
        assert host.asked == ["tools.image", "system.neuron", "tools.echo"]
