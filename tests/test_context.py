import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest

from maia_core.config import PluginRef, RunConfig
from maia_core.context import Context
from maia_core.errors import PluginError, UsageError
from maia_core.events import Effects
from maia_core.registry import Registry
from maia_core.types import Usage


def test_seeds_differ_for_replicates_and_agree_for_repeats():
    context = Context(RunConfig(seed=3), Registry([]))
    first, second, other = context.seeds(["a dog", "a dog", "a cat"])
    assert first != second
    assert context.seeds(["a cat", "a dog"]) == [other, first]
    assert Context(RunConfig(seed=4), Registry([])).seeds(["a dog"]) != [first]
    assert all(0 <= seed < 2**31 for seed in (first, second, other))


def test_missing_system_says_how_to_choose_one():
    with pytest.raises(UsageError, match="--system MODEL:LAYER:UNIT"):
        _ = Context(registry=Registry([])).system


def test_missing_plugin_is_named():
    with pytest.raises(PluginError, match="generator 'collage'"):
        _ = Context(registry=Registry([])).generator


class _Parts:
    """Builds parts, as if they were installed."""

    plugins = ()

    def __init__(self):
        self.built = []

    def of_kind(self, kind):
        return []

    def defaults_of(self, task):
        return {}

    def find(self, kind, name):
        return None if kind == "model" else kind

    def build(self, kind, name, options, context):
        self.built.append(kind)
        return _Part(kind, name, context)


class _Part:
    def __init__(self, kind, name, context):
        self.kind, self.name, self.context = kind, name, context

    def work(self):
        """What a paid engine does: it was built for one run, and is asked by another."""
        self.context.spend(Usage(cost=1.0))
        self.context.warn(f"asked for {self.context.config.system.name}")
        return self.context.part("system")


def test_threads_have_runs_of_their_own_that_share_the_engines():
    """Otherwise one unit's dollars, warnings and system are another's."""
    registry, ready = _Parts(), threading.Barrier(3)
    context = Context(registry=registry)

    def run(name):
        warnings = []
        context.restart(PluginRef(name=name))
        context.warn_to(warnings.append)
        ready.wait(10)
        seen = [context.part("describer").work() for _ in range(5)]
        backbone = context.part("backbone")
        # In a thread of the engine's own, which runs in a copy of the caller's context.
        with ThreadPoolExecutor(1) as pool:
            seen.append(pool.submit(copy_context().run, context.part("describer").work).result())
        ready.wait(10)
        return context.config.system.name, {part.name for part in seen}, warnings, context.spent.cost, backbone

    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(run, ("discs:a", "discs:b", "discs:c")))
    for name, (own, systems, warnings, cost, _) in zip(("discs:a", "discs:b", "discs:c"), results, strict=True):
        assert (own, systems, cost) == (name, {"discs"}, 6.0)
        assert warnings == [f"asked for {name}"] * 6
    assert len({id(backbone) for *_, backbone in results}) == 3
    assert sorted(registry.built) == ["backbone"] * 3 + ["describer"] + ["system"] * 3


def test_a_thread_meets_no_run_that_has_half_begun(monkeypatch):
    """A thread without a run of its own reads the run that began last, while another thread begins the next."""
    context = Context(RunConfig(seed=3), Registry([]))
    context.spend(Usage(cost=1.0))
    seen = []

    def effects():
        with ThreadPoolExecutor(1) as pool:
            seen.append(pool.submit(lambda: (context.seed, context.spent.cost)).result())
        return Effects()

    monkeypatch.setattr("maia_core.run_effects.Effects", effects)
    context.restart(PluginRef(name="discs:b"), RunConfig(seed=7))
    assert seen == [(3, 1.0)]
    assert context.seed == 7


def test_restart_keeps_the_engines_and_the_parts_that_were_given_and_nothing_of_the_run():
    context = Context(registry=_Parts(), parts={"generator": "an engine", "task": "a task"})
    tool = context.build("tool", "text2image")
    assert (context.part("generator"), context.part("task")) == ("an engine", "a task")
    describer = context.part("describer")
    context.spend(Usage(cost=1.0))
    context.restart(PluginRef(name="discs:b"), context.config.model_copy(update={"seed": 7}))
    assert context.part("generator") == "an engine"
    assert context.part("describer") is describer
    assert context.build("tool", "text2image") is not tool
    assert context.part("task") != "a task"
    assert (context.seed, context.spent.cost, context.config.system.name) == (7, 0.0, "discs:b")


def test_a_thread_without_a_run_sees_the_one_that_began_last():
    """As a notebook's or a server's thread does, to which a context is handed."""
    context = Context(registry=_Parts())
    context.restart(PluginRef(name="discs:b"))
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: context.config.system.name).result() == "discs:b"
