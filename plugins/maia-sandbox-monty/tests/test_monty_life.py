"""What a program meets: its errors, what persists, images, and what becomes of the interpreter's process."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest

from maia_core.config import RunConfig
from maia_core.context import Context
from maia_core.errors import SandboxError
from maia_core.image import Image
from maia_core.journal import Journal
from maia_core.registry import installed
from maia_core.session import make_session
from maia_core.testing import fake_parts
from maia_core.types import ExecutionLimits
from maia_sandbox.testing.sandbox_suite import SandboxSuite
from maia_sandbox.testing.trial import SuiteHost, children
from maia_sandbox_monty import crossing, traceback
from maia_sandbox_monty.sandbox import MontySandbox

NOTHING = "def run_experiment(system, tools): return 1"
ENTRY = "def run_experiment(system, tools):\n"


def make(**limits):
    limits = {"seconds": 0.5, "memory_mb": 64} | limits
    return MontySandbox(MontySandbox.Config(), Context(RunConfig(experiment=ExecutionLimits(**limits))))


@pytest.fixture(scope="module")
def sandbox():
    sandbox = MontySandbox(MontySandbox.Config(), SandboxSuite.context())
    yield sandbox
    sandbox.close()


@pytest.fixture
def host():
    return SuiteHost()


def gone(before):
    """Waits until no process is there that was not there before."""
    for _ in range(100):
        if children() <= before:
            return True
        time.sleep(0.02)
    return False


def test_close_leaves_no_process_and_may_be_repeated(host):
    before = children()
    sandbox = make()
    assert sandbox.run(NOTHING, host).value == "1"
    sandbox.close()
    sandbox.close()
    assert gone(before)
    with pytest.raises(SandboxError, match="closed"):
        sandbox.run(NOTHING, host)


def test_sandbox_that_nobody_holds_leaves_no_process(host):
    before = children()
    make().run(NOTHING, host)
    assert gone(before)


def test_missing_interpreter_is_named_with_the_fix(monkeypatch, tmp_path):
    monkeypatch.setenv("MONTY_BIN", str(tmp_path / "nothing"))
    with pytest.raises(SandboxError, match="pip install"):
        make()


def test_importing_the_plugin_does_not_import_the_interpreter():
    program = "import sys, maia_sandbox_monty.sandbox; print('pydantic_monty' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "False\n"


def test_memory_that_a_program_keeps_does_not_stop_the_next_ones(host):
    sandbox = make()
    error = sandbox.run("kept = []\nwhile True: kept.append('x' * 10**5 + str(len(kept)))", host).error
    assert "MemoryError" in error
    done = [sandbox.run(NOTHING, host) for _ in range(4)]
    assert [execution.value for execution in done] == ["1"] * 4
    assert sum(execution.variables_lost for execution in done) == 1
    sandbox.close()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("tools.ecko(1)", "'tools' object has no attribute 'ecko'. Did you mean 'echo'? Available: broken, echo"),
        ("tools.reslts", "Did you mean 'results'?"),
        ("system.nuron([])", "Did you mean 'neuron'?"),
        ("tools.image().widht", "Available: clean, height, id, shows, size, title, width"),
        ("tools.image().to_pil()", "only in the sandbox `process`"),
        ("import numpy", "No module named 'numpy' in the experiment sandbox (available: asyncio"),
        ("import numpy", "numpy is only in the sandbox `process`"),
        ("activations = [1]; return activatons", "name 'activatons' is not defined. Did you mean 'activations'?"),
        ("callable(1)", "the monty sandbox has no such function"),
        ("f = [].append", "can only call it"),
        ("[].apend(1)", "Did you mean 'append'?"),
        ("tools.echo([{1: 2}])", "ToolError: tools.echo cannot be given a dict with a key of type int"),
        ("tools.echo(10**30)", "ToolError: tools.echo cannot be given an integer of more than 64 bits"),
        ("tools.echo('x' * 5_000_000)", "more than 4 MB"),
        ("tools.fail()", "ToolError: give a list of prompts"),
    ],
)  # fmt: skip
def test_errors_say_what_to_do_and_where(sandbox, host, body, text):
    error = sandbox.run(f"{ENTRY}    {body}", host).error
    assert text in error
    assert 'File "experiment ' in error
    assert "line 2, in run_experiment" in error
    assert "maia" not in error


@pytest.mark.parametrize(
    ("program", "text"),
    [
        ("class A(Exception): pass", "does not yet support class inheritance"),
        ("def f():\n    yield 1", "does not yet support yield"),
        ("x = (1,", "SyntaxError"),
        ("return 1", "SyntaxError: 'return' outside function"),
        ("async def run_experiment(system, tools): pass", "no async, no yield"),
        ("import sys\nsys.exit()", "line 2"),
    ],
)
def test_what_monty_lacks_is_said(sandbox, host, program, text):
    assert text in sandbox.run(program, host).error


def test_ordinary_programs_work(sandbox, host):
    program = """
import collections, dataclasses, itertools, json, math, random, re, statistics
from typing import Dict

@dataclasses.dataclass
class Result:
    label: str
    values: List[float]

    def mean(self):
        return statistics.mean(self.values)

def run_experiment(system: System, tools: Tools) -> Dict[str, Any]:
    call = tools.image
    images = [call(brightness) for brightness in (10, 20, 30)]
    activations, masked = system.neuron(images)
    found = [Result(f"{n}", [a * n for a in activations]) for n in range(3)]
    order = sorted(found, key=lambda r: -r.mean())
    assert isinstance(images[0], Image) and images[0] in images and images[0] != images[1]
    counted = collections.Counter(re.findall("[a-z]+", images[0].title))
    try:
        tools.fail()
    except ToolError as error:
        print(f"{error!s:>25}|{math.pi:.2f}", *itertools.chain([1], [2]), sep=";")
    return json.dumps([r.label for r in order]), counted.most_common(1), tools.results[0]["label"], system.info
