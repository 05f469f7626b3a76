"""The kernel's measures around the interpreter: other programs, started in its place, reach nothing."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from maia_core.config import RunConfig
from maia_core.context import Context
from maia_core.testing.host import SuiteHost
from maia_sandbox import lockdown
from maia_sandbox_monty import sandbox as module
from maia_sandbox_monty.launcher import in_force, launcher
from maia_sandbox_monty.sandbox import MontySandbox

pytestmark = pytest.mark.skipif(bool(lockdown.missing()), reason="this system has no seccomp filters")
NOTHING = "def run_experiment(system, tools): return 1"


def confined(folder, program, *arguments):
    """Runs a program as the interpreter would be run, and returns its exit code and what it wrote."""
    path = launcher(folder, os.path.realpath(shutil.which(program)), 64)
    done = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=60, env={})
    return done.returncode, done.stdout + done.stderr


def test_a_program_starts_and_writes(tmp_path):
    assert confined(tmp_path, "echo", "hello") == (0, "hello\n")


def test_a_program_starts_in_a_folder_that_only_the_host_can_enter(tmp_path, monkeypatch):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    shutil.copy(os.path.realpath(shutil.which("echo")), closed / "echo")
    monkeypatch.setenv("PATH", str(closed))
    assert confined(tmp_path, "echo", "hello") == (0, "hello\n")


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("cat", ["/etc/passwd"]),
        ("cat", ["/proc/1/environ"]),
        ("ls", ["/"]),
        ("touch", ["CANARY"]),
        ("sh", ["-c", "(echo forked)"]),
        ("sh", ["-c", "echo started > CANARY"]),
        ("kill", ["-0", str(os.getpid())]),
        ("nice", ["-n", "-5", "true"]),
    ],
)
def test_it_reaches_neither_files_nor_processes(tmp_path, program, arguments):
    tmp_path.chmod(0o777)
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    canary = tmp_path / "canary"
    code, text = confined(tmp_path, program, *[part.replace("CANARY", str(canary)) for part in arguments])
    assert code != 0
    assert "root:" not in text
    assert not canary.exists()


def test_it_has_no_rights_and_no_descriptors_of_the_host(tmp_path):
    sandbox = MontySandbox(MontySandbox.Config(), Context(RunConfig()))
    sandbox.run(NOTHING, SuiteHost())
    pid = sandbox._sessions[0].pid
    assert "seccomp" in dict(sandbox.describe())["the kernel's measures"]
    assert "capabilities none" in in_force(pid)
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    assert status["NoNewPrivs"] == "1"
    if os.geteuid() == 0:
        assert set(os.listdir(f"/proc/{pid}/fd")) == {"0", "1", "2"}
        assert status["Uid"].split() == ["65534"] * 4
    sandbox.close()


def test_where_the_measures_fail_the_interpreter_runs_without_them_and_says_so(monkeypatch):
    monkeypatch.setattr(module, "launcher", lambda *arguments: "/nothing/of/this/name")
    start, pools = module._start, []
    monkeypatch.setattr(module, "_start", lambda binary=None: pools.append(start(binary)) or pools[-1])
    context = Context(RunConfig())
    sandbox = MontySandbox(MontySandbox.Config(), context)
    with pytest.raises(RuntimeError, match=r"closed|not active"):
        pools[0].checkout().__enter__()
    warnings = []
    context.warn_to(warnings.append)
    assert len(warnings) == 1
    assert "without the kernel's measures" in warnings[0]
    assert sandbox.run(NOTHING, SuiteHost()).value == "1"
    assert dict(sandbox.describe())["the kernel's measures"].startswith("none")
    sandbox.close()


def test_an_interpreter_that_is_killed_while_it_starts_is_replaced(monkeypatch):
    sandbox = MontySandbox(MontySandbox.Config(), Context(RunConfig()))
    begin, killed = module._Session.begin, []

    def kill_first(session, *arguments):
        if not killed:
            killed.append(session.pid)
            os.kill(session.pid, 9)
        return begin(session, *arguments)

    monkeypatch.setattr(module._Session, "begin", kill_first)
    done = sandbox.run(NOTHING, SuiteHost())
    assert (done.value, done.variables_lost) == ("1", False)
    sandbox.close()
