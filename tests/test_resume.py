"""A run that is killed goes on to the same end, and does nothing twice."""

import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time
from types import SimpleNamespace

import pytest

from maia_core.agent import run
from maia_core.codec import images_of
from maia_core.config import RunConfig, validated
from maia_core.context import Context
from maia_core.errors import BackboneBusy, ContextTooLong, RecordError, UsageError
from maia_core.events import Executed, HostCall, Manifest, Replied, Verified
from maia_core.hookspecs import hookimpl
from maia_core.journal import Journal
from maia_core.record import RunReader, RunWriter
from maia_core.registry import installed
from maia_core.session import make_session
from maia_core.testing import FAKE_RUN, FakeGenerator, ScriptedBackbone, fake_parts, timeless
from maia_core.types import Execution, Usage
from maia_runs import launch
from maia_runs.launch import explain, resume
from maia_runs.signature import check_signature

STATEFUL = [
    FAKE_RUN[0],
    "[CODE]:\n```python\nimport random, time\nkept = []\ndef run_experiment(system, tools):\n"
    "    a, i = system.neuron(tools.text2image(['a red disc', 'a blue disc']))\n"
    "    kept.append(i[0].clean); tools.log_experiment(a, i, ['one', 'two'])\n"
    "    print(random.random(), time.time())\n```",
    "[CODE]:\n```python\ndef run_experiment(system, tools):\n"
    "    images, titles = tools.edit_images(kept, 'change the colour to green')\n"
    "    tools.log_experiment(system.neuron(images)[0], images, titles)\n"
    "    print(len(tools.results), random.random(), time.time())\n    return len(kept)\n```",
    FAKE_RUN[-1],
]


class _CountingBackbone(ScriptedBackbone):
    """Answers by the number of turns in the conversation, so that it can join at any place."""

    def __init__(self, replies, longest=None):
        super().__init__(replies)
        self.all = list(replies)
        self.asked = []
        self.longest = longest

    def complete(self, messages, limits):
        if self.longest is not None and sum(len(message.images) for message in messages) > self.longest:
            raise ContextTooLong("too many images")
        turn = sum(m.role == "assistant" for m in messages)
        self.asked.append(turn)
        self._replies = [self.all[turn]]
        return super().complete(messages, limits)


class _Cut(BaseException):
    """Stands for a kill: nothing catches it."""


def _run(folder, recorded=(), cut_at=None, generator=None, replies=STATEFUL, longest=None, copies=None, **config):
    context = Context(
        validated(RunConfig, config, "the test"), installed(), parts=fake_parts(), cache=folder.parent / "cache"
    )
    context._parts["generator"] = generator = generator or FakeGenerator()
    if recorded:
        writer = RunWriter.reopen(folder)
    else:
        manifest = Manifest(id="x", created=0, config={}, seed=0, system=context.system.info, versions={})
        writer = RunWriter.create(folder, manifest)
    context.images = writer.images
    written = 0

    def write(event):
        nonlocal written
        if written == cut_at:
            raise _Cut
        if copies is not None:
            shutil.copytree(folder, copies / str(written))
        written += 1
        writer.append(event)

    backbone = _CountingBackbone(replies, longest)
    session = None
    try:
        session = make_session(context, Journal(write, recorded))
        outcome = run(session, backbone)
    except _Cut:
        outcome = None
    finally:
        if session is not None:
            session.close()
        writer.close()
    return outcome, backbone, generator


