"""Where a run and the cells of a notebook meet: the run waits in a thread of its own while the person works.

The run is an ordinary one: `maia_core.launch` drives it, the backbone is a person whose reply is a cell's source, and
the sandbox carries out the calls that the cell makes. So it has the same turns, limits and record as any other.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

from maia_core.plugin import (
    Event,
    Executed,
    Execution,
    Host,
    HostCall,
    MendableError,
    PluginConfig,
    ProgramStarted,
    RecordError,
    Replied,
    RunContext,
    SandboxError,
    SystemRef,
    ToolError,
    from_json,
)

Phase = Literal["busy", "asking", "running", "ended"]
"""What the run does: its own work; waits for a reply; waits for a program's next call; nothing any more."""

CUT_OFF = "KernelDied: the kernel ended during this cell; what it had measured so far is kept"


NOTEBOOK_ONLY = (
    "the sandbox 'notebook' serves a notebook alone: begin with maia_human.study(...), resume with "
    "maia_human.study(resume=FOLDER); a terminal takes --sandbox auto"
)


class Meeting:
    """Hands things from a person's thread to the run's, which works while the person's waits."""

    def __init__(self, recorded: Mapping[int, RecordedTurn] | None = None) -> None:
        """Makes a meeting.

        Args:
            recorded: The turns that a resumed run repeats from its record, by number.
        """
        self.recorded = dict(recorded or {})
        self._changed = threading.Condition()
        self._phase: Phase = "busy"
        self._item: Any = None
        self._left = False

    # The run's side.

    def offer(self, phase: Phase) -> Any:
        """Waits until the person has handed something over, and returns it.

        Raises:
            KeyboardInterrupt: the person has left.
        """
        with self._changed:
            self._phase = phase
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._item is not None or self._left)
            if self._left:
                raise KeyboardInterrupt
            self._phase = "busy"
            item, self._item = self._item, None
            return item

    def end(self) -> None:
        """Says that the run is over."""
        with self._changed:
            self._phase = "ended"
            self._changed.notify_all()

    # The person's side.

    def settle(self) -> Phase:
        """Waits until the run waits or has ended, and returns which."""
        with self._changed:
            self._changed.wait_for(lambda: self._phase == "ended" or (self._phase != "busy" and self._item is None))
            return self._phase

    def hand(self, item: Any) -> Phase:
        """Hands something to the run, which must be waiting for it; then like `settle`.

        An interrupt while it waits loses nothing: the run goes on, and the next call of either waits for it.
        """
        with self._changed:
            self._changed.notify_all()  # First: an interrupt between these two lines then changes nothing.
            self._item = item
        return self.settle()

    def leave(self) -> None:
        """Ends the run as interrupted, when it next waits."""
        with self._changed:
            self._left = True
            self._changed.notify_all()


MEETING: ContextVar[Meeting | None] = ContextVar("maia_human_meeting", default=None)
"""The meeting of the run that is being made in this thread; None for a run in a terminal."""


@dataclass
class Call:
    """One call that a cell makes.

    Attributes:
        method: Such as `tools.text2image`.
        args: Values as a host takes them.
        kwargs: Likewise.
        result: What came back.
        error: What was raised instead; a `ToolError` of the host where the cell can mend it.
    """

    method: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    result: Any = None
    error: BaseException | None = None

    def carry_out(self, host: Host) -> None:
        """Makes the call.

        Raises:
            BaseException: what no cell can mend; the cell gets it too.
        """
        try:
            self.result = host.call(self.method, self.args, self.kwargs)
        except MendableError as error:
            self.error = error
        except BaseException as error:
            self.error = error
            raise


@dataclass(frozen=True)
class RecordedTurn:
    """What the record holds of one turn: its calls, and how it ended, if it did."""

    calls: tuple[HostCall, ...]
    ended: Executed | None


def recorded_turns(events: Iterable[Event]) -> dict[int, RecordedTurn]:
    """Returns the turns of a record by number."""
    events = list(events)
    ended = {event.turn: event for event in events if isinstance(event, Executed)}
    return {
        number: RecordedTurn(
            tuple(event for event in events if isinstance(event, HostCall) and event.turn == number), ended.get(number)
        )
        for number in {event.turn for event in events if isinstance(event, Replied | ProgramStarted)}
    }


class NotebookSandbox:
    """Carries out the calls of a person's cells; runs no program itself, a recorded one least of all."""

    def __init__(self, config: PluginConfig, context: RunContext) -> None:
        meeting = MEETING.get()
        if meeting is None:
            raise SandboxError(NOTEBOOK_ONLY)
        self._meeting = meeting
        self._context = context

    def run(self, program: str, host: Host) -> Execution:
        """Carries out calls until the cell ends; see `maia_core.protocols.Sandbox`. The program has run elsewhere."""
        recorded = self._meeting.recorded.pop(host.number, None)
        if recorded is not None:
            return self._repeat(recorded, host)
        started, calls = time.monotonic(), 0
        while True:
            item = self._meeting.offer("running")
            if isinstance(item, Execution):
                return item.model_copy(update={"seconds": time.monotonic() - started, "host_calls": calls})
            calls += 1
            item.carry_out(host)

    def describe(self) -> list[tuple[str, str]]:
        """Returns what is in force: pairs of measure and state."""
        return [("everything", "a person's own cells, in the notebook's kernel")]

    def close(self) -> None:
        """Closes nothing."""

    def _repeat(self, turn: RecordedTurn, host: Host) -> Execution:
        for call in turn.calls:
            args, kwargs = self._arguments(call)
            with suppress(ToolError):
                host.call(call.method, args, kwargs)
        if turn.ended is not None:
            return turn.ended.execution
        return Execution(error=CUT_OFF, host_calls=len(turn.calls), variables_lost=True)

    def _arguments(self, call: HostCall) -> tuple[list[Any], dict[str, Any]]:
        """Returns the arguments of a recorded call, so that their hash comes out as it was."""
        store = self._context.images
        match call.arguments:
            case {"args": list(args), "kwargs": dict(kwargs)} if store is not None:

                def value(data: Any) -> Any:
                    return SystemRef() if data == {"$text": "system"} else from_json(data, store)

                try:
                    return [value(data) for data in args], {name: value(data) for name, data in kwargs.items()}
                except ValueError as error:
                    raise RecordError(f"a recorded call of turn {call.turn} is damaged: {str(error)[:200]}") from error
        raise RecordError(f"a recorded call of turn {call.turn} is damaged: it has no arguments")
