"""Sessions in threads of one process: what they share gives the results of one session after another.

Each stress test is shown to fail without the lock that it is about: `without` takes the lock away.
"""

from __future__ import annotations

import contextlib
import contextvars
import gc
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from maia_cache import claims
from maia_core import text
from maia_core.config import PluginRef, RunConfig
from maia_core.context import Context
from maia_core.events import Noted
from maia_core.plugin import syntax_tree
from maia_core.record import RunReader
from maia_core.registry import Registry
from maia_core.testing import FakeGenerator, fakes
from maia_core.types import BackboneInfo, GeneratedImages, Usage
from maia_hub.joining import Joiner
from maia_sweep.batching import BatchedGenerator
from maia_sweep.sweeping import sweep
from maia_sweep.threads import Threads
from maia_torch import Preprocessing, TorchModel

SESSIONS, ROUNDS = 8, 3
TOLERANCE = 1e-4


class NoLock:
    """Locks nothing."""

    __enter__ = acquire = lambda self, *args, **named: True
    __exit__ = release = lambda self, *args: None


@contextlib.contextmanager
def switching() -> Iterator[None]:
    """Lets threads take turns as often as Python can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def at_once(work: Callable[[int], Any], count: int = SESSIONS) -> list[Any]:
    """Returns the results, or errors, of sessions that begin at once, each in a thread and a run of its own."""
    start, results = threading.Barrier(count), [None] * count

    def session(number: int) -> None:
        start.wait(30)
        try:
            results[number] = work(number)
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=contextvars.Context().run, args=(session, n)) for n in range(count)]
    with switching():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    return results


def parsed_at_once() -> list[Any]:
    """Returns what sessions got that parse one program: a collector that runs Python lets threads take turns in it."""
    program = "PLAN = [" + "{'scene': ('a', ['b', 'c'])}, " * 200 + "]"

    def turn(phase: str, info: dict[str, int]) -> None:
        sum(range(5))

    before = gc.get_threshold()
    gc.callbacks.append(turn)
    gc.set_threshold(50)
    try:
        return at_once(lambda number: [len(syntax_tree(program).body) for _ in range(20)])
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(turn)


def test_programs_are_parsed_in_threads_at_once() -> None:
    assert parsed_at_once() == [[1] * 20] * SESSIONS


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="Python counts the depth of each thread's trees by itself")
def test_without_its_lock_python_mistakes_the_depth_of_one_tree_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_PARSING", NoLock())
    assert any(isinstance(found, SystemError) for _ in range(10) for found in parsed_at_once())


class Net(nn.Module):
    """Three small layers; the middle one runs twice in a pass, so that a foreign hook would count a foreign call."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 6, 3)
        self.again = nn.Conv2d(6, 6, 3, padding=1)
        self.last = nn.Conv2d(6, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.again(self.again(self.first(x).relu()).relu())).relu()


@pytest.fixture
def model() -> Iterator[TorchModel]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield TorchModel(Net(), Preprocessing(32, mean=(0, 0, 0), std=(1, 1, 1)), "net")
    torch.set_num_threads(threads)


def measured(model: TorchModel) -> str:
    """Returns the first difference between sessions at once and one after another; "" if there is none."""
    images = [fakes.photograph(seed) for seed in range(6)]
    refs = ["first:1", "again@1:2", "again@2:2", "last:3", "last:0", "first:0", "again@1:5", "output:1"]

    def session(number: int) -> list[float]:
        values = model.unit(refs[number % len(refs)]).neuron(images[number % 3 :])[0]
        return values + model.activations(images, "last").max(axis=1).tolist()

    alone = [session(number) for number in range(SESSIONS)]
    for _ in range(ROUNDS):
        for number, (one, other) in enumerate(zip(at_once(session), alone, strict=True)):
            close = isinstance(one, list) and len(one) == len(other)
            if not close or not np.allclose(one, other, atol=TOLERANCE * max(1, *map(abs, other)), rtol=0):
                return f"session {number}: {one!r} instead of {other}"
    return ""


@pytest.mark.parametrize("most", [0, 64])
def test_sessions_measure_as_one_after_another(model: TorchModel, most: int) -> None:
    model.join_passes(most)
    assert measured(model) == ""


def test_without_the_locks_of_a_model_sessions_see_each_others_layers(
    model: TorchModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model.engine, "_lock", NoLock())
    assert measured(model) == "", "one of two locks is left"
    monkeypatch.setattr(Joiner, "call", lambda self, request, *args, **named: self._run([request])[0])
    assert any(measured(model) for _ in range(20))


class Unsafe(FakeGenerator):
    """A generator with a state that two calls at the same time confuse, such as a pipeline's scheduler."""

    def __init__(self) -> None:
        super().__init__()
        self.made: Counter[tuple[str, int]] = Counter()
        self.job: Sequence[str] = ()

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> GeneratedImages:
        self.job = prompts
        self.made.update(zip(prompts, seeds, strict=True))
        time.sleep(0)  # Another thread may run.
        return super().generate(self.job, seeds)


def drawn(engine: Unsafe, generator: Any) -> str:
    """Returns the first difference between sessions that draw at once and one after another; "" if there is none."""

    def session(number: int, generator: Any = generator) -> list[tuple[str, str]]:
        ids = []
        for step in range(12):
            colours = [["red", "green", "blue"][(number + step + n) % 3] for n in range(1 + (number + step) % 3)]
            prompts = [f"a {colour} disc" for colour in colours]
            made = generator.generate(prompts, [step + n for n in range(len(prompts))])
            ids += [(image.id, image.title) for image in made.images]
        return ids

    found = at_once(session)
    for number, one in enumerate(found):
        if one != session(number, FakeGenerator()):
            return f"session {number}: {one}"
    return ""


