"""The observer hooks: every installed plugin in the group `maia.observers` is told what happens in a run.

An observer is an object (or module) with `@hookimpl` functions of these names; each takes only the arguments it wants.
Observers watch; an observer that raises is named in the record and never ends a run. What a resumed run repeats from
its record is not told again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from maia_core.agent import Session, Turn
    from maia_core.record import HostCall, RunOutcome

hookspec = pluggy.HookspecMarker("maia")
hookimpl = pluggy.HookimplMarker("maia")


@hookspec
def process_started() -> None:
    """A command that computes begins in a process of MAIA's own, so an observer may tune the process as a whole."""


@hookspec
def run_started(session: Session) -> None:
    """A run begins or goes on after a resume; nothing has been asked yet."""


@hookspec
def turn_finished(session: Session, turn: Turn) -> None:
    """The backbone replied, and its program (if any) has run."""


@hookspec
def tool_called(session: Session, call: HostCall) -> None:
    """A program's call of `system` or a tool has ended."""


@hookspec
def noted(text: str) -> None:
    """A line that a reader of the record must know: skipped files, a fallback, a fault with its traceback."""


@hookspec
def run_finished(session: Session, outcome: RunOutcome) -> None:
    """The run is over: answered, stopped at a limit, failed or interrupted."""


@hookspec
def should_stop(session: Session) -> str | None:
    """Asked before every turn: a reason ends the run after one request for a final answer; None lets it go on."""


@hookspec
def prompt_sections(session: Session) -> str | None:
    """Returns a section to append to the user prompt, or None. It is rendered once, when the run begins."""


@hookspec
def report_sections(run: object) -> tuple[str, str] | None:
    """Returns (title, plain text) of a section to append to the report of a `maia_core.record.RunReader`, or None."""