@pytest.mark.slow
@pytest.mark.parametrize("longest", [None, 8], ids=["", "conversation had to be shortened"])
def test_a_run_cut_after_any_event_goes_on_to_the_same_record(tmp_path, longest):
    """The folder as it was before each event is all that a kill at that moment would leave."""
    whole, _, generator = _run(tmp_path / "whole", longest=longest, copies=tmp_path)
    assert whole.status == "answered"
    events = len(RunReader(tmp_path / "whole").events)
    assert events > 20
    for cut in range(1, events):
        folder = tmp_path / str(cut)
        recorded = RunReader(folder).events
        assert len(recorded) == cut
        outcome, backbone, resumed = _run(folder, recorded, longest=longest)
        assert outcome.explanation == whole.explanation
        assert timeless(folder) == timeless(tmp_path / "whole"), f"cut after {cut} events"
        assert sorted(set(backbone.asked)) == list(range(sum(isinstance(e, Replied) for e in recorded), 4))
        drawn = sum(isinstance(e, Verified) or getattr(e, "method", "") == "tools.text2image" for e in recorded)
        assert resumed.calls == generator.calls - drawn


@pytest.mark.slow
def test_a_torn_line_is_taken_off_and_its_event_done_again(tmp_path):
    _run(tmp_path / "whole")
    _run(tmp_path / "cut", cut_at=12)
    with open(tmp_path / "cut" / "journal.jsonl", "ab") as journal:
        journal.write(b'{"time": 1, "event": "call", "tu')
    _run(tmp_path / "cut", RunReader(tmp_path / "cut").events)
    assert timeless(tmp_path / "cut") == timeless(tmp_path / "whole")


@pytest.mark.slow
def test_programs_before_lost_variables_are_not_run_again(tmp_path):
    body = "def run_experiment(system, tools):\n    tools.text2image(['red'])\n    import os; os._exit(1)\n"
    crash = f"[CODE]:\n```python\n{body}```"
    replies = [STATEFUL[0], crash, *STATEFUL[1:]]
    _run(tmp_path / "whole", replies=replies)
    executed = [e.execution.variables_lost for e in RunReader(tmp_path / "whole").of_type(Executed)]
    assert executed == [False, True, False, False]
    _run(tmp_path / "cut", cut_at=len(RunReader(tmp_path / "whole").events) - 3, replies=replies)
    outcome, _, _ = _run(tmp_path / "cut", RunReader(tmp_path / "cut").events, replies=replies)
    assert outcome.status == "answered"
    assert timeless(tmp_path / "cut") == timeless(tmp_path / "whole")


def test_a_run_that_does_not_repeat_stops_and_is_named(tmp_path):
    _run(tmp_path / "run", cut_at=14)
    recorded = RunReader(tmp_path / "run").events
    changed = [
        e.model_copy(update={"arguments_hash": "0" * 32}) if isinstance(e, HostCall) and e.turn == 2 else e
        for e in recorded
    ]
    outcome, _, _ = _run(tmp_path / "run", changed)
    assert outcome.status == "failed"
    assert "does not repeat as recorded" in outcome.reason


def test_where_objects_lay_in_memory_is_no_result(tmp_path):
    """`print(map(len, x))` is a slip that everybody makes; another worker prints another address."""
    slip = "[CODE]:\n```python\ndef run_experiment(system, tools):\n    print(map(len, []))\n    return object()\n```"
    replies = [STATEFUL[0], slip, *STATEFUL[1:]]
    whole, _, _ = _run(tmp_path / "run", replies=replies)
    ran = next(event for event in RunReader(tmp_path / "run").of_type(Executed) if event.turn == 2)
    events = []
    for event in RunReader(tmp_path / "run").events[:-3]:
        if event == ran:  # As another worker would have printed it.
            printed = {
                name: re.sub("0x[0-9a-f]+", "0x7f1234567890", getattr(ran.execution, name) or "")
                for name in ("stdout", "value")
            }
            event = ran.model_copy(update={"execution": ran.execution.model_copy(update=printed)})
            assert event != ran
        events.append(event)
    folder = tmp_path / "again"
    shutil.copytree(tmp_path / "run", folder)
    outcome, _, _ = _run(folder, events, replies=replies)
    assert (outcome.status, outcome.explanation) == ("answered", whole.explanation)


