"""Standard output that keeps a copy of what a person's code prints."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from maia_sandbox import values

ECHO = "IPython.core.displayhook"
"""What writes the value of a cell to a terminal; it is recorded as the value and not as printed text."""


class Printed:
    """Standard output that shows what is written and keeps a copy, up to a limit; put in the place of `sys.stdout`."""

    paused = False

    def __init__(self, most: int) -> None:
        self.most = most
        self._shown = sys.stdout
        self._kept = io.StringIO()
        self._cut = 0
        sys.stdout = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._shown, name)

    def write(self, text: str) -> int:
        """Shows and keeps text."""
        self._shown.write(text)
        if not Printed.paused and _author() != ECHO:
            fits = text[: max(0, self.most - self._kept.tell())]
            self._kept.write(fits)
            self._cut += len(text) - len(fits)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Shows and keeps lines."""
        for line in lines:
            self.write(line)

    def remove(self) -> None:
        """Takes it out of the way of what is written; another one may have been put above it meanwhile."""
        above: Any = sys.stdout
        if above is self:
            sys.stdout = self._shown
        while isinstance(above, Printed):
            if above._shown is self:
                above._shown = self._shown
            above = above._shown

    @property
    def text(self) -> str:
        """What was written, with a note where it was cut."""
        note = f"\n[{self._cut:,} more characters were printed and cut]" if self._cut else ""
        return values.text(self._kept.getvalue()) + note


@contextmanager
def unrecorded() -> Iterator[None]:
    """What is written meanwhile is shown, but not part of what the person's code printed."""
    before, Printed.paused = Printed.paused, True
    try:
        yield
    finally:
        Printed.paused = before


def _author() -> str:
    """Returns the name of the module that writes."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__") == __name__:
        frame = frame.f_back
    return str(frame.f_globals.get("__name__"))
