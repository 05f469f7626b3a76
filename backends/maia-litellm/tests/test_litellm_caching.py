"""The provider's prompt cache holds from turn to turn, and breaks once a block where images leave."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from servers import ProviderServer, Received

from maia_core.config import ContextPolicy
from maia_core.context_policy import Conversation
from maia_core.events import MessageAdded, Replied
from maia_core.image import Image
from maia_core.testing import disc, photograph
from maia_core.types import CallLimits, Message, Usage

TURNS, IMAGES = 30, 10
FEW_TURNS = 8
"""Turns until one block has left."""
REPLY = "[CODE]:\n```python\ndef run_experiment(system, tools):\n    return 1\n```"
SYSTEM = "The tools that you may call: " + "text2image(prompts) draws what the prompts say. " * 150


def small(number: int) -> Image:
    return disc("red", number, 96)


def conversation(
    backbone: Any, number_of_turns: int = TURNS, draw: Callable[[int], Image] = small
) -> list[tuple[Usage, int, int]]:
    """Holds a conversation with 10 images a turn; returns usage, left out images and sent images a turn."""
    held, policy, turns = Conversation(), ContextPolicy(images=60, block=20), []
    held.take(MessageAdded(message=Message.of("system", SYSTEM)))
    held.take(MessageAdded(message=Message.of("user", "Explain the unit. " * 40)))
    for turn in range(1, number_of_turns + 1):
        asked = held.ask(turn, policy, backbone.info, 4096)
        held.take(asked)
        reply = backbone.complete(held.sent(asked), CallLimits())
        turns.append((reply.usage, len(asked.images_left_out), asked.images))
        held.take(Replied(turn=turn, reply=reply, seconds=0.1))
        shown = [draw(turn * IMAGES + n).retitled(f"prompt {turn}.{n}") for n in range(IMAGES)]
        held.take(MessageAdded(message=Message.of("user", "Printed:\n[1.0, 2.0]", *shown, f"(turn {turn} of 30)")))
    return turns


@pytest.mark.slow
def test_cache_holds_from_turn_to_turn(service: tuple[type[ProviderServer], str], connect: Callable[..., Any]) -> None:
    make, model = service
    with make(REPLY) as server:
        turns = conversation(connect(server, model, own=True))
    assert all(request.refused is None for request in server.requests)
    assert max(images for _, _, images in turns) <= 60
    beginning = min(usage.input_tokens for usage, _, _ in turns)
    blocks = 0
    for (before, left_before, _), (usage, left, _) in itertools.pairwise(turns):
        if left != left_before:
            blocks += 1
            assert usage.cached_tokens >= beginning * 0.8, "system message and task leave the cache"
        else:
            # All that was sent at the turn before, up to the rounding of the provider.
            assert before.input_tokens - 128 <= usage.cached_tokens <= before.input_tokens
    assert 0 < blocks <= TURNS * IMAGES / 20
    # Anthropic caches what is marked, and takes four marks.
    assert max(map(_marks, server.requests)) == (4 if model.startswith("anthropic") else 0)
    first = [_beginning(request) for request in server.requests]
    assert all(each == first[0] for each in first), "system message and task change within the run"


def photo(number: int) -> Image:
    return _photo(number % 7)


@functools.cache
def _photo(seed: int) -> Image:
    return photograph(seed, 512)


@pytest.mark.parametrize(
    ("draw", "own"),
    [
        pytest.param(small, False, id="small, unknown limits"),
        pytest.param(photo, False, id="photographs, unknown limits", marks=pytest.mark.slow),
        pytest.param(photo, True, id="photographs, own limits", marks=pytest.mark.slow),
    ],
)
def test_earlier_messages_are_sent_alike_until_a_block_leaves(
    service: tuple[type[ProviderServer], str], connect: Callable[..., Any], draw: Callable[[int], Image], own: bool
) -> None:
    make, model = service
    with make(REPLY) as server:
        turns = conversation(connect(server, model, own=own), FEW_TURNS, draw)
    assert all(request.refused is None for request in server.requests)
    sent = [_messages(request) for request in server.requests]
    left_out = [left for _, left, _ in turns]
    for turn, (before, after) in enumerate(itertools.pairwise(sent), start=1):
        if left_out[turn] == left_out[turn - 1]:
            assert after[: len(before)] == before, f"turn {turn + 1} changes what was sent before"
    assert len(set(left_out)) == 2, "one block leaves"


def _beginning(request: Received) -> list[Any]:
    """Returns system message and task as they were sent."""
    return _messages(request)[:2]


def _messages(request: Received) -> list[Any]:
    """Returns all messages as they were sent, without marks; the system message is the first."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(item) for name, item in value.items() if name != "cache_control"}
        return [plain(item) for item in value] if isinstance(value, list) else value

    body = plain(request.body)
    if "messages" in body and body["messages"][0]["role"] == "system":
        return list(body["messages"])
    return [body.get("system") or body["system_instruction"], *(body.get("messages") or body["contents"])]


def _marks(request: Received) -> int:
    return request.raw.count(b'"cache_control"')