def test_what_engines_used_while_the_backbone_was_asked_is_in_the_record(make_fake_session):
    """A blind backbone has images described; a run that goes on must not forget what that cost."""

    class Blind(ScriptedBackbone):
        def complete(self, messages, limits):
            context.spend(Usage(cost=0.5))
            return super().complete(messages, limits)

    events = []
    session = make_fake_session(record=events.append, limits={"malformed": 1})
    context = session.context
    assert run(session, Blind(["hm"])).usage.cost == 0.5
    resumed = make_fake_session(recorded=events[:-1], limits={"malformed": 1})
    assert run(resumed, ScriptedBackbone([])).usage.cost == 0.5


def test_two_processes_cannot_write_one_run(tmp_path):
    _run(tmp_path / "run", cut_at=5)
    writer = RunWriter.reopen(tmp_path / "run")
    with pytest.raises(RecordError, match="another process"):
        RunWriter.reopen(tmp_path / "run")
    writer.close()


def test_passing_failures_are_tried_again_and_counted_anew_after_success(make_fake_session, monkeypatch):
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    busy = BackboneBusy("429 too many requests", retry_after=7)
    script = [busy, busy, STATEFUL[0], busy, ConnectionError("reset"), FAKE_RUN[-1]]
    events = []
    session = make_fake_session(record=events.append, limits={"retries": 2})
    assert run(session, ScriptedBackbone(script)).status == "answered"
    assert slept[:3] == [7, 7, 7]
    assert 0.9 < slept[3] <= 2.0
    assert sum("retrying in" in getattr(e, "text", "") for e in events) == 4


def test_waiting_for_a_service_that_refuses_calls_uses_up_no_limit_of_the_run(make_fake_session, monkeypatch):
    """Its time limit is an hour, and the service asks for 50 minutes before each of two replies."""
    clock = SimpleNamespace(now=0.0)
    clock.sleep = lambda seconds: setattr(clock, "now", clock.now + seconds)
    clock.perf_counter = lambda: clock.now
    monkeypatch.setattr("maia_core.agent.time", clock)
    busy, events = BackboneBusy("429", retry_after=3000), []
    session = make_fake_session(record=events.append, limits={"seconds": 3600, "retry_seconds": 3600})
    assert run(session, ScriptedBackbone([busy, STATEFUL[0], busy, FAKE_RUN[-1]])).status == "answered"
    replies = [event for event in events if isinstance(event, Replied)]
    assert [(event.seconds, event.reply.waited) for event in replies] == [(0, 3000)] * 2


def test_retries_end_in_number_and_in_time(make_fake_session, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda s: None)
    outcome = run(make_fake_session(limits={"retries": 2}), ScriptedBackbone([TimeoutError("slow")] * 9))
    assert (outcome.status, "failed 3 times" in outcome.reason) == ("failed", True)
    script = [BackboneBusy("later", retry_after=200)] * 9
    outcome = run(make_fake_session(limits={"retry_seconds": 300}), ScriptedBackbone(script))
    assert "failed 2 times" in outcome.reason


def test_tool_that_hangs_ends_the_run_and_not_the_patience(make_fake_session):
    class Hanging(FakeGenerator):
        def generate(self, prompts, seeds):
            time.sleep(60)

    session = make_fake_session(parts={"generator": Hanging()}, limits={"call_seconds": 0.2})
    script = [
        "[CODE]:\n```python\ndef run_experiment(system, tools):\n    tools.text2image(['red'])\n```",
        FAKE_RUN[-1],
    ]
    outcome = run(session, ScriptedBackbone(script))
    assert (outcome.status, "limits.call_seconds" in outcome.reason) == ("failed", True)


