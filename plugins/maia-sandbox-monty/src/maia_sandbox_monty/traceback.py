"""The words of a failed program's error: its own lines only, with suggestions for misspelt names."""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterable, Mapping
from traceback import FrameSummary, StackSummary
from typing import TYPE_CHECKING, Any

from maia_sandbox import values
from maia_sandbox.texts import ERROR_CHARS, meant, near

if TYPE_CHECKING:
    from pydantic_monty import MontyRuntimeError, MontySyntaxError

UNAVAILABLE = "only in the sandbox `process`; here use plain Python, and tools to look at images"
COMMON = (bool, bytes, dict, float, frozenset, int, list, set, str, tuple)


class Programs:
    """The programs that one session of the interpreter was fed, by the names that it gives them."""

    def __init__(self) -> None:
        self._fed = 0
        self._texts: dict[str, tuple[int, list[str]]] = {}

    def fed(self, number: int = 0, text: str = "") -> None:
        """Counts a piece of code that Monty got: a program, or without a number code of the sandbox."""
        if number:
            self._texts[f"<python-input-{self._fed}>"] = number, text.split("\n")
        self._fed += 1

    def report(
        self, error: MontyRuntimeError | MontySyntaxError, wordings: Mapping[str, str], methods: Iterable[str] = ()
    ) -> tuple[str, bool]:
        """Returns the traceback, and whether any line of a program is in it.

        Args:
            error: The error that ended the program.
            wordings: Messages of exceptions, to better last lines of their tracebacks.
            methods: Names that the program may call or read.
        """
        syntax = type(error).__name__ == "MontySyntaxError"
        frames = [
            shown for frame in error.traceback() for shown in self._own(frame, syntax or frame.function_name is None)
        ]
        text = _cut(error.display("msg"))
        words = wordings.get(text) or _cut(error.display("type-msg"))
        if " cannot be given " in text:  # Raised on the program's side, which knows no such kind of error.
            words = words.replace("RuntimeError", "ToolError", 1)
        words = _cut(words + self._meant(words, methods))
        stack = "".join(StackSummary.from_list(frames).format())
        return (f"Traceback (most recent call last):\n{stack}{words}" if frames else words), bool(frames)

    def _own(self, frame: Any, syntax: bool) -> list[FrameSummary]:
        number, lines = self._texts.get(frame.filename, (0, []))
        # What follows the program is the sandbox's own; but a program that is not complete is found wrong only there.
        line = min(frame.line, len(lines)) if syntax else frame.line
        if not 0 < line <= len(lines):
            return []
        name = frame.function_name or "<module>"
        return [FrameSummary(f"experiment {number}", line, name, lookup_line=False, line=lines[line - 1].strip())]

    def _meant(self, words: str, methods: Iterable[str]) -> str:
        """Returns "Did you mean ...?" for a last line of which the interpreter alone knows no better."""
        nearest = ""
        if found := re.match(r"NameError: name '(\w{1,200})' is not defined\Z", words):
            if better := meant(found[1], methods):
                return better
            if found[1] in ("np", "numpy", "PIL"):
                return f"; it is {UNAVAILABLE}"
            if found[1] in vars(builtins):
                return "; the monty sandbox has no such function"
            texts = "\n".join(line for _, lines in self._texts.values() for line in lines)
            known = set(re.findall(r"\b[A-Za-z_]\w*", texts)) - {found[1]}
            nearest = near(found[1], sorted(known | set(vars(builtins))))
        elif found := re.match(r"AttributeError: '(\w+)' object has no attribute '(\w{1,200})'\Z", words):
            known = {name for kind in COMMON if kind.__name__ == found[1] for name in dir(kind)}
            if found[2] in known:
                return "; the monty sandbox lacks it, or can only call it, as in lambda x: values.append(x)"
            nearest = near(found[2], sorted(known))
        return f".{nearest}" if nearest else ""


def _cut(text: str) -> str:
    """Returns a text that the program had a hand in, its middle left out where it is long."""
    if len(text) > ERROR_CHARS:
        text = f"{text[: ERROR_CHARS // 2]}\n[...]\n{text[-ERROR_CHARS // 2 :]}"
    return values.text(text)
