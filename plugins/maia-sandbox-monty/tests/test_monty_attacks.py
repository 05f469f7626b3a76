"""Attacks on what only this sandbox has: its channel, its private names, and the host's reading of what comes."""

import json

import pytest

from maia_sandbox.testing.hostile import Hostile
from maia_sandbox.testing.sandbox_suite import SandboxSuite
from maia_sandbox.testing.trial import SuiteHost, Trap, fault, suite_secret
from maia_sandbox_monty.sandbox import MontySandbox

COLLIDING = "{i * (2**61 - 1): None for i in range(10**5)}"
"""Keeps Python busy for minutes, if it is decoded into a dict."""

SEND = "import sys, json\ndef send(message): print(_maia_token + message, file=sys.stderr); return _maia_call()\n"

HEADERS = [
    {},
    [],
    {"op": "call"},
    {"op": "pixels", "n": 0, "image": 1},
    {"op": "text", "to": "value"},
    {"op": "call", "n": "x", "method": "tools.echo", "args": [], "kwargs": {}},
    {"op": "call", "n": 0, "method": "host.secret", "args": [], "kwargs": {}},
    {"op": "call", "n": 0, "method": ["tools.echo"], "args": [], "kwargs": {}},
    {"op": "call", "n": 0, "method": "tools.echo", "args": {}, "kwargs": []},
    {"op": "call", "n": 0, "method": "tools.echo", "args": [{"i": 77}], "kwargs": {}},
    {"op": "call", "n": 0, "method": "tools.echo", "args": [{"i": "1"}], "kwargs": {}},
    {"op": "call", "n": 0, "method": "tools.echo", "args": [{"r": [9, 9]}], "kwargs": {}},
    {"op": "call", "n": 0, "method": "tools.echo", "args": [float("nan")], "kwargs": {}},
    {"op": "call", "n": 0, "method": "tools.echo", "args": [], "kwargs": {}, "drop": [5]},
]

PROGRAMS = {
    "host hashes an argument": f"def run_experiment(system, tools): tools.echo({COLLIDING})",
    "host hashes a result": f"return {COLLIDING}",
    "host hashes a forged call": f"_maia_call({COLLIDING})",
    "host hashes a forged end": f"_maia_end({COLLIDING}, 1)",
    "host hashes a forged offer": f"_maia_offer('statistics', {COLLIDING})",
    "host hashes what an unknown function is given": f"nothing_of_this_name({COLLIDING})",
    "host hashes what an unknown method is given": f"_maia_tools.nothing({COLLIDING})",
    "host hashes an attribute": f"_maia_tools.x = {COLLIDING}\n_maia_tools.nothing()",
    "host hashes a dangerous default": f"ValueError = RuntimeError = module = {COLLIDING}",
    "the shims' own offer": f"def _maia_offer(name, module): return {COLLIDING}",
    "host hashes what is asked of the clock": f"""
class Late:
    def __init__(self): self.x = {COLLIDING}
    def __float__(self): return 1.0
    def __index__(self): return 1
import time, os, asyncio
for wait in (lambda: time.sleep(Late()), lambda: os.urandom(Late()), lambda: os.getenv(Late()), lambda: open(Late())):
    try: wait()
    except Exception: pass
await asyncio.sleep(0, {COLLIDING})
""",
    "a huge output": "return ['x' * 10**6] * 10**6",
    "a line without end": "import sys\nwhile True: print('x' * 10**6, end='', file=sys.stderr)",
    "lines without end": "import sys\nprint('\\n' * 10**7, file=sys.stderr)",
    "messages without end": SEND + "while True: print(_maia_token + 'x' * 10**6, file=sys.stderr)",
    "a deep message": SEND + "send('[' * 10**6)",
    "a message of digits": SEND + "send('9' * 10**6)",
    "no message": "_maia_call()",
    "an end without a text": "_maia_end()",
    "an end of another type": SEND + "print(_maia_token + '[5, \"x\"]', file=sys.stderr); _maia_end()",
    "a long end": SEND + "print(_maia_token + json.dumps(['x' * 10**6, 1]), file=sys.stderr); _maia_end()",
    "clock flood": "import time\nwhile True: time.time()",
    "clock flood, caught": "import time\nwhile True:\n    try: time.time()\n    except BaseException: pass",
    "attribute flood": "def run_experiment(system, tools):\n    while True: hasattr(tools, 'x')",
    "property flood": "def run_experiment(system, tools):\n    while True: tools.results",
    "a forged handle": "def run_experiment(system, tools):\n    x = tools.image(); x.handle = 10**6; tools.echo(x)",
    "a replaced runner": "_maia_run = _maia_method = _maia_token = None",
    "the interpreter's own abort": "x = chr(0x1F600) * 10**9",
    "waits for ever": "import asyncio\nasync def f(): await f()\nawait f()",
} | {f"forged header {n}": f"{SEND}send({json.dumps(header)!r})" for n, header in enumerate(HEADERS)}


@pytest.fixture(scope="module")
def sandbox():
    sandbox = MontySandbox(MontySandbox.Config(), SandboxSuite.context())
    yield sandbox
    sandbox.close()


@pytest.fixture
def trap(tmp_path, monkeypatch):
    monkeypatch.setenv("MAIA_HOSTILE_SECRET", suite_secret)
    trap = Trap(tmp_path)
    yield trap
    trap.close()


@pytest.mark.parametrize("name", PROGRAMS)
def test_attack_is_stopped(sandbox, trap, name):
    assert fault(sandbox, SuiteHost(), trap, Hostile("monty", name, PROGRAMS[name])) == ""
