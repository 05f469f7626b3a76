"""One line that shows how far a command is, how fast it goes and how long it will take."""

from __future__ import annotations

import sys
import time

import click


class ProgressLine:
    """One line on standard error that shows how far a command is; in a log file, a line now and then."""

    def __init__(self, unit: str = "") -> None:
        """Starts the clock; `unit` is the plural of the things that it counts, such as `images`."""
        self._unit = f" {unit}" if unit else ""
        self._started = self._told = time.monotonic()
        self._doing, self._first = "", 0

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *error: object) -> None:
        if sys.stderr.isatty() and self._doing:
            click.echo(err=True)

    def __call__(self, what: str, done: int, of: int) -> None:
        now = time.monotonic()
        if what != self._doing or done < self._first:  # There may be several rounds of one kind.
            self._doing, self._started, self._first = what, now, done
        live = sys.stderr.isatty()
        if done < of and now - self._told < (0.2 if live else 30):
            return
        self._told = now
        rate = (done - self._first) / max(now - self._started, 1e-9)
        left = f", {_duration((of - done) / rate)} left" if rate and done < of else ""
        speed = f"   {rate:.1f} per second{left}" if rate else ""
        text = f"{what}: {done:,} of {of:,}{self._unit}{speed}"
        click.echo(f"\r\x1b[K{text}" if live else text, nl=not live, err=True)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
