"""Shows on a terminal how a run gets on: an observer of the run."""

from __future__ import annotations

import json
import shutil
import threading
import time
from typing import Any

import click

from maia_cli.running import running_part
from maia_core.plugin import RunOutcome, RunSession, Turn, hookimpl, printable, redacted


class Progress:
    """One line per turn, and on a terminal a line that names the part that is running, and ticks."""

    def __init__(self, live: bool) -> None:
        """Writes to standard error, until `close`.

        Args:
            live: True on a terminal: name the running part, and write over it every second.
        """
        self._live = live
        self._began = time.monotonic()
        self._lock, self._closed = threading.Lock(), threading.Event()
        if live:
            threading.Thread(target=self._tick, daemon=True).start()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        """Ends the ticking, and clears its line."""
        self._closed.set()
        if self._live:
            with self._lock:
                click.echo("\r\x1b[K", err=True, nl=False)

    def _tick(self) -> None:
        while not self._closed.wait(1):
            elapsed = time.monotonic() - self._began
            line = _shorten(printable(f"{elapsed:4.0f} s  {running_part()} ..."), 79)
            with self._lock:
                if not self._closed.is_set():
                    click.echo(f"\r\x1b[K{line}", err=True, nl=False)

    @hookimpl
    def run_started(self, session: RunSession) -> None:
        """Names the unit."""
        self._line(f"explaining {session.context.system.info.ref}")

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
        with self._lock:
            click.echo(text, err=True)


class JsonProgress:
    """One JSON object per line on standard output, for machines."""

    def __enter__(self) -> JsonProgress:
        return self

    def __exit__(self, *error: object) -> None:
        """Does nothing: each line is complete."""

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
