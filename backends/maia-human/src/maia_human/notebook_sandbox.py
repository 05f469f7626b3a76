"""The sandbox of a notebook's run: it carries out the calls of cells, and repeats recorded turns without a program."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from maia_core.plugin import (
    Event,
    Executed,
    Execution,
    Host,
    HostCall,
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
from maia_human.handoff import HANDOFF, NOTEBOOK_ONLY, RecordedTurn

CUT_OFF = "KernelDied: the kernel ended during this cell; the record keeps what the cell had measured"


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
        handoff = HANDOFF.get()
        if handoff is None:
            raise SandboxError(NOTEBOOK_ONLY)
        self._handoff = handoff
        self._context = context

    def run(self, program: str, host: Host) -> Execution:
        """Carries out calls until the cell ends; see `maia_core.protocols.Sandbox`. The program has run elsewhere."""
        recorded = self._handoff.recorded.pop(host.number, None)
        if recorded is not None:
            return self._repeat(recorded, host)
        started, calls = time.monotonic(), 0
        while True:
            item = self._handoff.offer("running")
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
