"""A program's texts for the backbone: printed lines and errors. Runs in the child: nothing of MAIA."""

from __future__ import annotations

import builtins
import difflib
import io
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from . import values

FILE = "experiment "
"""File name of a program, before its number."""
ERROR_CHARS = 20_000
MAX_NAME = 200
"""Longest name for which MAIA looks for a misspelling, in characters."""
MAX_NAMES = 2_000
"""Maximum number of names that MAIA searches for a misspelling."""
DIRECT_WRITES = 500
"""So many lines go to the host at once, so that they survive a kill; later ones are sent in larger pieces."""
CHUNK = 1 << 16
Tell = Callable[[dict[str, Any], bytes], None]
"""Sends one frame that has no reply."""


class ToolError(Exception):
    """A tool or the system refuses its arguments."""


class TimeLimit(BaseException):
    """The experiment took too long. Like all limits no `Exception`, so that programs do not swallow it by accident."""


class OutputLimitError(BaseException):
    """The experiment printed too much."""


class CallLimitError(BaseException):
    """The experiment called the host too often."""


for _error in (ToolError, TimeLimit, OutputLimitError, CallLimitError):
    _error.__module__ = "builtins"  # Tracebacks name them without this module.


def near(name: str, known: Any) -> str:
    """Returns " Did you mean 'a'?" for the nearest of `known`, or an empty string."""
    if len(name) > MAX_NAME:
        return ""
    found = difflib.get_close_matches(name, [k for k in known if isinstance(k, str)][:MAX_NAMES], 1, 0.6)
    return f" Did you mean '{found[0]}'?" if found else ""


def meant(name: str, methods: Iterable[str]) -> str:
    """Returns the full name of a tool that a program calls without `tools.` or `system.`, or an empty string."""
    owners = {method.partition(".")[2]: method for method in methods} | {"self": "tools"}
    return f". Did you mean '{owners[name]}'?" if name in owners else ""


def explain(error: BaseException, names: dict[str, Any], methods: Sequence[str]) -> str:
    """Returns a traceback of the program's own lines; never raises, whatever the error's class does."""
    try:
        report = traceback.TracebackException.from_exception(error, compact=True)
        _own_lines(report)
        text = "".join(report.format()).rstrip("\n")
        if isinstance(error, NameError) and (better := meant(str(error.name), methods)):
            text = text.partition(". Did you mean")[0] + better
        elif "Did you mean" not in text and isinstance(error, NameError | AttributeError) and type(error.name) is str:
            known = dir(error.obj) if isinstance(error, AttributeError) else [*names, *vars(builtins)]
            text += f".{near(error.name, known)}".rstrip(".")
    except BaseException:
        text = f"{type.__getattribute__(type(error), '__name__')}: (its text cannot be shown)"
    if len(text) > ERROR_CHARS:
        text = f"{text[: ERROR_CHARS // 2]}\n[...]\n{text[-ERROR_CHARS // 2 :]}"
    return values.text(text)


def _own_lines(report: traceback.TracebackException) -> None:
    """Strips every frame that is not of a program, in the errors that led to this one too."""
    report.stack[:] = [frame for frame in report.stack if frame.filename.startswith(FILE)]
    for other in (report.__cause__, report.__context__, *(getattr(report, "exceptions", None) or ())):
        if other is not None:
            _own_lines(other)


class Printed(io.TextIOBase):
    """Standard output: goes to the host line by line, in larger pieces when there is much of it."""

    def __init__(self, tell: Tell, most: int) -> None:
        self._tell = tell
        self._left = self._most = most
        self._direct = DIRECT_WRITES
        self._waiting = ""
        self.cut = 0

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        fits = text[: self._left]
        self._left -= len(fits)
        self._waiting += fits
        if len(self._waiting) > 4096 or (self._direct > 0 and "\n" in fits):
            self.send()
        if len(fits) < len(text):
            self.cut += len(text) - len(fits)
            raise OutputLimitError(f"more than {self._most:,} characters printed in one experiment")
        return len(text)

    def send(self) -> None:
        """Sends the waiting text."""
        waiting, self._waiting = self._waiting, ""
        self._direct -= 1
        send_text(self._tell, "stdout", waiting)

    def end(self) -> None:
        """Sends the waiting text, and the number of characters that were cut."""
        self.send()
        if self.cut:
            send_text(self._tell, "stdout", f"\n[{self.cut:,} more characters were printed and cut]")


def send_text(tell: Tell, to: str, text: str) -> None:
    """Sends a text of any length in pieces."""
    for start in range(0, len(text), CHUNK):
        tell({"op": "text", "to": to}, values.text(text[start : start + CHUNK]).encode())
