"""`part_built`: an observer may wrap every part that a run builds."""

from maia_core.agent import run
from maia_core.context import Context
from maia_core.hookspecs import hookimpl
from maia_core.observers import Observers
from maia_core.testing.fakes import FAKE_RUN, FakeGenerator, ScriptedBackbone


class Wrapping:
    """Wraps generators and notes every part."""

    def __init__(self):
        self.built = []

    @hookimpl
    def part_built(self, kind, name, part, context):
        self.built.append((kind, name))
        return Wrapped(part) if kind == "generator" else None


class Wrapped:
    def __init__(self, inner):
        self.inner = inner
        self.fingerprint = f"wrapped {inner.fingerprint}"

    def generate(self, prompts, seeds):
        return self.inner.generate(prompts, seeds)


class Raising:
    @hookimpl
    def part_built(self, part):
        raise ValueError("no room")


class _Registry:
    """Builds fakes, as if they were installed."""

    plugins = ()

    def of_kind(self, kind):
        return []

    def find(self, kind, name):
        return None

    def build(self, kind, name, options, context):
        return FakeGenerator()


def _observed(*observers):
    context = Context(registry=_Registry())
    context.observers = Observers(extra=observers)
    return context


def test_a_hook_replaces_every_part_that_a_context_builds_and_the_run_uses_the_replacement():
    watcher = Wrapping()
    context = _observed(watcher)
    assert isinstance(context.generator, Wrapped)
    assert context.generator is context.part("generator"), "built and wrapped once"
    assert context.fingerprints()["generator"].startswith("wrapped ")
    assert isinstance(context.build("generator", "other", size=8), Wrapped)
    assert watcher.built == [("generator", "collage"), ("generator", "other")]


def test_a_later_hook_wraps_the_replacement_of_an_earlier_one():
    context = _observed(Wrapping(), Wrapping())
    assert isinstance(context.generator.inner, Wrapped)


def test_a_hook_that_raises_is_named_and_leaves_the_part():
    warnings = []
    context = _observed(Raising(), Wrapping())
    context.warn_to(warnings.append)
    assert isinstance(context.generator, Wrapped)
    [warning] = warnings
    assert "Raising failed in part_built: ValueError: no room" in warning


def test_a_line_of_an_observer_reaches_the_user_when_the_run_has_ended(make_fake_session):
    class Reporting:
        @hookimpl
        def run_finished(self, session, outcome):
            return f"report: {outcome.status}"

    session = make_fake_session(observers=[Reporting(), Wrapping(), Reporting()])
    run(session, ScriptedBackbone(FAKE_RUN))
    assert session.lines == ("report: answered", "report: answered")
