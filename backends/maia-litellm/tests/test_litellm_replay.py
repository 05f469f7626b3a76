"""A recorded run replays through every provider: the same replies give the same messages and the same answer."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from servers import ProviderServer

from maia_core.agent import run
from maia_core.config import ContextPolicy, Limits, RunConfig, cache_dir
from maia_core.context import Context
from maia_core.context_policy import sent_requests
from maia_core.events import Asked, Event, Executed, HostCall, MessageAdded, Replied, RunOutcome
from maia_core.journal import Journal
from maia_core.record import RunReader
from maia_core.session import make_session
from maia_core.testing import fake_parts
from maia_core.types import CallLimits

Service = tuple[type[ProviderServer], str]


def recorded_run(backbone: Any = None) -> list[Event]:
    """Runs the loop with the real tools on fake parts, and returns its record; by default with the offline backbone."""
    events: list[Event] = []
    limits = Limits(reply_tokens=20_000)  # The offline backbone writes long programs.
    config = RunConfig(limits=limits)
    context = Context(config, parts=fake_parts() | ({"backbone": backbone} if backbone else {}))
    session = make_session(context, Journal(events.append))
    try:
        run(session, context.part("backbone"))
    finally:
        session.close()
    return events


def of_type(events: list[Event], kind: Any) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


@pytest.fixture(scope="module")
def recording() -> list[Event]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # Statistics of very few images.
        events = recorded_run()
    [outcome] = of_type(events, RunOutcome)
    assert outcome.status == "answered"
    return events


def test_recorded_run_replays(recording: list[Event], service: Service, connect: Callable[..., Any]) -> None:
    make, model = service
    replies = [event.reply.text for event in of_type(recording, Replied)]
    with make(replies) as server:
        events = recorded_run(connect(server, model, own=True))
    assert all(request.refused is None for request in server.requests)
    assert len(server.requests) == len(replies)
    assert [e.reply.text for e in of_type(events, Replied)] == replies
    assert [e.message for e in of_type(events, MessageAdded)] == [e.message for e in of_type(recording, MessageAdded)]
    assert [e.arguments_hash for e in of_type(events, HostCall)] == [
        e.arguments_hash for e in of_type(recording, HostCall)
    ]
    assert [e.execution.stdout for e in of_type(events, Executed)] == [
        e.execution.stdout for e in of_type(recording, Executed)
    ]
    [before], [after] = of_type(recording, RunOutcome), of_type(events, RunOutcome)
    assert after.status == "answered"
    assert after.answer == before.answer
    assert after.usage.cost > 0
    assert after.usage.unpriced_tokens == 0
    # Every image that was to be sent was sent.
    assert [len(request.images) for request in server.requests] == [e.images for e in of_type(events, Asked)]


# The offline demo itself: a real network, photographs, the real command.

MAIA = [sys.executable, "-c", "from maia_core.cli import main; main()"]
RUN = ["run", "--system", "efficientnet-lite0:stem:5", "-o", "dataset.count=48", "-o", "dataset.size=96"]
PACKS = cache_dir() / "collage"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> RunReader:
    pytest.importorskip("maia_efficientnet")
    folder = tmp_path_factory.mktemp("demo") / "run"
    command = [*MAIA, *RUN, "-o", "generator.size=96", "--without", "report", "--out", folder]
    subprocess.run(command, capture_output=True, check=True, timeout=600)
    return RunReader(folder)


@pytest.mark.slow
@pytest.mark.pack
@pytest.mark.skipif(not PACKS.is_dir() or not any(PACKS.iterdir()), reason="no pack: `maia collage fetch`")
def test_conversation_of_the_offline_demo_replays(
    demo: RunReader, service: Service, connect: Callable[..., Any]
) -> None:
    """What the offline backbone was sent at each turn is sent to the provider, and its replies come back unchanged."""
    make, model = service
    replies = [event.reply.text for event in demo.of_type(Replied)]
    with make(replies) as server:
        backbone = connect(server, model, own=True)
        asked = list(sent_requests(ContextPolicy(), demo.events))
        for reply, (_, messages) in zip(replies, asked, strict=True):
            assert backbone.complete(messages, CallLimits(max_output_tokens=20_000)).text == reply
    assert all(request.refused is None for request in server.requests)
    assert [len(request.images) for request in server.requests] == [event.images for event, _ in asked]
