"""The trial of a hostile program: what it tries to reach, and the verdict. Needs no test runner."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from maia_core.plugin import Execution, ExecutionLimits, Image, RunError, Sandbox, ToolError
from maia_sandbox.testing.hostile import ESCAPED, Hostile

LIMITS = ExecutionLimits(seconds=0.5, memory_mb=512, output_chars=100_000, host_calls=200, live_images=100)
"""Of a sandbox on trial: small, so that a trial is quick. Give them to the sandbox by its context."""

suite_secret = secrets.token_hex(16)
"""Must never be seen by a program; it is a module's name, an attribute, an environment variable and a file."""

INFO: dict[str, Any] = {"model": "suite", "unit": "1"}
RESULTS: list[dict[str, Any]] = [{"label": "a", "activations": (1.0, 2.5)}]
"""What `system.info` and `tools.results` are, before and after every program."""


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
        if method not in self.methods:
            raise AssertionError("the sandbox passed on a call of something that is not offered")
        self.asked.append(method)
        function = getattr(self, f"_{method.partition('.')[2]}")
        if method in self.properties:
            return function
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            raise ToolError(str(error)) from None

    _info: ClassVar[dict[str, Any]] = dict(INFO)
    _results: ClassVar[list[Any]] = [dict(result) for result in RESULTS]

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

    def sprung(self) -> str:
        """Returns what happened to it, an empty string if nothing did."""
        if list(self.canary.iterdir()):
            return "the program wrote a file"
        if self.secret.read_text() != suite_secret:
            return "the program changed a file"
        try:
            self.listener.accept()
        except BlockingIOError:
            return ""
        return "the program connected to a port"

    def close(self) -> None:
        """Stops listening."""
        self.listener.close()


def children() -> set[int]:
    """Returns the process ids of this process's children, ended ones that nobody waited for too."""
    found = set()
    for task in Path("/proc/self/task").glob("*/children") if Path("/proc/self/task").is_dir() else ():
        found |= {int(pid) for pid in task.read_text().split()}
    return found


def fault(sandbox: Sandbox, host: SuiteHost, trap: Trap, hostile: Hostile) -> str:
    """Runs a hostile program and returns what it reached; an empty string if it was stopped.

    Args:
        sandbox: Made with `LIMITS`.
        host: A new host.
        trap: What the program tries to reach; the environment variable MAIA_HOSTILE_SECRET holds `suite_secret`.
        hostile: The program.
    """
    program = trap.arm(hostile.program)
    if "def run_experiment" not in program:
        program += "\ndef run_experiment(system, tools): pass\n"
    before = children()
    done = sandbox.run(program, host)
    left = "the program left a process behind" if len(children() - before) > 2 else ""
    return trap.sprung() or _fault_of(done, host) or left or fault_of_next(sandbox)


def fault_of_next(sandbox: Sandbox) -> str:
    """Runs an ordinary program and returns what is wrong with what came of it, an empty string if nothing is."""
    host = SuiteHost()
    done = sandbox.run(
        "import json, time, random, collections\nprint('next', len([1, 2]), json.dumps([1]))\n"
        "def run_experiment(system, tools):\n    return system.neuron([tools.image(3)])[0], tools.echo((1, 2))\n",
        host,
    )
    came = (done.error, done.stdout, done.value, host.asked)
    due = ("", "next 2 [1]\n", "([3.0], (1, 2))", ["tools.image", "system.neuron", "tools.echo"])
    return "" if came == due else f"the next program was disturbed: {came}"


def _fault_of(done: Execution, host: SuiteHost) -> str:
    said = done.stdout + done.value + done.error
    same = host.hostile_secret == suite_secret and SuiteHost._info == INFO and SuiteHost._results == RESULTS
    faults = {
        "the program saw a secret of the host": suite_secret in said,
        f"the program got out: {done.stdout[:500]}": ESCAPED in done.stdout + done.value,
        "the program said more than it may": max(len(done.stdout), len(done.value)) > LIMITS.output_chars + 200,
        "what the program said is no text": any("\ud800" <= letter <= "\udfff" for letter in said),
        "the program changed the host": not same,
        "the program called the host more often than it may": len(host.asked) > LIMITS.host_calls,
        f"the program ran for {done.seconds:.1f} s": done.seconds > LIMITS.seconds + 3 + 0.01 * len(host.asked),
    }
    return next((text for text, found in faults.items() if found), "")
