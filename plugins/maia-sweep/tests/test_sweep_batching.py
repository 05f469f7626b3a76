"""Calls of several sessions as one: equal results, own usage, own errors, the cache first."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maia_core.config import PluginRef, RunConfig
from maia_core.context import Context
from maia_core.errors import ToolError, UsageError, with_results
from maia_core.image import Image
from maia_core.registry import Registry, installed
from maia_core.testing import (
    DescriberSuite,
    EditorSuite,
    FakeDescriber,
    FakeEditor,
    FakeGenerator,
    FakeModel,
    GeneratorSuite,
    disc,
)
from maia_core.types import GeneratedImages, Usage
from maia_sweep.batching import BatchedDescriber, BatchedEditor, BatchedGenerator, part_built

WAIT = 30
COLOURS = ["red", "green", "blue", "yellow"]


class TestGenerator(GeneratorSuite):
    @pytest.fixture
    def generator(self) -> Any:
        return BatchedGenerator(FakeGenerator(), Context())


class TestEditor(EditorSuite):
    @pytest.fixture
    def editor(self) -> Any:
        return BatchedEditor(FakeEditor(), Context())


class TestDescriber(DescriberSuite):
    @pytest.fixture
    def describer(self) -> Any:
        return BatchedDescriber(FakeDescriber(), Context())


class Generator(FakeGenerator):
    """Notes the sizes of its calls, uses tokens, and refuses a prompt with "gun" for all; not safe in two threads."""

    def __init__(self, context: Context | None = None, *, keeps: bool = False) -> None:
        super().__init__()
        self.asked: list[int] = []
        self.inside = threading.Lock()
        self._context, self._keeps = context, keeps

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> GeneratedImages:
        assert self.inside.acquire(blocking=False), "two threads at the same time"
        try:
            self.asked.append(len(prompts))
            if self._context is not None:
                self._context.spend(Usage(input_tokens=10 * len(prompts), cost=0.3 * len(prompts)))
            good = [n for n, prompt in enumerate(prompts) if "gun" not in prompt]
            made = super().generate([prompts[n] for n in good], [seeds[n] for n in good])
            if len(good) < len(prompts):
                kept = dict(zip(good, zip(made.images, made.warnings, strict=True), strict=True))
                error = ToolError("the safety checker refuses 'gun'")
                raise with_results(error, kept) if self._keeps else error
            return made
        finally:
            self.inside.release()


def together(batched: Any, work: Sequence[Callable[[], Any]], context: Context | None = None) -> list[Any]:
    """Calls functions, each in the thread of a run of its own, so that all their calls are joined where they can be.

    Returns:
        The result, or the error, of each; with a context, and what the run has spent.
    """
    gate, entered = threading.Event(), threading.Event()
    tick, joiner = threading.Event(), batched._joiner
    run = joiner._run

    def hold(requests: list[Any]) -> Any:
        if requests == ["hold"]:
            entered.set()
            assert gate.wait(WAIT)
            return ["held"]
        return run(requests)

    def session(one: Callable[[], Any]) -> Any:
        if context is not None:
            context.restart(PluginRef(name="discs:colours:red"))
        try:
            result = one()
        except Exception as error:
            result = error
        return result if context is None else (result, context.spent)

    joiner._run = hold
    with ThreadPoolExecutor(len(work) + 1) as pool:
        try:
            held = pool.submit(joiner.call, "hold", alone=True)
            assert entered.wait(WAIT)
            futures = []
            for one in work:  # One by one, so that their order is known.
                futures.append(pool.submit(contextvars.Context().run, session, one))
                while len(joiner._waiting) <= sum(not future.done() for future in futures):
                    tick.wait(0.002)
        finally:
            gate.set()
        held.result(WAIT)
        joiner._run = run
        return [future.result(WAIT) for future in futures]


requests = st.lists(
    st.lists(st.tuples(st.sampled_from(COLOURS), st.integers(0, 50)), min_size=1, max_size=6), min_size=1, max_size=7
)


@settings(max_examples=25, deadline=None)
@given(requests)
def test_an_image_does_not_depend_on_what_other_sessions_ask_for(asked: list[list[tuple[str, int]]]) -> None:
    engine = Generator()
    batched = BatchedGenerator(engine, Context())
    calls = [([f"a {colour} disc" for colour, _ in call], [seed for _, seed in call]) for call in asked]
    results = together(batched, [lambda call=call: batched.generate(*call) for call in calls])
    assert len(engine.asked) <= len(calls)
    for call, result in zip(calls, results, strict=True):
        alone = FakeGenerator().generate(*call)
        assert [image.id for image in result.images] == [image.id for image in alone.images]
        assert [image.title for image in result.images] == [image.title for image in alone.images]
        assert result.warnings == alone.warnings


@settings(max_examples=12, deadline=None)
@given(requests)
def test_edits_and_descriptions_do_not_depend_on_the_others(asked: list[list[tuple[str, int]]]) -> None:
    editor, describer = BatchedEditor(FakeEditor(), Context()), BatchedDescriber(FakeDescriber(), Context())
    calls = [
        ([disc("blue", seed) for _, seed in call], [f"make it {colour}" for colour, _ in call], [s for _, s in call])
        for call in asked
    ]
    edited = together(editor, [lambda call=call: editor.edit(*call) for call in calls])
    described = together(describer, [lambda call=call: describer.describe(call[0]) for call in calls])
    for call, edit, texts in zip(calls, edited, described, strict=True):
        assert [image.id for image in edit.images] == [image.id for image in FakeEditor().edit(*call).images]
        assert texts == FakeDescriber().describe(call[0])


def test_sessions_share_a_call_of_as_many_items_as_the_engine_takes_at_once() -> None:
    engine = Generator()
    engine.cache_step = 5  # type: ignore[attr-defined]  # an optional attribute of an engine
    batched = BatchedGenerator(engine, Context())
    together(batched, [lambda: batched.generate(["a red disc"] * 2, [1, 2])] * 5)
    assert engine.asked == [4, 4, 2]


def test_an_engine_that_draws_one_by_one_is_called_by_one_session_after_the_other() -> None:
    engine = Generator()
    engine.cache_step = 1  # type: ignore[attr-defined]  # an optional attribute of an engine
    batched = BatchedGenerator(engine, Context())
    together(batched, [lambda: batched.generate(["a red disc"], [1])] * 3)
    assert engine.asked == [1, 1, 1]


def test_each_run_counts_its_own_share_of_what_a_joined_call_used() -> None:
    context = Context()
    batched = BatchedGenerator(Generator(context), context)
    sizes = [1, 3, 2]
    results = together(
        batched, [lambda n=n: batched.generate(["a red disc"] * n, list(range(n))) for n in sizes], context
    )
    assert batched._engine.asked == [6]
    assert [spent.input_tokens for _, spent in results] == [10, 30, 20]
    assert [spent.cost for _, spent in results] == pytest.approx([0.3, 0.9, 0.6])


def test_the_shares_of_a_joined_call_add_up_to_the_token() -> None:
    class Odd(FakeDescriber):
        def describe(self, images: Sequence[Image]) -> list[str]:
            context.spend(Usage(input_tokens=101, output_tokens=7))
            return super().describe(images)

    context = Context()
    batched = BatchedDescriber(Odd(), context)
    results = together(batched, [lambda: batched.describe([disc("red")])] * 3, context)
    assert sum(spent.input_tokens for _, spent in results) == 101
    assert sum(spent.output_tokens for _, spent in results) == 7
    assert {spent.input_tokens for _, spent in results} <= {33, 34}


@pytest.mark.parametrize("keeps", [False, True])
def test_only_the_session_whose_prompt_is_refused_gets_the_error(keeps: bool) -> None:
    context = Context()
    engine = Generator(context, keeps=keeps)
    batched = BatchedGenerator(engine, context)
    prompts = [["a red disc"], ["a blue disc", "a gun"], ["a green disc"]]
    results = together(batched, [lambda p=p: batched.generate(p, list(range(len(p)))) for p in prompts], context)
    assert [type(result) for result, _ in results] == [GeneratedImages, ToolError, GeneratedImages]
    assert results[0][0].images[0].id == FakeGenerator().generate(["a red disc"], [0]).images[0].id
    # Images that were made before the refusal are not made again.
    assert engine.asked == ([4, 2] if keeps else [4, 1, 2, 1])
    assert sum(spent.input_tokens for _, spent in results) == 10 * sum(engine.asked)


def test_lists_of_unlike_lengths_are_the_error_of_their_session() -> None:
    class Strict(FakeGenerator):
        def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> GeneratedImages:
            if len(prompts) != len(seeds):
                raise UsageError("as many seeds")
            return super().generate(prompts, seeds)

    batched = BatchedGenerator(Strict(), Context())
    results = together(
        batched,
        [lambda: batched.generate(["a red disc"], [1]), lambda: batched.generate(["a red disc", "a blue disc"], [7])],
    )
    assert isinstance(results[1], UsageError)
    assert results[0].images[0].id == FakeGenerator().generate(["a red disc"], [1]).images[0].id


def test_an_engine_that_returns_too_few_results_mixes_no_sessions_up() -> None:
    class Short(FakeDescriber):
        def describe(self, images: Sequence[Image]) -> list[str]:
            return super().describe(images[:3])

    batched = BatchedDescriber(Short(), Context())
    colours = ["red", "green", "blue", "yellow"]
    results = together(batched, [lambda c=c: batched.describe([disc(c)]) for c in colours])
    assert results == [FakeDescriber().describe([disc(c)]) for c in colours]


def test_summaries_are_not_joined_and_do_not_overlap() -> None:
    batched = BatchedDescriber(FakeDescriber(), Context())
    results = together(batched, [lambda c=c: batched.summarize([disc(c)]) for c in COLOURS[:3]])
    assert results == [FakeDescriber().summarize([disc(c)]) for c in COLOURS[:3]]


class World(Registry):
    """The installed observers, with a counting generator."""

    def __init__(self, engine: Any) -> None:
        super().__init__()
        self._engine = engine

    def build(self, kind: str, name: str, options: Any, context: Any) -> Any:
        return self._engine


@pytest.fixture
def engine() -> Generator:
    return Generator()


def test_the_cache_stands_before_the_batcher(engine: Generator, tmp_path: Path) -> None:
    """A session that finds its image in the cache waits for no other; a session alone waits for nobody."""
    context = Context(RunConfig(generator=PluginRef(name="any")), World(engine), cache=tmp_path)
    first = context.generator.generate(["a red disc"], [1])
    assert isinstance(context.generator._engine, BatchedGenerator)  # type: ignore[attr-defined]  # the cache's
    batched = context.generator._engine  # type: ignore[attr-defined]  # the cache's
    asked = [("a red disc", 1), ("a blue disc", 2), ("a green disc", 3)]
    results = together(batched, [lambda p=p, s=s: context.generator.generate([p], [s]) for p, s in asked])
    assert results[0].images[0].id == first.images[0].id
    assert engine.asked == [1, 2]


def test_without_the_observer_nothing_stands_before_an_engine(engine: Generator, tmp_path: Path) -> None:
    registry = World(engine).without_observers(("batching", "cache"))
    registry.build = lambda *arguments: engine  # type: ignore[method-assign]  # the same fake
    context = Context(RunConfig(generator=PluginRef(name="any")), registry, cache=tmp_path)
    assert context.generator is engine


def test_an_engine_may_refuse_the_batcher() -> None:
    engine = FakeGenerator()
    engine.batched = False  # type: ignore[attr-defined]  # an optional attribute of an engine
    assert part_built("generator", engine, Context()) is None
    assert isinstance(part_built("generator", FakeGenerator(), Context()), BatchedGenerator)
    assert part_built("judge", FakeGenerator(), Context()) is None


def test_a_model_is_told_how_many_images_sessions_may_share() -> None:
    class Model(FakeModel):
        most = 0

        def join_passes(self, most: int) -> None:
            self.most = most

    model = Model()
    assert part_built("model", model, Context()) is None
    assert model.most > 1
    assert part_built("model", FakeModel(), Context()) is None


@pytest.mark.parametrize("name", ["litellm", "collage"])
@pytest.mark.parametrize("kind", ["generator", "editor"])
def test_engines_that_sessions_call_at_the_same_time_say_so(kind: str, name: str) -> None:
    """One session must not wait for a service that serves another."""
    plugin = installed().find(kind, name)
    if plugin is None:
        pytest.skip(f"{name} is not installed")
    assert plugin.load().batched is False
