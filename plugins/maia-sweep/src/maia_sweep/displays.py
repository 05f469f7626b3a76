"""Shows how a sweep gets on: one line per running unit on a terminal, plain lines in a log, or JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import click

from maia_cli.progress_line import ProgressLine
from maia_core.plugin import printable, printable_line, redacted
from maia_sweep.measures import Running, running
from maia_sweep.status_command import duration
from maia_sweep.tables import Row

LINES = 16
"""Running units that a terminal shows at most."""
WINDOW = 7 * 86400.0
"""Seconds over which the bar takes the rate for the time that is left; at most the last thousand units."""
EVERY = 60.0
"""Seconds between two lines of a log that tell how far the sweep is."""


class Display(Protocol):
    """What a sweep tells its user."""

    def __enter__(self) -> Display:
        """Begins."""

    def __exit__(self, *error: object) -> None:
        """Ends, also after an error."""

    def begin(self, stage: str, units: int) -> None:
        """Says that a stage with so many units begins."""

    def row(self, row: Row) -> None:
        """Says how a unit ended."""

    def note(self, text: str) -> None:
        """Says something that the user should know."""

    def progress(self, what: str, done: int, of: int) -> None:
        """Shows how many images of the data set were measured, before the first stage."""


def line_of(row: Row) -> str:
    """Returns a unit and its label, or why it has none."""
    why = f"{row.status}: {row.error}" if row.run or row.stage == "first" else f"not run: {row.error}"
    score = "" if row.pearson is None else f"  (r = {row.pearson:.2f})"
    return printable(" ".join(redacted(f"{row.unit}  {row.label or why}{score}").splitlines()))


class LogDisplay:
    """One line per unit on standard output; notes, and now and then the count, on standard error."""

    def __init__(self) -> None:
        self._of = self._done = 0
        self._began = self._told = time.monotonic()
        self.progress = ProgressLine("images")

    def __enter__(self) -> LogDisplay:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def begin(self, stage: str, units: int) -> None:
        """See `Display`."""
        self._of, self._done, self._began = units, 0, time.monotonic()
        self.note(f"{units} unit{'s' * (units != 1)} to explain ({stage})")

    def row(self, row: Row) -> None:
        """See `Display`."""
        self._done += 1
        click.echo(line_of(row))
        now = time.monotonic()
        if now - self._told >= EVERY:
            self._told = now
            left = (now - self._began) / self._done * max(0, self._of - self._done)
            self.note(f"{self._done} of {self._of}; about {duration(left)} left")

    def note(self, text: str) -> None:
        """See `Display`."""
        click.echo(printable_line(redacted(text)), err=True)


class JsonDisplay:
    """One JSON object per line on standard output, for machines."""

    def __enter__(self) -> JsonDisplay:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def begin(self, stage: str, units: int) -> None:
        """See `Display`."""
        self._print("stage", stage=stage, units=units)

    def row(self, row: Row) -> None:
        """See `Display`."""
        self._print("unit", **row.model_dump(mode="json"))

    def note(self, text: str) -> None:
        """See `Display`."""
        self._print("note", text=text)

    def progress(self, what: str, done: int, of: int) -> None:
        """See `Display`; the note before it says it all."""

    @staticmethod
    def _print(event: str, **fields: Any) -> None:
        click.echo(json.dumps(redacted({"event": event, **fields})))


class LiveDisplay:
    """A bar for the stage and one line per running unit, whose turn stands in its journal; labels scroll above."""

    def __init__(self, folder: Path) -> None:
        from rich.console import Console, RenderableType
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.text import Text

        console = Console(stderr=True)

        class Bars(Progress):
            def get_renderables(self) -> Iterable[RenderableType]:
                yield self.make_tasks_table(self.tasks)
                lines = running_lines(running(folder), console.width)
                yield Text("\n".join(lines), no_wrap=True, overflow="ellipsis")

        self._bars = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            refresh_per_second=1,
            speed_estimate_period=WINDOW,
        )
        self._task: Any = None

    def __enter__(self) -> LiveDisplay:
        self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bars.stop()

    def begin(self, stage: str, units: int) -> None:
        """See `Display`."""
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._task = self._bars.add_task(stage, total=units)

    def progress(self, what: str, done: int, of: int) -> None:
        """See `Display`."""
        if self._task is None or self._bars.tasks[0].description != what:
            self.begin(what, of)
        self._bars.update(self._task, completed=done)

    def row(self, row: Row) -> None:
        """See `Display`."""
        if sys.stdout.isatty():
            self._bars.print(line_of(row), markup=False, highlight=False)
        else:
            click.echo(line_of(row))
        if self._task is not None:
            self._bars.advance(self._task)

    def note(self, text: str) -> None:
        """See `Display`."""
        self._bars.print(printable_line(redacted(text)), markup=False, highlight=False)


def running_lines(units: Sequence[Running], width: int = 0) -> list[str]:
    """Returns a line per running unit, at most `LINES` and one that counts the others.

    Args:
        units: The units.
        width: Width of the terminal, to which a line is cut at its front: its end tells the unit and the time; 0: none.
    """
    lines = [f"{each.unit}  {duration(each.seconds)}" + f", turn {each.turns}" * bool(each.turns) for each in units]
    more = [f"and {len(lines) - LINES} more"] if len(lines) > LINES else []
    shown = [printable_line(line) for line in [*lines[:LINES], *more]]
    return [f"  …{line[3 - width :]}" if 3 < width < len(line) + 2 else f"  {line}" for line in shown]


def display(folder: Path, as_json: bool) -> Display:
    """Returns the display that fits where the output goes."""
    if as_json:
        return JsonDisplay()
    return LiveDisplay(folder) if sys.stderr.isatty() else LogDisplay()
