"""Asks a backbone two small questions, which show whether it can work as an agent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from maia_core.plugin import (
    Backbone,
    BackboneBusy,
    CallLimits,
    Context,
    Image,
    Message,
    Reply,
    RunContext,
    Usage,
    make_session,
    one_line,
)
from maia_core.testing import fake_parts

SIDE = 224
MAX_READS = 20
"""Calls in which a local model may read on: on a slow processor one call is too short for a whole prompt."""

LOOK = "What colour is the large square in this image? Answer with one word."
SEEN = "red"
TASK = """\
This is a test of whether you can write an experiment. Write one program that draws two images with tools.text2image,
from the prompts "a red disc" and "a blue disc", measures both with system.neuron and returns the two activations. Reply
with:
[CODE]:
```python
def run_experiment(system, tools):
    ...
```"""


@dataclass(frozen=True)
class Probe:
    """The result of one question."""

    name: str
    passed: bool
    says: str
    seconds: float
    usage: Usage


def probes(context: RunContext, backbone: Backbone) -> Iterator[Probe]:
    """Asks a backbone about an image and for a program, and yields a verdict on each reply.

    Args:
        context: Gives the limits of one call, and the sandbox in which the program runs.
        backbone: The backbone.
    """
    limits = context.config.limits
    call = CallLimits(max_output_tokens=limits.reply_tokens, seconds=limits.reply_seconds, seed=context.seed)
    yield _probe("image", lambda: _look(backbone, call))
    yield _probe("program", lambda: _write(context, backbone, call))


def _probe(name: str, question: Callable[[], tuple[bool, str, Usage]]) -> Probe:
    started = time.perf_counter()
    try:
        passed, says, usage = question()
    except Exception as error:  # A third party's backbone may raise any error; the other question is still asked.
        passed, says, usage = False, one_line(error), Usage()
    return Probe(name, passed, says, time.perf_counter() - started, usage)


def _look(backbone: Backbone, call: CallLimits) -> tuple[bool, str, Usage]:
    if not backbone.info.images:
        return True, "not asked: the backbone takes no images", Usage()
    pixels = np.full((SIDE, SIDE, 3), 255, np.uint8)
    pixels[SIDE // 8 : -SIDE // 8, SIDE // 8 : -SIDE // 8] = (220, 20, 20)
    question = Message.of("user", Image.from_pixels(pixels), LOOK)
    reply = _reply(backbone, [Message.of("system", "You are a careful observer."), question], call)
    if SEEN in reply.text.lower():
        return True, f"it saw the {SEEN} square", reply.usage
    return (
        False,
        f"it was shown a {SEEN} square and replied {_quoted(reply)}; choose a model that sees images",
        reply.usage,
    )


def _write(context: RunContext, backbone: Backbone, call: CallLimits) -> tuple[bool, str, Usage]:
    sandbox = context.part("sandbox")
    toy = Context(context.config, context.registry, parts=fake_parts() | {"sandbox": sandbox}, cache=context.cache)
    session = make_session(toy)
    try:
        system = session.conversation.messages[0]
        reply = _reply(backbone, [system, Message.of("user", TASK)], call)
        turn = session.submit(reply)
    finally:
        session.close()
    if turn.execution is None:
        mistake = turn.mistake or "it gave an answer instead of a program"
        return False, f"{mistake} It replied {_quoted(reply)}", reply.usage
    if turn.execution.error:
        return False, f"its program failed: {turn.execution.error.strip().splitlines()[-1]}", reply.usage
    if not turn.execution.host_calls:
        return False, "its program ran, but called neither the system nor a tool", reply.usage
    returned = f", and returned {turn.execution.value}" if turn.execution.value else ""
    return True, f"its program ran, made {turn.execution.host_calls} calls{returned}", reply.usage


def _reply(backbone: Backbone, messages: Sequence[Message], call: CallLimits) -> Reply:
    """Calls a backbone, again and again while a local model that reads slowly asks to go on at once."""
    for _ in range(MAX_READS):
        try:
            return backbone.complete(messages, call)
        except BackboneBusy as busy:
            if busy.retry_after != 0:
                raise
    return backbone.complete(messages, call)


def _quoted(reply: Reply) -> str:
    text = " ".join(reply.text.split())
    return f"'{text[:200]}'" if text else f"nothing (stop: {reply.stop})"
