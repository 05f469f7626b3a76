"""The trial of a hostile program: what it tries to reach, and the verdict. Needs no test runner."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path

from maia_core import testing
from maia_core.plugin import Execution, ExecutionLimits, Sandbox
from maia_core.testing.host import INFO, RESULTS
from maia_sandbox.testing.hostile import ESCAPED, Hostile

LIMITS = ExecutionLimits(seconds=0.5, memory_mb=512, output_chars=100_000, host_calls=200, live_images=100)
"""Of a sandbox on trial: small, so that a trial is quick. Give them to the sandbox by its context."""

suite_secret = secrets.token_hex(16)
"""Must never be seen by a program; it is a module's name, an attribute, an environment variable and a file."""


class SuiteHost(testing.SuiteHost):
    """The host of the conformance suite, which keeps a secret."""

    def __init__(self) -> None:
        super().__init__()
        self.hostile_secret = suite_secret

    def _broken(self) -> None:
        raise ZeroDivisionError(suite_secret)


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
        "the program printed invalid text": any("\ud800" <= letter <= "\udfff" for letter in said),
        "the program changed the host": not same,
        "the program called the host more often than it may": len(host.asked) > LIMITS.host_calls,
        f"the program ran for {done.seconds:.1f} s": done.seconds > LIMITS.seconds + 3 + 0.01 * len(host.asked),
    }
    return next((text for text, found in faults.items() if found), "")
