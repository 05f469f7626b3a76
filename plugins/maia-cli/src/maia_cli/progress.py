"""Shows on a terminal how a run gets on: an observer of the run."""

from __future__ import annotations

import json
import shutil
import time
from typing import Any

import click

from maia_core.plugin import HostCall, RunOutcome, RunSession, Turn, hookimpl, printable, redacted


class Progress:
    """One line per turn, and on a terminal a line that says what is going on now."""

    def __init__(self, live: bool) -> None:
        """Writes to standard error.

        Args:
            live: True on a terminal: show the present call, and write over it.
        """
        self._live = live
        self._began = time.monotonic()

    @hookimpl
    def run_started(self, session: RunSession) -> None:
        """Names the unit."""
        self._line(f"explaining {session.context.system.info.ref}")
        self._status("asking the backbone")

    @hookimpl
    def tool_called(self, call: HostCall) -> None:
        """Names the call that has ended."""
        self._status(f"turn {call.turn}: {call.method} took {call.seconds:.1f} s")

    @hookimpl
    def turn_finished(self, session: RunSession, turn: Turn) -> None:
        """Sums up the turn."""
        if turn.mistake:
            what = f"malformed reply: {turn.mistake}"
        elif turn.execution is None:
            what = "answer" + (f", {turn.verdict.line}" if turn.verdict else "")
        else:
            run = turn.execution
            failed = f", failed: {run.error.strip().splitlines()[-1]}" if run.error else ""
            what = f"experiment, {run.host_calls} calls, {run.seconds:.1f} s{failed}"
        used = ", ".join(f"{name} {used:.4g}/{allowed:g}" for name, (used, allowed) in session.budget().items() if used)
        self._line(f"[{used}] {what}")
        for hypothesis in turn.hypotheses[:5]:
            self._line(f"    - {hypothesis}")
        self._status("asking the backbone")

    @hookimpl
    def noted(self, text: str) -> None:
        """Says what a reader of the record must know, in a line."""
        self._line(f"note: {text.strip().splitlines()[-1]}" if text.strip() else "")

    @hookimpl
    def run_finished(self, session: RunSession, outcome: RunOutcome) -> None:
        """Says how it ended."""
        reason = f": {outcome.reason}" if outcome.reason else ""
        self._line(f"{outcome.status} after {outcome.turns} turns, {outcome.seconds:.0f} s{reason}")
        if outcome.status == "interrupted" and session.folder is not None:
            click.echo(f"resume with: maia run --resume {session.folder}", err=True)

    def _line(self, text: str) -> None:
        text = " ".join(printable(text).split("\n"))
        if self._live:  # A log takes lines of any length.
            text = "\r\x1b[K" + _shorten(text, max(shutil.get_terminal_size((160, 24)).columns, 80))
        click.echo(text, err=True)

    def _status(self, text: str) -> None:
        if self._live:
            elapsed = time.monotonic() - self._began
            click.echo(f"\r\x1b[K{_shorten(printable(f'{elapsed:4.0f} s  {text} ...'), 79)}", err=True, nl=False)


class JsonProgress:
    """One JSON object a line on standard output, for machines."""

    @hookimpl
    def run_started(self, session: RunSession) -> None:
        """Prints the unit."""
        self._print("started", system=session.context.system.info.ref)

    @hookimpl
    def turn_finished(self, session: RunSession, turn: Turn) -> None:
        """Prints the turn's sums."""
        execution = turn.execution
        self._print(
            "turn",
            number=turn.number,
            hypotheses=list(turn.hypotheses),
            mistake=turn.mistake,
            verdict=turn.verdict.line if turn.verdict else "",
            error=execution.error if execution else "",
            host_calls=execution.host_calls if execution else 0,
            seconds=round(session.budget()["seconds"][0], 3),
            tokens=session.usage.tokens,
        )

    @hookimpl
    def run_finished(self, outcome: RunOutcome) -> None:
        """Prints the outcome."""
        # Images have no place in a line; the record holds them.
        self._print("finished", **outcome.model_dump(mode="json", exclude={"event": True, "verdict": {"probes": True}}))

    @staticmethod
    def _print(event: str, **fields: Any) -> None:
        click.echo(json.dumps(redacted({"event": event, **fields})))


def _shorten(text: str, width: int) -> str:
    text = " ".join(text.split("\n"))
    return text if len(text) <= width else text[: width - 1] + "…"