def test_an_engine_that_is_not_safe_in_threads_draws_for_sessions_as_for_one_after_another(tmp_path: Path) -> None:
    for _ in range(ROUNDS):
        engine = Unsafe()
        assert drawn(engine, BatchedGenerator(engine, Context(cache=tmp_path))) == ""


def test_without_the_batcher_such_an_engine_mixes_sessions_up() -> None:
    assert any(drawn(engine, engine) for engine in (Unsafe() for _ in range(20)))


class _World(Registry):
    """The installed observers, with one unsafe generator and a backbone that replies by the number of turns."""

    def __init__(self, engine: Unsafe, model: TorchModel | None = None) -> None:
        super().__init__()
        self.engine, self.model, self.built = engine, model, Counter[str]()

    def find(self, kind: str, name: str) -> Any:
        return super().find(kind, "module" if (kind, name) == ("model", "net") else name)

    def build(self, kind: str, name: str, options: Any, context: Any) -> Any:
        self.built[kind] += 1
        time.sleep(0.001)  # Reading weights takes longer.
        if kind in ("generator", "model"):
            return self.engine if kind == "generator" else self.model
        if kind == "backbone":
            return _Backbone()
        parts = fakes.fake_parts()
        return parts[kind] if kind in parts and kind != "system" else super().build(kind, name, options, context)


class _Backbone:
    info = BackboneInfo(name="by-turn")

    def complete(self, messages: Any, limits: Any) -> Any:
        turn = sum(message.role == "assistant" for message in messages)
        return fakes.ScriptedBackbone(fakes.FAKE_RUN[turn:]).complete(messages, limits)


GENERATOR = RunConfig(generator=PluginRef(name="any"))


def drawn_once(cache: Path) -> str:
    """Returns which images sessions with a common cache made more than once; "" if there is none."""
    engine = Unsafe()
    context = Context(GENERATOR, _World(engine), cache=cache)
    if problem := drawn(engine, context.generator):
        return problem
    return str([each for each, count in engine.made.items() if count > 1] or "")


def test_sessions_with_one_cache_make_every_image_once(tmp_path: Path) -> None:
    for number in range(ROUNDS):
        assert drawn_once(tmp_path / str(number)) == ""


def test_without_the_claims_of_the_cache_sessions_make_an_image_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def taken(self: Any, names: Any) -> Iterator[Any]:
        yield list(names), claims.Others({})

    monkeypatch.setattr(claims.Claims, "taken", taken)
    assert any(drawn_once(tmp_path / str(number)) for number in range(20))


def parts_built(lock: Any = None) -> int:
    """Returns how often the generator of a context was built that sessions ask for it at once."""
    world = _World(Unsafe())
    context = Context(GENERATOR, world)
    context._lock = lock or context._lock
    at_once(lambda number: context.generator)
    return world.built["generator"]


def test_a_part_is_built_once_for_all_sessions() -> None:
    assert [parts_built() for _ in range(ROUNDS)] == [1] * ROUNDS
    assert any(parts_built(NoLock()) > 1 for _ in range(20)), "the test sees it without the lock"


class _Sum(Usage):
    """Usage whose sum takes as long as another thread needs to add to it."""

    def __add__(self, other: Usage) -> Usage:
        total = super().__add__(other)
        time.sleep(1e-4)
        return _Sum(**total.model_dump())


def counted(lock: Any = None) -> int:
    """Returns the tokens that a run counts whose engine uses ten in each of many threads that work for it."""
    context = Context()
    context._lock = lock or context._lock
    context._effects[-1].usage = _Sum()
    in_run = [contextvars.copy_context() for _ in range(SESSIONS)]
    at_once(lambda number: in_run[number].run(lambda: [context.spend(Usage(input_tokens=10)) for _ in range(5)]))
    return context.spent.input_tokens


def test_a_run_counts_all_that_its_threads_use() -> None:
    assert counted() == 10 * 5 * SESSIONS
    assert counted(NoLock()) < 10 * 5 * SESSIONS, "the test sees it without the lock"


def records(folder: Path) -> list[Any]:
    """Returns what a run recorded, without its times, and without the notes on parts, which the first run gets."""
    events = [event for event in RunReader(folder).events if not isinstance(event, Noted)]
    return [event.model_dump(mode="json") for event in events]


def assert_alike(one: Any, other: Any) -> None:
    """Asserts that two values of records are equal but for the noise of a joined pass and for their times."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one.keys() - {"seconds"}:
            assert_alike(one[key], other[key])
    elif isinstance(one, list):
        for pair in zip(one, other, strict=True):
            assert_alike(*pair)
    else:
        assert one == (pytest.approx(other, abs=1e-3) if isinstance(other, float) else other)


@pytest.mark.slow
def test_the_records_of_a_sweep_in_threads_are_those_of_one_after_another(tmp_path: Path) -> None:
    """Real sandbox, tools, journals, image stores, observers and cache, and a real network."""
    units = [f"net:{layer}:{unit}" for layer in ("first", "last") for unit in range(4)]
    folders = {}
    for name, runner in (("one", None), ("threads", Threads(Threads.Config(workers=6), Context()))):
        model = TorchModel(Net(), Preprocessing(32, mean=(0, 0, 0), std=(1, 1, 1)), "net")
        world = _World(Unsafe(), model)
        folders[name] = dict(sweep(RunConfig(verify=False), units, tmp_path / name, runner=runner, registry=world))
    for unit in units:
        one, other = folders["one"][unit], folders["threads"][unit]
        assert hasattr(one, "outcome"), one
        assert hasattr(other, "outcome"), other
        assert one.outcome.status == other.outcome.status == "answered"
        assert one.outcome.usage == other.outcome.usage
        assert_alike(records(one.folder), records(other.folder))
