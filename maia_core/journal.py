"""The journal of a session: an event of a resumed run comes from its record, every later one is made and written."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeVar

from maia_core.errors import RecordError
from maia_core.events import (
    NOTHING,
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
    """Takes a session's events. While recorded events are left, it returns these; then it writes new ones."""

    def __init__(
        self,
        write: Callable[[Event], None] = lambda event: None,
        recorded: Iterable[Event] = (),
        full: Callable[[], bool] = lambda: False,
    ) -> None:
        """Makes the journal of a session.

        Args:
            write: Writes one new event.
            full: Returns whether the record has room for the end of the run only.
            recorded: The events of the run so far. An earlier outcome does not count, and notes are not repeated.
        """
        events = list(recorded)
        self._write = write
        self.full = full
        self._recorded = deque(event for event in events if not isinstance(event, Noted | RunOutcome))
        self._notes = {event.text for event in events if isinstance(event, Noted)}
        # A program whose own end lost the variables is not run again; one that began in a new worker is.
        ended = [event for event in events if isinstance(event, Executed) and event.execution.variables_lost]
        lost = [event.turn if event.execution.error else event.turn - 1 for event in ended]
        self._lost_until = max(lost, default=0)

    @property
    def replaying(self) -> bool:
        """True while recorded events are left."""
        return bool(self._recorded)

    def next_is(self, kind: type[Event]) -> bool:
        """Returns whether the next recorded event is of this type."""
        return bool(self._recorded) and isinstance(self._recorded[0], kind)

    def once(self, kind: type[E], make: Callable[[], E], like: E | None = None) -> E:
        """Returns the run's next event: the recorded one, or one that `make` makes and MAIA writes.

        Args:
            kind: The type of the event.
            make: Makes the event; called only where the record holds none here.
            like: What is known of the event beforehand; a recorded event must agree with it.

        Raises:
            RecordError: the run does not repeat as recorded.
        """
        if not self._recorded:
            event = make()
            self._write(event)
            return event
        recorded = self._recorded.popleft()
        known: Event | None = like
        if isinstance(recorded, HostCall) and recorded.error and recorded.arguments == NOTHING and known:
            # A failed call whose arguments are not recorded has no effects; the hash of no arguments is another.
            known = known.model_copy(update={"arguments_hash": recorded.arguments_hash})
        if not isinstance(recorded, kind) or (known is not None and _essence(recorded) != _essence(known)):
            raise RecordError(
                f"the run does not repeat as recorded: the record has {_name(recorded)} where the run now has "
                f"{kind.model_fields['event'].default}; a part of the run has changed. Start a new run"
            )
        return recorded

    def repeat(self, event: E) -> E:
        """Returns the recorded event that an event of a resumed run repeats, or writes the event and returns it.

        Raises:
            RecordError: the run does not repeat as recorded.
        """
        return self.once(type(event), lambda: event, like=event)

    def note(self, text: str) -> None:
        """Writes a note; a resumed run does not repeat one that the record holds."""
        if not (self._recorded and text in self._notes):
            self._write(Noted(text=text))

    def finish(self, outcome: RunOutcome) -> None:
        """Writes how the run ended, also where recorded events are left."""
        self._write(outcome)

    def skip(self, turn: int) -> tuple[list[HostCall], Execution] | None:
        """Takes a program's calls and its result from the record, if the program need not run again; else None.

        Programs run again after the last one whose variables were lost: against their recorded calls, so that the
        sandbox gets its variables back.
        """
        if turn > self._lost_until:
            return None
        calls = []
        while self._recorded and isinstance(call := self._recorded[0], HostCall):
            calls.append(call)
            self._recorded.popleft()
        ended = self._recorded.popleft() if self._recorded else None
        if not isinstance(ended, Executed):
            raise RecordError(f"cannot resume: turn {turn} of the record has no end; start a new run")
        return calls, ended.execution


def _essence(event: Event) -> object:
    """Returns the part of an event that its repetition must equal: all but durations."""
    match event:
        case MessageAdded():
            return event.event, event.message.role
        case HostCall():
            return event.event, event.turn, event.order, event.method, event.arguments_hash
        case Executed():
            run = event.execution
            # An object's repr has its address in memory, which differs from worker to worker.
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
