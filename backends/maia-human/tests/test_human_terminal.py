"""Whole runs of `maia run --backbone human`, through a pipe and through a terminal."""

import json
import os
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pexpect
import pytest

from maia_core.agent import run
from maia_core.config import RunConfig, validated
from maia_core.context import Context
from maia_core.events import Executed, HostCall, ProgramStarted
from maia_core.record import RunReader
from maia_core.session import make_session
from maia_core.testing import fake_parts
from maia_human.backbone import Human

MAIA = [sys.executable, "-c", "from maia_core.cli import main; main()"]
EXPERIMENT = (
    "a, m = system.neuron(tools.text2image(['a red disc', 'a blue disc']))\ntools.log_experiment(a, m, ['r', 'b'])\n"
)
ANSWER = "answer\nRed discs.\n\nred\n\n"
pytestmark = pytest.mark.slow


@pytest.fixture
def piped(environment, discs, tmp_path):
    """Runs the command with typed text as its input."""

    def pipe(typed, *arguments, choose=True):
        command = [*MAIA, "run", *(discs if choose else []), *arguments]
        return subprocess.run(
            command, input=typed, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=120
        )

    return pipe


@pytest.fixture
def terminal(environment, discs, tmp_path):
    """Runs the command in a terminal of its own."""
    begun = []

    def spawn(*arguments, choose=True, **more):
        chosen = [*discs, "--out", str(tmp_path / "run")] if choose else []
        where = {"env": environment | {"PYTHONFAULTHANDLER": "1"} | more, "cwd": str(tmp_path), "dimensions": (40, 120)}
        # A test run in the background of a shell has Ctrl-C ignored, and its children inherit that.
        where["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
        child = pexpect.spawn(MAIA[0], [*MAIA[1:], "run", *chosen, *arguments], encoding="utf-8", timeout=30, **where)
        begun.append(child)
        child.expect("your turn.*> ")  # What was shown before is `child.before`.
        return child

    yield spawn
    for child in begun:
        child.close(force=True)


def test_a_whole_run_through_a_pipe(piped, tmp_path):
    done = piped(f"hypothesis red\n{EXPERIMENT}.\n{ANSWER}", "--out", "run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("\nred\nRed discs.\n")
    assert "r: activation" in done.stderr
    assert "Traceback" not in done.stderr
    reader = RunReader(tmp_path / "run")
    assert reader.outcome.status == "answered"
    assert reader.outcome.usage.cost == reader.outcome.usage.tokens == 0
    calls = [call.method for call in reader.of_type(HostCall)]
    assert calls == ["tools.text2image", "system.neuron", "tools.log_experiment"]
    assert reader.of_type(ProgramStarted)[0].hypotheses == ("red",)


def test_a_machine_reads_the_standard_output(piped):
    done = piped(f"{EXPERIMENT}.\n{ANSWER}", "--json", "--without", "report")
    events = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert events == ["started", "turn", "turn", "finished", "record"]


def test_a_run_whose_input_has_ended_goes_on_where_it_stopped(piped, tmp_path):
    done = piped(f"{EXPERIMENT}.\n", "--out", "run")
    assert done.returncode == 1
    assert "the input has ended; resume with maia run --resume run" in done.stderr
    assert "Traceback" not in done.stderr
    again = piped(f"print(a[0] > a[1])\n.\n{ANSWER}", "--resume", "run", choose=False)
    assert again.returncode == 0, again.stderr
    assert "Describe the visual concept" in again.stderr
    reader = RunReader(tmp_path / "run")
    assert [event.execution.stdout for event in reader.of_type(Executed)] == ["", "True\n"]


def test_an_ordinary_command_does_not_take_the_notebook_s_sandbox(piped, tmp_path):
    done = piped("", "--sandbox", "notebook", "--out", "run")
    assert done.returncode in (1, 2)
    assert "maia_human.study" in done.stderr
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_terminal_is_asked_and_shows_images_and_keeps_what_does_not_compile(terminal, tmp_path):
    editor = tmp_path / "editor.py"
    editor.write_text(
        "import sys\npath = sys.argv[1]\ntext = open(path).read()\n"
        "assert text == 'print(6 *\\n', text\nopen(path, 'w').write(text + ' 7)')\n"
    )
    child = terminal(COLORTERM="truecolor", VISUAL=f"{sys.executable} {editor}")
    child.sendline("print(6 *")
    child.sendline(".")
    child.expect("Not sent: line 1: .*was never closed.*`edit` opens it")
    child.sendline("edit")
    child.expect("Printed:\r\n42\r\n")
    child.expect("your turn.*> ")
    child.send(EXPERIMENT.replace("\n", "\r"))
    child.sendcontrol("d")
    child.expect(r"\[1\] .*\[2\] .*▀.*your turn.*> ")
    assert "\x1b[38;2;" in child.after
    child.send(ANSWER.replace("\n", "\r"))
    child.expect("answered after 3 turns")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert RunReader(tmp_path / "run").outcome.status == "answered"


def test_a_plain_terminal_gets_no_colours(terminal):
    child = terminal(TERM="dumb")
    child.send(EXPERIMENT.replace("\n", "\r") + ".\r")
    child.expect("results.*your turn.*> ")
    assert "▀" not in child.after
    assert "001-" in child.after


def press_ctrl_c(child, until):
    """Presses Ctrl-C, and again if nothing happens, as people do; a third time it is the signal itself.

    CPython's readline keeps one that comes after it has shown a key and before it waits for the next until there is
    another key, and nothing that a terminal shows tells when it waits.
    """
    for interrupt in (child.sendintr, child.sendintr, lambda: child.kill(signal.SIGINT)):
        time.sleep(0.5)
        interrupt()
        if child.expect([until, pexpect.TIMEOUT], timeout=10) == 0:
            return
    status = Path(f"/proc/{child.pid}/status").read_text()
    terminal = f"{os.tcgetpgrp(child.child_fd)}, {termios.tcgetattr(child.child_fd)}"
    child.kill(signal.SIGABRT)  # What it does meanwhile: PYTHONFAULTHANDLER prints it.
    child.expect(pexpect.EOF)
    pytest.fail(f"Ctrl-C does nothing: {child.pid}, {terminal}\n{status}\n{child.before}")


def test_ctrl_c_ends_the_run_as_interrupted_and_it_goes_on(terminal, tmp_path):
    child = terminal()
    child.send(EXPERIMENT.replace("\n", "\r") + ".\r")
    child.expect("results.*your turn.*> ")
    child.send("half of a prog")
    child.expect("half of a prog")
    press_ctrl_c(child, until="interrupted")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130
    assert RunReader(tmp_path / "run").outcome.status == "interrupted"
    child = terminal("--resume", str(tmp_path / "run"), choose=False)
    assert "What came before (1 turn) is in it" in child.before
    child.send(ANSWER.replace("\n", "\r"))
    child.expect("answered after 2 turns")


def test_ctrl_d_by_accident_does_not_end_the_run(terminal, tmp_path):
    child = terminal()
    child.sendcontrol("d")
    child.expect("Ctrl-D once more")
    child.send("print(40 + 2)\r.\r")
    child.expect("Printed:\r\n42")
    child.expect("your turn.*> ")
    child.sendcontrol("d")
    child.expect("Ctrl-D once more")
    child.sendcontrol("d")
    child.expect("the input has ended; resume with maia run --resume")
    child.expect(pexpect.EOF)
    assert RunReader(tmp_path / "run").outcome.status == "failed"


def test_the_last_turn_takes_an_answer_only(tmp_path):
    import io

    out = io.StringIO()
    context = Context(validated(RunConfig, {"limits": {"turns": 1}}, "the test"), parts=fake_parts(), cache=tmp_path)
    typed = f"tools.text2image(['red'])\n.\nprint(2)\n.\n[DESCRIPTION]: red\n.\n{ANSWER}"
    person = Human(Human.Config(person="P3"), context, source=io.StringIO(typed), out=out)
    session = make_session(context)
    try:
        outcome = run(session, person)
    finally:
        session.close()
    assert outcome.status == "answered"
    assert (outcome.turns, session.state.experiments) == (2, 1)
    assert session.state.turns[-1].reply.model == "P3"
    assert "takes no more programs" in out.getvalue()
    assert "lacks [LABEL]" in out.getvalue()
