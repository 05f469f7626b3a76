"""The promises of every observer of `maia.observers`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from maia_core.agent import run
from maia_core.journal import Journal
from maia_core.observers import Observers
from maia_core.plugin import BackboneError, Context, Event, MaiaError, Noted, Registry, RunConfig, make_session
from maia_core.testing.fakes import FAKE_RUN, ScriptedBackbone, fake_parts
from maia_core.testing.inprocess import InProcessSandbox
from maia_core.testing.roles import FakeTask


class ObserverSuite:
    """Subclass it and return the observer (an object, a class or a module) from the fixture `observer`."""

    @pytest.fixture
    def observer(self) -> Any:
        """The observer under test."""
        raise NotImplementedError("override the fixture `observer`: it returns the observer under test")

    def test_implements_hooks_with_their_own_arguments(self, observer: Any) -> None:
        """A misspelt hook or argument is never called."""
        made = observer() if isinstance(observer, type) else observer
        observers = Observers(extra=[made])
        assert observers.problems == []
        assert any(hasattr(getattr(made, name, None), "maia_impl") for name in dir(made)), "no function is a @hookimpl"

    def test_run_that_answers_is_observed_without_a_fault(self, observer: Any, tmp_path: Path) -> None:
        """Its turns hold failed programs and, the last one, no program at all."""
        assert self.problems(observer, FAKE_RUN, tmp_path) == []

    def test_run_that_fails_is_observed_without_a_fault(self, observer: Any, tmp_path: Path) -> None:
        """It ends before anything was run: there is no answer, no execution and no verdict."""
        assert self.problems(observer, ["", BackboneError("the model is gone")], tmp_path) == []

    def problems(self, observer: Any, replies: Sequence[Any], folder: Path) -> list[str]:
        """Returns the faults of the observer that a run on fakes records."""
        events: list[Event] = []
        backbone = ScriptedBackbone(replies)
        parts = fake_parts() | {"task": FakeTask(), "backbone": backbone}
        context = Context(RunConfig(tools=()), Registry([]), parts=parts, cache=folder)
        context._parts["sandbox"] = InProcessSandbox(None, context)
        made = observer() if isinstance(observer, type) else observer
        session = make_session(context, Journal(events.append, ()), [made])
        try:
            run(session, backbone)
        except MaiaError:
            assert replies is not FAKE_RUN
        finally:
            session.close()
        noted = [event.text for event in events if isinstance(event, Noted)]
        return [text for text in noted if "observer" in text or type(made).__name__ in text]
