"""Reads from and writes to a person at a terminal, or a pipe in a person's place."""

from __future__ import annotations

import contextlib
import sys
from typing import TextIO

import click

from maia_core.plugin import BackboneError, printable

MAX_CHARACTERS = 20_000
"""Longest text that is shown at once; the page beside it has the rest."""


class Terminal:
    """Lines in, text out.

    Text goes to standard error, so that standard output stays what `maia run` prints (JSON with `--json`).
    """

    def __init__(self, source: TextIO | None = None, out: TextIO | None = None) -> None:
        """Makes a terminal.

        Args:
            source: Where lines come from; standard input where it is None.
            out: Where text goes; standard error where it is None.
        """
        self._source = source
        self._out = out

    @property
    def interactive(self) -> bool:
        """True if a person sits at it: no pipe, no file."""
        return bool(self._input and self._input.isatty())

    @property
    def seen(self) -> bool:
        """True if a person reads it on a terminal too."""
        return self.interactive and (self._out or sys.stderr).isatty()

    @property
    def _input(self) -> TextIO | None:
        return self._source or sys.stdin

    def read(self, prompt: str = "") -> str:
        """Returns the next line, without its end.

        Raises:
            EOFError: the input has ended.
            BackboneError: the input is not text.
        """
        source = self._input
        if source is None:
            raise EOFError
        try:
            if source is sys.stdin and self.interactive and sys.stdout.isatty():
                with contextlib.suppress(ImportError):
                    import readline  # noqa: F401 - gives `input` arrow keys and a history
                return input(prompt)
            if self.interactive:
                self.write(prompt, end="")
            line = source.readline()
        except UnicodeDecodeError as error:
            raise BackboneError("the input is not UTF-8 text; set the terminal or the file to UTF-8") from error
        except OSError as error:  # The terminal is gone.
            raise EOFError from error
        if not line:
            raise EOFError
        return line.rstrip("\r\n")

    def discard_typed(self) -> None:
        """Discards what was typed while nothing asked for it, such as during the test of an answer."""
        source = self._input
        if source is not None and self.interactive:
            with contextlib.suppress(ImportError, OSError, ValueError):
                import termios

                termios.tcflush(source.fileno(), termios.TCIFLUSH)

    def say(self, text: str = "", end: str = "\n") -> None:
        """Shows text; control characters in it are written out."""
        self.write(printable(text.expandtabs(4), MAX_CHARACTERS), end)

    def heading(self, text: str) -> None:
        """Shows a line that begins something new."""
        self.write(click.style(f"\n── {text} {'─' * max(0, 70 - len(text))}", bold=True))

    def write(self, text: str, end: str = "\n") -> None:
        """Writes text as it is; colours are left out where no terminal takes them."""
        click.echo(text + end, file=self._out or sys.stderr, nl=False)

    def clear_line(self) -> None:
        """Wipes the line on which the run shows what it is doing."""
        if (self._out or sys.stderr).isatty():
            self.write("\r\x1b[K", end="")