def test_tool_that_comes_too_late_does_nothing_to_the_next_run(make_fake_session):
    """A sweep goes on with the same context; the time, images and dollars of one unit are not those of another."""
    ended = threading.Event()

    class Late(FakeGenerator):
        def generate(self, prompts, seeds):
            time.sleep(0.5)
            try:
                context.spend(Usage(cost=3.0))
            finally:
                ended.set()

    session = make_fake_session(parts={"generator": Late()}, limits={"call_seconds": 0.1})
    context = session.context
    run(session, ScriptedBackbone([STATEFUL[1]]))
    context.restart(context.config.system)
    assert ended.wait(10)
    assert context.spent.cost == 0


@pytest.mark.parametrize(
    ("limits", "named"),
    [({"experiments": 1}, "limits.experiments"), ({"images": 2}, "limits.images"), ({"cost": 1e-9}, "limits.cost")],
)
def test_budget_that_is_used_up_asks_for_the_answer(make_fake_session, limits, named):
    from maia_core.types import Reply, Usage

    program = "[CODE]:\n```python\ndef run_experiment(system, tools):\n    tools.text2image(['red', 'blue'])\n```"
    paid = Reply(text=program, usage=Usage(cost=0.5))
    outcome = run(make_fake_session(limits=limits), ScriptedBackbone([paid, FAKE_RUN[-1]]))
    assert (outcome.status, named in outcome.reason) == ("answered", True)


def test_one_program_cannot_overdraw_the_image_budget(make_fake_session):
    session = make_fake_session(limits={"images": 5})
    execution = session.execute("def run_experiment(system, tools):\n    tools.text2image(['red'] * 6)\n")
    assert "budget has 5 left (limits.images)" in execution.error


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_resume import _run, RunReader
folder = Path({folder!r})
recorded = RunReader(folder) if (folder / "journal.jsonl").exists() else None
if recorded is None or recorded.outcome is None:
    _run(folder, recorded.events if recorded else ())
