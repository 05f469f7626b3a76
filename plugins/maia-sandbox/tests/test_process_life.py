"""Worker processes: what is left when programs, hosts or the kernel's measures fail."""

import ctypes
import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

import maia_core
from maia_core.config import RunConfig
from maia_core.context import Context
from maia_core.errors import SandboxError
from maia_core.image import Image
from maia_core.testing import InProcessSandbox
from maia_core.types import ExecutionLimits
from maia_sandbox import bridge, child, lockdown
from maia_sandbox.process import ProcessSandbox
from maia_sandbox.testing.hostile import FORGER, programs
from maia_sandbox.testing.sandbox_suite import SandboxSuite, SuiteHost, children

NOTHING = "def run_experiment(system, tools): return 1"


def make(**limits):
    limits = {"seconds": 1.0, "memory_mb": 512} | limits
    return ProcessSandbox(ProcessSandbox.Config(), Context(RunConfig(experiment=ExecutionLimits(**limits))))


@pytest.fixture(scope="module")
def sandbox():
    sandbox = make()
    yield sandbox
    sandbox.close()


@pytest.fixture
def boot(monkeypatch):
    """Sets what new workers run first, once the workers of other tests have been started."""
    child._starter(os.getpid()).submit(int).result()
    return lambda old, new: monkeypatch.setattr(child, "BOOT", child.BOOT.replace(old, new))


@pytest.fixture
def host():
    return SuiteHost()


def wait_for(condition):
    for _ in range(300):
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_close_leaves_no_process_and_may_be_repeated(host):
    before = children()
    sandbox = make()
    sandbox.run(NOTHING, host)
    assert children() - before
    sandbox.close()
    sandbox.close()
    assert children() == before
    with pytest.raises(SandboxError, match="closed"):
        sandbox.run(NOTHING, host)


def test_sandbox_that_nobody_holds_leaves_no_process(host):
    before = children()
    make().run(NOTHING, host)
    assert children() == before


def test_worker_that_was_killed_between_programs_is_replaced(sandbox, host):
    sandbox.run("kept = 1\n" + NOTHING, host)
    sandbox._worker._process.kill()
    done = sandbox.run(NOTHING, host)
    assert (done.value, done.variables_lost) == ("1", True)
    assert not sandbox.run(NOTHING, host).variables_lost


def test_worker_does_not_run_between_programs(sandbox, host):
    sandbox.run(NOTHING, host)
    status = Path(f"/proc/{sandbox._worker._process.pid}/stat")
    assert wait_for(lambda: status.read_text().rpartition(")")[2].split()[0] == "T")


def test_spare_that_waited_long_is_still_good(host, monkeypatch):
    monkeypatch.setattr(child, "START_SECONDS", 5.0)
    sandbox = make()
    sandbox.run(NOTHING, host)
    assert wait_for(lambda: sandbox._pool._spare.done())
    real = time.monotonic
    monkeypatch.setattr(child.time, "monotonic", lambda: real() + 3600)
    sandbox._discard()
    assert sandbox.run(NOTHING, host).value == "1"
    sandbox.close()


def test_death_by_a_signal_is_named_with_the_programs_stack(sandbox, host):
    error = sandbox.run("import ctypes\ndef run_experiment(system, tools):\n    ctypes.string_at(0)\n", host).error
    assert "WorkerDied: signal SIGSEGV" in error
    assert "line 3, in run_experiment\n    ctypes.string_at(0)" in error


@pytest.mark.slow
def test_hard_time_limit_shows_the_line_inside_of_c_code(sandbox, host):
    done = sandbox.run("print('before')\ndef run_experiment(system, tools):\n    sum(range(10**13))\n", host)
    assert "TimeLimitError: experiment still running after 2 s; it was stopped" in done.error
    assert "line 3, in run_experiment\n    sum(range(10**13))" in done.error
    assert done.stdout == "before\n"


def test_no_program_is_sent_where_the_kernel_does_not_refuse(host, boot):
    boot(
        "from sandboxed.worker",
        "from sandboxed import lockdown; lockdown.seccomp = lambda: 'off'; from sandboxed.worker",
    )
    sandbox = make()
    with pytest.raises(SandboxError, match="does not confine"):
        sandbox.run("print('ran')\n" + NOTHING, host)
    sandbox.close()


