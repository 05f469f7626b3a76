"""Hands replies and calls from the cells of a notebook to the run, which waits in a thread of its own.

The run is an ordinary one: `maia_runs.launch` drives it, the backbone is a person whose reply is a cell's source, and
the sandbox carries out the calls that the cell makes. So it has the same turns, limits and record as any other.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

from maia_core.plugin import Executed, Host, HostCall, MendableError

Phase = Literal["busy", "asking", "running", "ended"]
"""What the run does: its own work; waits for a reply; waits for a program's next call; nothing any more."""

NOTEBOOK_ONLY = (
    "the sandbox 'notebook' serves a notebook alone: begin with maia_human.study(...), resume with "
    "maia_human.study(resume=FOLDER); a terminal takes --sandbox auto"
)


@dataclass(frozen=True)
class RecordedTurn:
    """What the record holds of one turn: its calls, and how it ended, if it did."""

    calls: tuple[HostCall, ...]
    ended: Executed | None


class Handoff:
    """Hands items from a person's thread to the run's thread; one of the two works while the other waits.

    Attributes:
        recorded: The turns that a resumed run repeats from its record, by number.
    """

    def __init__(self, recorded: Mapping[int, RecordedTurn] | None = None) -> None:
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

        An interrupt while it waits loses nothing: the run continues, and the next call of either method waits for it.
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


HANDOFF: ContextVar[Handoff | None] = ContextVar("maia_human_handoff", default=None)
"""The handoff of the run that is being made in this thread; None for a run in a terminal."""


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
