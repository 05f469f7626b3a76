"""The describer asks for several images at once, tries passing failures again, and pays from the run's budget."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from servers import Answer, Failure, OpenAIServer, ProviderServer, Received

from maia_cache import CachedDescriber, ContentCache
from maia_core.config import Limits, RunConfig
from maia_core.context import Context
from maia_core.errors import BackboneBusy, BackboneError, RunError, UsageError
from maia_core.testing import disc
from maia_litellm.describer import LitellmDescriber
from maia_litellm.retrying import retrying

Connect = Callable[..., Any]
MODEL = "openai/gpt-4o"


def discs(count: int) -> list[Any]:
    return [disc("red", n, 32 + n).retitled(f"hypothesis {n}: dogs") for n in range(count)]


def width(request: Received) -> str:
    return f"{request.images[0].size[0]} pixels wide"


class Busy(OpenAIServer):
    """Takes its time, the longer the smaller the image, and counts how many requests are there at once."""

    def __init__(self) -> None:
        super().__init__(width)
        self.present = self.most = 0
        self.counting = threading.Lock()

    def respond(self, request: Received) -> Any:
        with self.counting:
            self.present += 1
            self.most = max(self.most, self.present)
        time.sleep(8000 / len(request.raw) / 50)
        with self.counting:
            self.present -= 1
        return super().respond(request)


def test_descriptions_come_in_the_order_of_the_images(connect: Connect) -> None:
    with Busy() as server:
        described = connect(server, MODEL, factory=LitellmDescriber).describe(discs(8))
    assert described == [f"{32 + n} pixels wide" for n in range(8)]
    assert all(len(request.images) == 1 for request in server.requests)
    assert not any(b"hypothesis" in request.raw for request in server.requests), "a title reached the describer"


@pytest.mark.slow
@pytest.mark.parametrize("parallel", [1, 4])
def test_as_many_images_at_once_as_allowed(connect: Connect, parallel: int) -> None:
    with Busy() as server:
        connect(server, MODEL, factory=LitellmDescriber, parallel=parallel).describe(discs(8))
    assert server.most <= parallel
    assert server.most > 1 or parallel == 1


def test_what_it_used_counts_in_the_budget_of_the_run(connect: Connect) -> None:
    context = Context()
    with OpenAIServer(width) as server:
        describer = connect(server, MODEL, own=True, factory=LitellmDescriber, context=context)
        describer.describe(discs(3))
        once = context.spent
        describer.describe(discs(3))
        assert context.spent == once, "the same image is paid for once"
        describer.summarize(discs(3))
    assert context.spent.input_tokens > once.input_tokens > 0
    assert context.spent.cost > 0
    assert len(server.requests) == 4


def test_passing_failure_is_tried_again_and_the_rest_is_not(connect: Connect) -> None:
    steps = [Failure("overloaded", retry_after="0"), "first", Failure("rate-limit", retry_after="0.01"), "second"]
    with OpenAIServer(steps) as server:
        describer = connect(server, MODEL, factory=LitellmDescriber, parallel=1)
        assert describer.describe(discs(2)) == ["first", "second"]
    assert len(server.requests) == 4


def test_failure_that_stays_ends_in_bounded_time(connect: Connect) -> None:
    context = Context(RunConfig(limits=Limits(retries=2)))
    with OpenAIServer(Failure("overloaded", retry_after="0")) as server:
        describer = connect(server, MODEL, factory=LitellmDescriber, context=context)
        with pytest.raises(RunError, match="3 times"):
            describer.describe(discs(1))
    assert len(server.requests) == 3


def test_failure_that_does_not_pass_is_not_tried_again(connect: Connect) -> None:
    with OpenAIServer(Failure("unauthorized")) as server, pytest.raises(BackboneError, match="TEST_SERVER_KEY"):
        connect(server, MODEL, factory=LitellmDescriber).describe(discs(1))
    assert len(server.requests) == 1


@pytest.mark.parametrize("step", [Failure("policy"), Answer(None, stop="refusal")], ids=["filter", "refusal"])
def test_image_that_is_refused_does_not_end_the_run(
    service: tuple[type[ProviderServer], str], connect: Connect, step: Any
) -> None:
    make, model = service
    with make([step, "a blue disc"]) as server:
        described = connect(server, model, factory=LitellmDescriber, parallel=1).describe(discs(2))
    assert described == ["nothing that could be described", "a blue disc"]


def test_model_without_eyes_cannot_describe(connect: Connect) -> None:
    with OpenAIServer() as server, pytest.raises(UsageError, match=r"describer\.model"):
        connect(server, "openai/gpt-3.5-turbo", own=True, factory=LitellmDescriber)


def test_fingerprint_changes_with_the_model_and_how_it_is_asked(connect: Connect) -> None:
    with OpenAIServer() as server:
        variants = [{}, {"temperature": 0.0}, {"detail": "low"}, {"params": {"top_p": 0.1}}, {"reply_tokens": 50}]
        made = [connect(server, MODEL, factory=LitellmDescriber, **v).fingerprint for v in variants]
        made.append(connect(server, "openai/gpt-4.1", factory=LitellmDescriber).fingerprint)
        assert len(set(made)) == len(made)
        assert connect(server, MODEL, factory=LitellmDescriber, parallel=3).fingerprint == made[0]


# Retrying, by itself.


def test_waits_as_long_as_the_server_asks_and_longer_each_time_where_it_does_not() -> None:
    waits: list[float] = []
    failures = iter([BackboneBusy("a", 9.0), BackboneBusy("b"), BackboneBusy("c"), BackboneBusy("d")])

    def call() -> str:
        for failure in failures:
            raise failure
        return "done"

    assert retrying(call, sleep=waits.append) == "done"
    assert waits[0] == 9.0
    assert 1.0 <= waits[1] <= 2.0
    assert 2.0 <= waits[2] <= 4.0
    assert 4.0 <= waits[3] <= 8.0


def test_does_not_wait_beyond_what_is_allowed() -> None:
    waits: list[float] = []

    def call() -> None:
        raise BackboneBusy("come back in an hour", 3600)

    with pytest.raises(RunError, match="come back"):
        retrying(call, seconds=300, sleep=waits.append)
    assert waits == []


def test_a_later_run_asks_nothing_again(connect: Connect, tmp_path: Path) -> None:
    def describer(model: str) -> CachedDescriber:
        return CachedDescriber(connect(server, model, factory=LitellmDescriber), ContentCache(tmp_path / "content"))

    with OpenAIServer(width) as server:
        first = describer(MODEL).describe(discs(3))
        assert describer(MODEL).describe(discs(3)[::-1]) == first[::-1]
        assert len(server.requests) == 3
        describer("openai/gpt-4.1").describe(discs(1))
        assert len(server.requests) == 4, "another model is asked"
