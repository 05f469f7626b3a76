"""Fixtures of the core's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from maia_core.config import RunConfig, validated
from maia_core.context import Context
from maia_core.journal import Journal
from maia_core.registry import installed
from maia_core.session import Session, make_session
from maia_core.testing import fake_parts


@pytest.fixture
def make_fake_session(tmp_path) -> Iterator[Callable[..., Session]]:
    """Makes sessions of the real loop, tools and sandbox on fake parts; they are closed afterwards."""
    sessions: list[Session] = []

    def make(
        record: Any = lambda event: None, observers: Any = (), parts: Any = None, recorded: Any = (), **config: Any
    ) -> Session:
        context = Context(
            validated(RunConfig, config, "the test"),
            installed(),
            parts=fake_parts() | (parts or {}),
            cache=tmp_path / "cache",
        )
        session = make_session(context, Journal(record, recorded), observers)
        sessions.append(session)
        return session

    yield make
    for session in sessions:
        session.close()
