"""`maia check sandbox`: the table, the verdict on hostile programs, and the exit code."""

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from maia_check.sandboxes import sandbox
from maia_core import registry
from maia_core.errors import UsageError
from maia_core.types import Execution
from maia_sandbox.testing import hostile
from maia_sandbox.testing.hostile import Hostile
from maia_sandbox.testing.trial import SuiteHost

READ = Hostile("files", "secret file", "print(open('@SECRET@').read())")
LOOP = Hostile("time", "loop", "while True: pass")


@pytest.fixture
def few(monkeypatch):
    """Two hostile programs instead of all."""
    monkeypatch.setattr(hostile, "programs", lambda: iter([READ, LOOP]))


def run(*arguments):
    result = CliRunner().invoke(sandbox, arguments, standalone_mode=False)
    return result.return_value, result.output, result.exception


class Leaky:
    """A sandbox that runs what reads files, and nothing else, out in the open."""

    def run(self, program, host):
        if "open(" in program:
            path = program.partition("'")[2].partition("'")[0]
            with open(path) as file:
                return Execution(stdout=file.read())
        if "neuron" not in program:
            return Execution()
        value = host.call("system.neuron", [[host.call("tools.image", [3], {})]], {})[0][0]
        host.call("tools.echo", [(1, 2)], {})
        return Execution(stdout="next 2 [1]\n", value=f"([{value}], (1, 2))")

    def close(self):
        self.closed = True


class LeakyRegistry:
    def __init__(self):
        self.made = Leaky()

    def build(self, kind, name, options, context):
        return self.made

    def of_kind(self, kind):
        return []


def test_table_names_the_sandbox_and_its_measures():
    code, output, _ = run()
    assert code == 0
    assert output.splitlines()[0].split() == ["sandbox", "process"]
    assert "calls allowed" in output


def test_stopped_programs_are_counted_by_group(few):
    code, output, _ = run("process", "--hostile")
    assert code == 0
    assert "files              1 of 1" in output
    assert "2 of 2 stopped" in output
    assert ("not run as root" in output) == (os.geteuid() != 0)


def test_a_program_that_gets_out_is_named_and_fails_the_command(few, monkeypatch):
    leaky = LeakyRegistry()
    monkeypatch.setattr(registry, "installed", lambda: leaky)
    code, output, error = run("leaky", "--hostile")
    assert error is None
    assert code == 1
    assert "NOT STOPPED: secret file: the program saw a secret of the host" in output
    assert "1 of 2 stopped" in output
    assert leaky.made.closed
    assert "the plugin does not describe them" in output


def test_hostile_programs_are_never_run_unconfined(few, monkeypatch):
    monkeypatch.setattr(SuiteHost, "call", None)
    _, output, error = run("unsafe-inprocess", "--hostile")
    assert isinstance(error, UsageError)
    assert "stopped" not in output


def test_the_verdict_does_not_rest_on_assertions_or_pytest():
    program = (
        "import sys; from maia_sandbox.testing import hostile; from maia_check.sandboxes import sandbox\n"
        "hostile.programs = lambda: iter([hostile.Hostile('x', 'y', 'print(\"ESCAPED\")')])\n"
        "print(sandbox.main(['process', '--hostile'], standalone_mode=False), 'pytest' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-O", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "1 False"