"""
    done = sandbox.run(program, host)
    assert done.error == ""
    assert done.stdout == "   give a list of prompts|3.14;1;2\n"
    assert done.value == """('["2", "1", "0"]', [('a', 1)], 'a', {'model': 'suite', 'unit': '1'})"""


def test_what_is_printed_to_standard_error_is_seen_too(sandbox, host):
    done = sandbox.run(f"import sys\nprint('a', file=sys.stderr)\n{ENTRY}    print('b', end='', file=sys.stderr)", host)
    assert (done.error, done.stdout) == ("", "a\nb")


def test_names_that_hide_builtins_do_not_break_results(sandbox, host):
    program = f"len = str = repr = isinstance = type = print = None\n{ENTRY}    return tools.echo([1.5, (2,)])"
    assert sandbox.run(program, host).value == "[1.5, (2,)]"
    assert sandbox.run(f"{ENTRY}    return tools.echo({{'a': [None]}})", host).value == "{'a': [None]}"
    sandbox._discard()


def test_an_earlier_programs_tools_still_work(sandbox, host):
    sandbox.run("def run_experiment(system, tools):\n    global kept\n    kept = tools.echo, tools.image(3)", host)
    assert sandbox.run(f"{ENTRY}    return kept[0](kept[1]) == kept[1]", host).value == "True"


def test_images_that_live_are_kept_and_others_make_room(host):
    host._image = lambda n=0: [Image.from_pixels(np.full((2, 2, 3), n + i, np.uint8)) for i in range(5)]
    sandbox = make(live_images=11)
    assert (
        "the 11 that fit" in sandbox.run(f"{ENTRY}    a = tools.image(), tools.image(5), tools.image(10)", host).error
    )
    program = (
        f"kept = []\n{ENTRY}    kept.append(tools.image(50)[0])\n    for n in range(0, 40, 5): last = tools.image(n)\n"
    )
    done = sandbox.run(f"{program}    return len(last), len(tools.echo(kept)), tools.echo(kept)[0] == kept[0]", host)
    assert (done.error, done.value) == ("", "(5, 1, True)")
    assert host._image(50)[0].id == sandbox.run(f"{ENTRY}    return kept[0].id", host).value
    sandbox.close()


@pytest.mark.parametrize(
    "body", ["    getattr(tools, {name})", "    try: getattr(tools, {name})()\n    except AttributeError: tools"]
)
def test_a_name_without_end_is_not_compared_with_anything(sandbox, host, monkeypatch, body):
    """Likeness of a name of 100 million characters took 3.6 GB of the host."""
    compared = []
    for module in (crossing, traceback):
        monkeypatch.setattr(module, "near", lambda name, known: compared.append(len(name)) or "")
    done = sandbox.run(f"{ENTRY}{body.format(name=repr('x') + ' * 1_000_000')}", host)
    assert len(done.error) < 50_000
    assert not compared


def test_look_ups_of_what_is_not_there_are_counted_and_few_are_remembered(host):
    limited = make(host_calls=300)
    program = (
        f"{ENTRY}    for n in range(COUNT):\n        try: getattr(tools, str(n))\n        except AttributeError: n\n"
    )
    assert limited.run(program.replace("COUNT", "250"), host).error == ""
    assert len(limited._sessions[0]._dialogue.wordings) == 100
    assert "more than 300 look-ups" in limited.run(program.replace("COUNT", "350"), host).error
    assert limited.run(f"{ENTRY}    return 1", host).value == "1"
    limited.close()


def test_programs_repeat_in_another_sandbox(host):
    program = (
        "import random, time, datetime\n"
        + ENTRY
        + "    return random.random(), time.time(), str(datetime.datetime.now())"
    )
    values = []
    for _ in range(2):
        sandbox = make()
        values.append([sandbox.run(program, host).value for _ in range(2)])
        sandbox.close()
    assert values[0] == values[1]
    assert values[0][0] != values[0][1]


def test_values_of_every_kind_cross_both_ways(sandbox, host):
    value = [None, True, 0, -(2**63) + 1, 1e300, -0.0, "ä\n\0😀", [], (), {}, [(1, {"f": ["t", {"d": 1}]})]]
    seen = []
    host._echo = lambda x: seen.append(x) or x
    done = sandbox.run(f"{ENTRY}    v = {value!r}\n    return tools.echo(v) == v, tools.echo(float('nan'))", host)
    assert (done.error, done.value) == ("", "(True, nan)")
    assert json.dumps(seen[0]) == json.dumps(value)
    assert type(seen[0][-1][0]) is tuple


def test_a_resumed_run_repeats_programs_after_one_that_used_exec(tmp_path):
    programs = [f"kept = 1\n{NOTHING}", f"exec('x = 1')\n{NOTHING}", "kept = 2\n1 / 0", f"{ENTRY}    return kept"]

    def execute(recorded):
        events = list(recorded)
        config = RunConfig.model_validate({"sandbox": {"name": "monty"}})
        context = Context(config, installed(), parts=fake_parts(), cache=tmp_path)
        session = make_session(context, Journal(events.append, recorded))
        done = []
        for program in programs:
            done.append(session.execute(program))
            session.state.turns.append(done[-1])
        session.close()
        return events, done

    events, done = execute([])
    assert [execution.variables_lost for execution in done] == [False, True, False, False]
    assert done[-1].value == "2"
    assert execute(events) == (events, done)