"""


@pytest.mark.slow
def test_a_process_killed_at_random_moments_reaches_the_same_record(tmp_path):
    _run(tmp_path / "whole")
    expected = timeless(tmp_path / "whole")
    rng = random.Random(7)
    kills = 0
    processes = multiprocessing.get_context("forkserver")  # Each begins with the imports made.
    processes.set_forkserver_preload(
        ["pytest", "maia_runs.launch", "maia_core.testing", "maia_sandbox", "maia_standard"]
    )
    for attempt in range(20):
        folder = tmp_path / f"run{attempt}"
        code = KILLED.format(tests=os.path.dirname(__file__), folder=str(folder))
        for _ in range(4):
            process = processes.Process(target=exec, args=(code, {}))
            process.start()
            lines, delay = rng.randrange(len(expected)), rng.uniform(0, 0.03)
            while process.is_alive() and _written(folder) <= lines:
                time.sleep(0.002)
            time.sleep(delay)
            process.kill()
            process.join()
            assert process.exitcode in (0, -signal.SIGKILL), f"attempt {attempt}: see the text on stderr"
            kills += process.exitcode != 0
            if not (folder / "journal.jsonl").exists():
                shutil.rmtree(folder, ignore_errors=True)  # Killed before anything was paid for.
            if process.exitcode == 0:
                break
        else:
            process = processes.Process(target=exec, args=(code, {}))
            process.start()
            process.join()
            assert process.exitcode == 0, f"attempt {attempt}: see the text on stderr"
        assert timeless(folder) == expected, f"attempt {attempt}"
    print(f"killed {kills} times, every record equal to the uninterrupted one")
    assert kills >= 30


def _written(folder):
    journal = folder / "journal.jsonl"
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="mounting a small disk takes root")
def test_full_disk_ends_with_one_line_and_the_run_goes_on_when_there_is_room(tmp_path):
    _run(tmp_path / "whole")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("mounting is not permitted here")
    try:
        try:
            outcome, _, _ = _run(disk / "run")
            why = outcome.reason
        except RecordError as error:  # The outcome itself may not fit.
            why = str(error)
        assert "No space left" in why
        recorded = RunReader(disk / "run").events
        assert recorded
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        outcome, _, _ = _run(disk / "run", recorded)
        assert outcome.status == "answered"
        kept = [event for event in timeless(disk / "run") if event.get("status") != "failed"]
        assert kept == timeless(tmp_path / "whole")
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_program_that_began_in_a_new_worker_runs_again_and_one_that_broke_it_does_not():
    began = Executed(turn=2, execution=Execution(variables_lost=True))
    broke = Executed(turn=2, execution=Execution(variables_lost=True, error="WorkerDied: signal SIGSEGV"))
    assert Journal(recorded=[began]).skip(2) is None
    assert Journal(recorded=[broke]).skip(2) == ([], broke.execution)


def test_a_run_that_an_observer_stopped_goes_on_to_its_answer(tmp_path, make_fake_session):
    class Enough:
        @hookimpl
        def should_stop(self, session):
            return "enough" if session.state.turns else None

    events = []
    run(
        make_fake_session(record=events.append, observers=[Enough()]),
        ScriptedBackbone([STATEFUL[0], ValueError("gone")]),
    )
    assert events[-1].status == "failed"
    context = Context(parts=fake_parts(), cache=tmp_path)
    context.images = _Pixels(events)
    session = make_session(context, Journal(recorded=events))
    outcome = run(session, ScriptedBackbone([FAKE_RUN[-1]]))
    session.close()
    assert outcome.status == "answered"


class _Pixels:
    """Stands for the images of a record that was kept in memory."""

    def __init__(self, events):
        self.images = {image.id: image for image in images_of(events)}

    def load(self, image_id, masked, width, height):
        image = self.images[image_id]
        return image.mask() if masked else image.pixels()


@pytest.mark.slow
def test_a_run_that_stopped_at_a_limit_continues_where_the_limit_is_raised(tmp_path):
    replies = [*STATEFUL[:-1], STATEFUL[1], STATEFUL[-1]]
    folder = tmp_path / "run"
    stopped, _, _ = _run(folder, replies=replies, limits={"turns": 2})
    assert stopped.status == "stopped"
    recorded = RunReader(folder).events
    again, backbone, _ = _run(folder, recorded=recorded, replies=replies, limits={"turns": 2})
    assert (again.status, backbone.asked) == ("stopped", [])
    for cut_at in (3, None):  # Killed on the way, it continues from its record once more.
        recorded = RunReader(folder).events
        ended, backbone, _ = _run(folder, recorded=recorded, replies=replies, limits={"turns": 20}, cut_at=cut_at)
    assert ended.status == "answered"
    assert RunReader(folder).events[: len(recorded)] == recorded


def test_resume_raises_limits_and_records_them(tmp_path, monkeypatch):
    replies = [*STATEFUL[:-1], STATEFUL[1], STATEFUL[-1]]
    folder = tmp_path / "run"

    def context(config, registry=None):
        parts = fake_parts() | {"generator": FakeGenerator(), "backbone": _CountingBackbone(replies)}
        return Context(config, parts=parts, cache=tmp_path / "cache")

    monkeypatch.setattr(launch, "Context", context)
    stopped = explain(validated(RunConfig, {"limits": {"turns": 2}, "verify": False}, "the test"), out=folder)
    assert stopped.outcome.status == "stopped"
    with pytest.raises(RecordError, match="raise the limit"):
        resume(folder)
    with pytest.raises(UsageError, match="Did you mean 'turns'"):
        resume(folder, limits={"turn": 20})
    assert RunReader(folder).manifest.config["limits"]["turns"] == 2
    ended = resume(folder, limits={"turns": 20})
    assert ended.outcome.status == "answered"
    manifest = RunReader(folder).manifest
    assert manifest.config["limits"]["turns"] == 20
    check_signature(manifest.config, manifest.signature, folder, False)
    with pytest.raises(RecordError, match="has ended"):
        resume(folder, limits={"turns": 30})
