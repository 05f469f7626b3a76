"""The loop: ask the backbone, run its program, show it the result, until it answers."""

from __future__ import annotations

import random
import time
import traceback
from collections.abc import Sequence

from maia_core.errors import BackboneBusy, BackboneError, ContextTooLong, MaiaError, one_line
from maia_core.events import Asked, Replied, RunOutcome
from maia_core.protocols import Backbone
from maia_core.session import Session
from maia_core.types import CallLimits, Message, Reply, Turn

MAX_UNSUPPORTED = 2
"""Answers before the first successful experiment that are sent back; the next one ends the run."""

_UNSUPPORTED = "unsupported: the backbone answered before any of its experiments had succeeded"


def run(session: Session, backbone: Backbone) -> RunOutcome:
    """Drives a started session until the backbone answers, a limit is reached or a part fails for good.

    `KeyboardInterrupt` is recorded as an interrupted run and raised again.
    """
    try:
        return session.finish(_loop(session, backbone))
    except KeyboardInterrupt:
        session.finish(session.outcome("interrupted", "stopped by the user"))
        raise


def _loop(session: Session, backbone: Backbone) -> RunOutcome:
    state = session.state
    try:
        repeated = True
        while repeated:  # A run that stopped at a limit which has been raised since continues.
            while not (reason := session.limit_reached()):
                _turn(session, backbone)
                if state.answer is not None:
                    return session.outcome("answered")
                if state.unsupported > MAX_UNSUPPORTED:
                    return session.outcome("failed", _UNSUPPORTED)
                if state.mistakes >= session.limits.malformed:
                    return session.outcome("failed", _why_malformed(state.turns[-state.mistakes :]))
            repeated = session.journal.replaying
            session.ask_for_answer(reason)
            _turn(session, backbone)
            repeated = repeated and state.answer is None and not session.limit_reached()
            state.final = not repeated
        session.keep_best_answer()
        reason = f"{_UNSUPPORTED}; {reason}" if state.unsupported and state.answer is None else reason
        return session.outcome("answered" if state.answer is not None else "stopped", reason)
    except Exception as error:
        if not isinstance(error, MaiaError):
            session.note(f"the run failed: {traceback.format_exc()}")
        return session.outcome("failed", one_line(error))


def _turn(session: Session, backbone: Backbone) -> Turn:
    asked = session.ask(backbone.info)
    while session.journal.next_is(Asked):  # The recorded run sent less, or was killed while it waited.
        asked = session.ask(backbone.info)

    def reply() -> Replied:
        started = time.perf_counter()
        answer = _fitting(session, backbone, asked)
        seconds = max(0.0, time.perf_counter() - started - answer.waited)
        return Replied(turn=asked.turn, reply=answer, seconds=seconds, engines=effects.usage)

    with session.context.collect() as effects:
        replied = session.journal.once(Replied, reply)
        effects.usage = replied.engines
    return session.take(replied)


def _fitting(session: Session, backbone: Backbone, asked: Asked) -> Reply:
    """Calls the backbone; shortens a conversation that is too long for it."""
    while True:
        try:
            return _call(session, backbone, session.conversation.sent(asked))
        except ContextTooLong as error:
            if not session.conversation.shorter(asked):
                raise
            asked = session.ask(backbone.info, because=one_line(error))


def _call(session: Session, backbone: Backbone, messages: Sequence[Message]) -> Reply:
    """Calls the backbone; retries passing failures with back-off, jitter, and bounds on number and time."""
    limits, name, waited, attempt = session.limits, backbone.info.name, 0.0, 0
    call = CallLimits(max_output_tokens=limits.reply_tokens, seconds=limits.reply_seconds, seed=session.context.seed)
    while True:
        try:
            reply = backbone.complete(messages, call)
            return reply.model_copy(update={"waited": reply.waited + waited})
        except (BackboneBusy, TimeoutError, ConnectionError) as error:
            requested = getattr(error, "retry_after", None)
            # Jitter, so that the runs of a sweep do not retry together.
            delay = max(0.0, requested) if requested is not None else min(60.0, 2.0**attempt) * random.uniform(0.5, 1.0)
            if attempt >= limits.retries or waited + delay > limits.retry_seconds:
                raise BackboneError(f"backbone '{name}' failed {attempt + 1} times; last: {one_line(error)}") from error
            session.note(f"backbone '{name}': {one_line(error)}; retrying in {delay:.1f} s")
            waited, attempt = waited + delay, attempt + 1
            time.sleep(delay)
        except MaiaError:
            raise
        except Exception as error:
            session.note(f"backbone '{name}' failed: {traceback.format_exc()}")
            raise BackboneError(f"backbone '{name}' failed: {one_line(error)}") from error


def _why_malformed(turns: Sequence[Turn]) -> str:
    if all(turn.reply.stop == "refusal" for turn in turns):
        return f"the backbone refused {len(turns)} times in a row; choose another backbone or model"
    return f"{len(turns)} malformed replies in a row (limits.malformed)"