def test_a_worker_that_cannot_start_says_why(host, boot):
    boot("import sys", "raise ImportError('numpy is broken'); import sys")
    before = children()
    sandbox = make()
    with pytest.raises(SandboxError, match="numpy is broken"):
        sandbox.run(NOTHING, host)
    sandbox.close()
    assert children() == before


def test_every_measure_is_named(sandbox):
    measures = dict(sandbox.describe())
    assert measures["seccomp"].endswith("calls allowed")
    assert measures["capabilities"] == "none"
    if os.geteuid() == 0:
        assert (measures["root folder"], measures["user"]) == ("empty", "dropped to 65534")


REPEATS = """
import datetime, logging, os, random, secrets, threading, time, uuid
import numpy as np
class Thing: pass
def run_experiment(system, tools):
    clocks = [getattr(time, name)() for name in dir(time) if name.removesuffix("_ns") in (
        "time", "monotonic", "perf_counter", "process_time", "thread_time")]
    clocks += [time.clock_gettime(id) for id in range(12)] + [time.clock_gettime_ns(1), time.gmtime(), time.ctime()]
    clocks += [time.asctime(), time.localtime(None), time.strftime("%c")]
    clocks += [time.pthread_getcpuclockid(threading.get_ident())]
    clocks += [datetime.date.today(), datetime.datetime.now(), datetime.datetime.utcnow(), os.times(), os.getpid()]
    record = logging.LogRecord("x", 1, "x", 1, "x", (), None)
    chance = [os.urandom(4), os.getrandom(4), uuid.uuid1(), uuid.uuid4(), secrets.token_hex(4), secrets.randbelow(99)]
    chance += [random.Random().random(), random.SystemRandom().random(), np.random.default_rng().random()]
    random.seed(); np.random.seed()
    chance += [random.random(), np.random.rand(), np.random.RandomState().rand(), hash("a")]
    return clocks, record.created, record.relativeCreated, record.process, chance
"""


def test_whatever_differs_from_process_to_process_repeats_by_the_number_of_the_program(host):
    values = []
    for numbers in [(1, 2, 3), (3,)]:
        sandbox = make()
        for host.number in numbers:
            done = sandbox.run(REPEATS, host)
            assert done.error == ""
        values.append(done.value)
        other = sandbox.run(REPEATS, host).value
        host.number = 4
        assert sandbox.run(REPEATS, host).value != other
        sandbox.close()
    assert values[0] == values[1]


def test_addresses_repeat_in_a_new_process(host):
    thread = child._starter(os.getpid())
    if not thread.submit(ctypes.CDLL(None).personality, 0xFFFFFFFF).result() & lockdown.ADDR_NO_RANDOMIZE:
        pytest.skip("this container refuses it")
    program = (
        "class Thing: pass\ndef run_experiment(system, tools): return id(Thing()), list({Thing() for _ in range(9)})"
    )
    values = []
    for _ in range(2):
        sandbox = make()
        values.append(sandbox.run(program, host).value)
        sandbox.close()
    assert values[0] == values[1]


def test_a_worker_that_is_killed_while_it_starts_is_replaced(host):
    sandbox = make()
    sandbox._pool._spare.result()._process.kill()
    done = sandbox.run(NOTHING, host)
    assert (done.value, done.error, done.variables_lost) == ("1", "", False)
    sandbox.close()


def test_worker_and_spare_that_are_both_killed_are_replaced(sandbox, host):
    sandbox.run("kept = 1\n" + NOTHING, host)
    sandbox._worker._process.kill()
    sandbox._pool._spare.result()._process.kill()
    done = sandbox.run(NOTHING, host)
    assert (done.value, done.error, done.variables_lost) == ("1", "", True)


def test_a_worker_that_is_always_killed_ends_the_run_after_a_few_starts(host, monkeypatch):
    started = []

    class Killed(child.Child):
        def __init__(self, limits):
            super().__init__(limits)
            started.append(self)
            self._process.kill()

    monkeypatch.setattr(child, "Child", Killed)
    sandbox = make()
    with pytest.raises(SandboxError, match="did not start"):
        sandbox.run(NOTHING, host)
    assert 2 <= len(started) <= 6
    sandbox.close()


