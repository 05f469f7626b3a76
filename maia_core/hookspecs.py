"""The hooks: every installed plugin of the group `maia.observers` watches every run, and may wrap its parts.

An observer is an object, class or module with `@hookimpl` functions of these names; each takes only the arguments that
it needs. An observer that raises is named in the record and never ends a run. While a resumed run repeats its record,
MAIA calls no hook of it a second time, except `run_started`, `part_built` and `prompt_sections`.
"""

from __future__ import annotations

import pluggy

from maia_core.events import HostCall, RunOutcome
from maia_core.protocols import RunContext, RunSession
from maia_core.record import RunReader
from maia_core.types import Turn

hookspec = pluggy.HookspecMarker("maia")
hookimpl = pluggy.HookimplMarker("maia")


@hookspec
def process_started() -> None:
    """A command that computes begins in a process of MAIA's own, so an observer may tune the process as a whole."""


@hookspec
def part_built(kind: str, name: str, part: object, context: RunContext) -> object | None:
    """Returns a replacement for a part that was just built, such as a wrapper that caches; None leaves the part.

    MAIA calls it for every part that `context` builds: the run's own parts, models, and parts that other parts build.
    A replacement must keep the methods and attributes of the part, optional ones too. If several observers return
    one, each wraps the replacement of the one before.
    """


@hookspec
def run_started(session: RunSession) -> None:
    """A run begins, or is resumed; the backbone has not been asked yet."""


@hookspec
def turn_finished(session: RunSession, turn: Turn) -> None:
    """The backbone replied, and its program (if any) has run."""


@hookspec
def tool_called(session: RunSession, call: HostCall) -> None:
    """A program's call of `system` or a tool has ended."""


@hookspec
def noted(text: str) -> None:
    """A note for readers of the record was added: skipped files, a fallback, a fault with its traceback."""


@hookspec
def run_finished(session: RunSession, outcome: RunOutcome) -> str | None:
    """The run is over: answered, stopped at a limit, failed or interrupted. The record in `session.folder` is complete.

    Returns a line for the user, such as `report: PATH`, or None.
    """


@hookspec
def should_stop(session: RunSession) -> str | None:
    """Returns a reason to end the run after one request for a final answer, or None; asked before every turn."""


@hookspec
def prompt_sections(session: RunSession) -> str | None:
    """Returns a section to append to the user prompt, or None. MAIA renders it once, when the run begins."""


@hookspec
def report_sections(run: RunReader) -> tuple[str, object] | None:
    """Returns (title, plain text or a `maia_report.sections.HeatMap`) to show in the report of a run, or None."""
