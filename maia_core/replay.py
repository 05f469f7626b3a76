"""Goes on with a recorded run: what the record holds is taken from it, and only what comes after is done."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeVar

from maia_core.errors import RecordError
from maia_core.record import (
    Asked,
    Event,
    Executed,
    HostCall,
    MessageAdded,
    Noted,
    ProgramStarted,
    Replied,
    RunOutcome,
    Verified,
)
from maia_core.types import Execution

E = TypeVar("E", bound=Event)

_ADDRESS = re.compile(r"\b0x[0-9a-f]{6,16}\b")


class Journal:
    """Takes a session's events. While recorded ones are left they must agree; then events are written.

    Attributes:
        replaying: True while recorded events are left.
    """

    def __init__(self, write: Callable[[Event], None] = lambda event: None, recorded: Iterable[Event] = ()) -> None:
        """Makes the journal of a session.

        Args:
            write: Where new events go.
            recorded: The events of the run so far. How it ended before does not count, and notes are not repeated.
        """
        events = list(recorded)
        self._write = write
        self._recorded = deque(event for event in events if not isinstance(event, Noted | RunOutcome))
        self._notes = {event.text for event in events if isinstance(event, Noted)}
        # A program that lost the variables by its own end is not run again; one that began in a new worker is.
        ended = [event for event in events if isinstance(event, Executed) and event.execution.variables_lost]
        lost = [event.turn if event.execution.error else event.turn - 1 for event in ended]
        self._lost_until = max(lost, default=0)

    @property
    def replaying(self) -> bool:
        """True while recorded events are left."""
        return bool(self._recorded)

    def recorded(self, kind: type[E]) -> E | None:
        """Returns the next recorded event if it is of this type, and leaves it in place; None if it is not."""
        event = self._recorded[0] if self._recorded else None
        return event if isinstance(event, kind) else None

    def skip(self, turn: int) -> tuple[list[HostCall], Execution] | None:
        """Takes a program's calls and its end from the record, where it need not run again.

        That is so up to the last program whose variables were lost; later ones run again, against their recorded calls,
        so that the sandbox gets its variables back.
        """
        if turn > self._lost_until:
            return None
        calls = []
        while (call := self.recorded(HostCall)) is not None:
            calls.append(call)
            self._recorded.popleft()
        ended = self.recorded(Executed)
        if ended is None:
            raise RecordError(f"turn {turn} of the record has no end; start a new run")
        self._recorded.popleft()
        return calls, ended.execution

    def append(self, event: Event) -> None:
        """Writes an event, or holds it against the recorded one.

        Raises:
            RecordError: the run does not repeat as recorded.
        """
        if isinstance(event, Noted):
            if not (self._recorded and event.text in self._notes):
                self._write(event)
            return
        if not self._recorded or isinstance(event, RunOutcome):
            self._write(event)
            return
        before = self._recorded.popleft()
        if _essence(before) != _essence(event):
            raise RecordError(
                f"the run does not repeat as recorded: a recorded {_name(before)} came back as {_name(event)}; "
                "something that it depends on has changed since. Start a new run"
            )


def _essence(event: Event) -> object:
    """What must agree between a recorded event and its repetition: all but how long it took."""
    match event:
        case MessageAdded():
            return event.event, event.message.role
        case HostCall():
            return event.event, event.turn, event.order, event.method, event.arguments_hash
        case Executed():
            run = event.execution
            # Where an object lies in memory, which its repr tells, differs from worker to worker.
            stdout, value = (_ADDRESS.sub("0x", text) for text in (run.stdout, run.value or ""))
            return event.event, event.turn, stdout, value, bool(run.error)
        case Asked() | Verified():
            return event.event, event.turn
        case ProgramStarted() | Replied():
            return event.event, event.turn, event.program if isinstance(event, ProgramStarted) else event.reply.text
    return event


def _name(event: Event) -> str:
    turn = getattr(event, "turn", None)
    return event.event + (f" of turn {turn}" if turn else "")