@pytest.mark.slow
def test_a_program_does_not_compute_while_the_host_is_at_a_call(host):
    host._echo = lambda value: time.sleep(1.5)
    sandbox = make(seconds=1.0)
    program = """
import json, os, struct
call = json.dumps({'op': 'call', 'method': 'tools.echo', 'args': [1], 'kwargs': {}}).encode()
for fd in range(3, 64):
    try: os.write(fd, struct.pack('>II', len(call), 0) + call)
    except OSError: pass
while True: pass
"""
    used, discard = [], sandbox._pool.discard
    sandbox._pool.discard = lambda worker: (used.append(worker.cpu_seconds()), discard(worker))
    assert sandbox.run(program, host).error
    assert host.asked == ["tools.echo"]
    assert used[0] < 1.5 + 1.0, "the program's second, a start, and no second of the call"
    sandbox.close()


def test_only_the_call_itself_is_time_of_the_host(host, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(bridge.time, "monotonic", lambda: now[0])

    class Slow(bridge.values.Decoder):
        def __call__(self, *args):
            now[0] += 5
            return super().__call__(*args)

    monkeypatch.setattr(bridge.values, "Decoder", Slow)
    host._echo = lambda value: now.__setitem__(0, now[0] + 3)
    made = bridge.Bridge(ExecutionLimits())
    made.begin("", host, 1, 1, "")
    made.answer({"op": "call", "method": "tools.echo", "args": [1], "kwargs": {}}, b"")
    assert (now[0], made.host_seconds) == (8.0, 3.0)


def test_a_program_that_keeps_all_memory_is_told_and_its_worker_is_replaced(host):
    sandbox = make(memory_mb=256)
    done = sandbox.run("kept = bytearray(250 << 20)\n" + NOTHING, host)
    assert "MemoryLimitError: the experiment kept too much memory" in done.error
    assert done.variables_lost
    after = sandbox.run("x = bytearray(200 << 20)\ndef run_experiment(system, tools): return len(x)", host)
    assert (after.error, after.variables_lost) == ("", False)
    sandbox.close()


def test_no_later_program_takes_over_signals_of_the_host(sandbox, host):
    program = "import signal\nsignal.signal(signal.{}, lambda *a: None)\n" + NOTHING
    for name in ("SIGALRM", "SIGUSR2", "SIGCONT"):
        assert "PermissionError" in sandbox.run(program.format(name), host).error
    assert sandbox.run(program.format("SIGTERM"), host).error == ""


def test_a_program_does_not_learn_where_things_are_installed(sandbox, host):
    program = """
import sys, numpy, PIL, json
def run_experiment(system, tools):
    print(sys.path, sys.argv, sys.prefix, sys.executable, numpy, PIL, json, json.__spec__)
    for module in list(sys.modules.values()):
        print([value for value in vars(module).values() if isinstance(value, str | list | tuple) and len(value) < 200])
    from PIL import ImageNothing
"""
    done = sandbox.run(program, host)
    assert "ImportError" in done.error
    assert str(Path(np.__file__).parents[2]) not in done.stdout + done.error
    places = sys.prefix, sys.base_prefix, str(Path(maia_core.__file__).parent)
    assert not [place for place in places if place in done.stdout]


HOST = """
import sys
from maia_sandbox.process import ProcessSandbox
from maia_sandbox.testing.hostile import FORGER, programs
from maia_sandbox.testing.sandbox_suite import SandboxSuite, SuiteHost
SandboxSuite.limits = SandboxSuite.limits.model_copy(update={"seconds": 60.0})
class Host(SuiteHost):
    def _echo(self, value):
        print(sandbox._worker._process.pid, flush=True)
sandbox = ProcessSandbox(ProcessSandbox.Config(), SandboxSuite.context())
sandbox.run("def run_experiment(system, tools):\\n    tools.echo(1)\\n    while True: pass", Host())
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_worker_dies_with_its_host(number):
    # A shell starts what it runs in the background with SIGINT ignored, and children inherit that.
    listen = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    host = subprocess.Popen([sys.executable, "-c", HOST], preexec_fn=listen, **pipes)
    worker = int(host.stdout.readline())
    os.kill(host.pid, number)
    assert host.wait(20) == -number
    assert wait_for(lambda: not Path(f"/proc/{worker}").exists())
    assert ("KeyboardInterrupt" in host.stderr.read()) == (number == signal.SIGINT)
    host.stdout.close()
    host.stderr.close()


def test_numpy_and_pil_images_reach_the_host_with_their_pixels(sandbox, host):
    program = """
import numpy as np
from PIL import Image
def run_experiment(system, tools):
    pixels = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    shown = tools.echo([pixels, Image.fromarray(pixels), pixels[:, ::-1], Image.new("L", (3, 2), 9)][0])
    tools.echo(Image.fromarray(pixels)); tools.echo(pixels[:, ::-1])
    tools.echo(Image.new("RGBA", (3, 2), (0, 0, 0, 0)))
    return (np.asarray(shown) == pixels).all(), np.asarray(shown.to_pil()).shape, shown
"""
    done = sandbox.run(program, host)
    assert (done.error, done.value) == ("", "(True, (5, 7, 3), <Image '' 7x5>)")
    pixels = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    assert [image.title for image in host.images] == [""] * 4
    assert np.array_equal(host.images[1].pixels(), pixels)
    assert np.array_equal(host.images[2].pixels(), pixels[:, ::-1])
    assert np.array_equal(host.images[3].pixels(), np.full((2, 3, 3), 255))


def test_numpy_numbers_become_plain_ones(sandbox, host):
    program = (
        "import numpy as np\ndef run_experiment(system, tools):\n"
        "    x = [np.float32(1.5), np.int64(2), np.bool_(True), np.arange(3), np.ones((1, 2)), {'a': np.str_('b')}]"
        "\n    return tools.echo(x)"
    )
    assert sandbox.run(program, host).value == "[1.5, 2, True, [0, 1, 2], [[1.0, 1.0]], {'a': 'b'}]"


def test_a_failed_reply_leaves_room_for_images():
    host = SuiteHost()
    host._image = lambda: [Image.from_pixels(np.full((2, 2, 3), i, np.uint8)) for i in range(20)]
    sandbox = make(live_images=10)
    error = sandbox.run("def run_experiment(system, tools): tools.image()", host).error
    assert "the 10 that fit" in error
    host._image = lambda: [Image.from_pixels(np.full((2, 2, 3), i, np.uint8)) for i in range(10)]
    assert sandbox.run("def run_experiment(system, tools): return len(tools.image())", host).value == "10"
    sandbox.close()


@pytest.mark.parametrize(
    ("limits", "passed", "says"),
    [
        ({"passed_images": 50}, "tools.echo([tools.image()] * 20)", "more than 50 images were passed"),
        ({"made_mb": 1}, "tools.echo(np.zeros((300, 400, 3), np.uint8))", "bytes of pixels were passed"),
        ({"output_chars": 5_000}, "tools.echo('x' * 2_000)", "more than 5,000 characters were passed"),
    ],
)
def test_what_tools_keep_of_a_program_is_bounded(host, limits, passed, says):
    """What is displayed or logged stays in the host's memory and in the record."""
    sandbox = make(**limits)
    program = f"import numpy as np\ndef run_experiment(system, tools):\n    for _ in range(9): {passed}\n"
    done = sandbox.run(program, host)
    assert "CallLimitError" in done.error
    assert says in done.error
    assert done.host_calls < 7
    sandbox.close()


def test_ordinary_python_works(sandbox, host):
    program = """
from __future__ import annotations
import dataclasses, statistics, json, datetime, decimal, functools
from typing import NamedTuple
import numpy as np
from PIL import Image, ImageDraw

@dataclasses.dataclass
class Result:
    label: str
    values: List[float]

class Pair(NamedTuple):
    a: int
    b: int

@functools.lru_cache
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)

def run_experiment(system, tools) -> Dict[str, Any]:
    found = [Result(f"{n}", [x * n for x in (1.0, 2.0)]) for n in range(3)]
    means = {r.label: statistics.mean(r.values) for r in found}
    picture = Image.new("RGB", (8, 8)); ImageDraw.Draw(picture).rectangle((1, 1, 4, 4), fill="red")
    rng = np.random.default_rng(3)
    order = sorted(means, key=lambda k: -means[k])
    np.linalg.svd(rng.normal(size=(3, 3)))
    year = datetime.datetime.now().year
    return json.dumps(order), fib(30), picture.getpixel((2, 2)), year, Pair(1, 2), f"{means['2']:.2f}"
"""
    done = sandbox.run(program, host)
    assert (done.error, done.value) == (
        "",
        """('["2", "1", "0"]', 832040, (255, 0, 0), 2024, Pair(a=1, b=2), '3.00')""",
    )


def test_in_process_sandbox_warns_and_offers_the_same(capsys, host):
    sandbox = InProcessSandbox(None, SandboxSuite.context())
    assert "WARNING" in capsys.readouterr().err
    done = sandbox.run(
        "x = 2\nprint('hi')\n"
        "def run_experiment(system, tools): return system.neuron([tools.image(9)])[0], tools.results",
        host,
    )
    assert (done.error, done.stdout, done.host_calls) == ("", "hi\n", 3)
    assert done.value.startswith("([9.0], [{'label'")
    assert "line 1" in sandbox.run("def run_experiment(system, tools): return y", host).error
    assert sandbox.run("def run_experiment(system, tools): return x", host).value == "2"
    with pytest.raises(KeyboardInterrupt):
        sandbox.run("raise KeyboardInterrupt", host)
    with pytest.raises(ZeroDivisionError):
        sandbox.run("def run_experiment(system, tools): tools.broken()", host)
    sandbox.close()


FORGERIES = [program for program in programs() if program.name.startswith("writes")]


@pytest.mark.slow
@pytest.mark.parametrize("forgery", FORGERIES, ids=[forgery.name for forgery in FORGERIES])
def test_a_program_that_writes_the_stack_of_a_waiting_worker_answers_no_later_one(sandbox, host, forgery):
    assert sandbox.run(NOTHING, host).error == ""
    idle = dedent(FORGER) + "def run_experiment(system, tools): return idle()"
    assert sandbox.run(idle, host).value == sandbox._worker._idle
    assert "SandboxViolation" in sandbox.run(forgery.program, host).error
    done = sandbox.run(NOTHING, host)
    assert (done.value, done.error) == ("1", "")


def test_a_worker_whose_place_the_kernel_hides_serves_one_program(host, monkeypatch):
    def hidden(path):
        raise PermissionError(path)

    monkeypatch.setattr(child, "_read_as_owner", hidden)
    sandbox = make()
    assert sandbox.run(f"kept = 1\n{NOTHING}", host).value == "1"
    done = sandbox.run("def run_experiment(system, tools): return 'kept' in globals()", host)
    assert (done.value, done.variables_lost) == ("False", True)
    sandbox.close()


@pytest.mark.parametrize(("state", "kept"), [("R", True), ("S", False)])
def test_a_worker_that_gets_no_processor_is_waited_for_and_one_that_sleeps_is_not(state, kept, monkeypatch):
    """A busy machine left a worker without processor for 2 s; it lost its variables as if it had not ended."""
    sandbox = make()
    sandbox.run("x = 5\n" + NOTHING, SuiteHost())
    stack, fields, late = child.Child.stack, child.Child._fields, iter(range(3))
    now, real = [0.0], time.monotonic

    def starved(worker, expected=None):
        if next(late, None) is None:
            return stack(worker, expected)
        now[0] += 5
        return ""

    monkeypatch.setattr(child.Child, "stack", starved)
    monkeypatch.setattr(child.Child, "_fields", lambda own, name: [state] if name == "stat" else fields(own, name))
    monkeypatch.setattr(child.time, "monotonic", lambda: real() + now[0])
    done = sandbox.run(NOTHING, SuiteHost())
    monkeypatch.undo()
    assert ("not at rest" not in done.error) == kept, done.error
    assert (sandbox.run("def run_experiment(system, tools): return x", SuiteHost()).value == "5") == kept
    sandbox.close()
