"""Follows the cells of a notebook, or the blocks of a script: their source, what they print, and how they end."""

from __future__ import annotations

import ast
import linecache
import textwrap
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any

from maia_core.plugin import Execution
from maia_human.printed import Printed
from maia_sandbox import values

MAX_ERROR = 20_000
"""Longest traceback that is recorded."""


class Piece:
    """One cell or block while it runs.

    Attributes:
        source: What the person wrote; empty where it is not known.
    """

    def __init__(self, source: str, most_printed: int) -> None:
        self.source = source
        self._printed = Printed(most_printed)

    def end(self, value: Any = None, error: BaseException | None = None, label: Label | None = None) -> Execution:
        """Puts standard output back, and returns what came of the code.

        Args:
            value: The value of a last expression.
            error: What was raised.
            label: Names the person's own files in a traceback.
        """
        self._printed.remove()
        return Execution(
            stdout=self._printed.text,
            value="" if error or value is None else _shown(value, self._printed.most),
            error=_explained(error, label or (lambda name: None)) if error else "",
        )

    def so_far(self) -> Execution:
        """Returns what has come of the code until now."""
        return Execution(stdout=self._printed.text)


Ended = Callable[[Piece, Execution], None]
"""Takes a piece that has ended, and what came of it."""

Label = Callable[[str], str | None]
"""Returns what a file of the person's code is called, None for a file that is not theirs."""


class Cells:
    """Follows the cells of an IPython shell.

    Attributes:
        piece: The cell that runs; None between cells.
    """

    def __init__(self, shell: Any, study: object, ended: Ended, most_printed: int) -> None:
        self._shell = shell
        self._study = study
        self._ended = ended
        self._most = most_printed
        self.piece: Piece | None = Piece(self._present_source(), most_printed)
        shell.events.register("pre_run_cell", self._before)
        shell.events.register("post_run_cell", self._after)

    def stop(self) -> None:
        """Follows no more cells."""
        for event, function in (("pre_run_cell", self._before), ("post_run_cell", self._after)):
            if function in self._shell.events.callbacks[event]:
                self._shell.events.unregister(event, function)
        if self.piece is not None:
            self.piece.end()
            self.piece = None

    def is_study(self, name: str) -> bool:
        """Tells whether a name of the notebook stands for the study itself."""
        return self._shell.user_ns.get(name) is self._study

    def _present_source(self) -> str:
        """Returns the source of the cell that runs now, in the middle of it."""
        history = self._shell.history_manager
        return str(history.input_hist_raw[-1]) if history and history.input_hist_raw else ""

    def _before(self, info: Any) -> None:
        if self.piece is not None:  # Its end was never told.
            self._end(Execution())
        self.piece = Piece(info.raw_cell or "", self._most)

    def _after(self, result: Any) -> None:
        if self.piece is None:
            return
        error = getattr(result, "error_before_exec", None) or getattr(result, "error_in_exec", None)
        self._end(self.piece.end(getattr(result, "result", None), error, self._label))

    def _end(self, execution: Execution) -> None:
        piece, self.piece = self.piece, None
        if piece is not None:
            self._ended(piece, execution)

    def _label(self, name: str) -> str | None:
        found = self._shell.compile.format_code_name(name)
        return found[1] if found else None


class Block:
    """`with study.experiment():` of a script: one experiment."""

    def __init__(self, frame: FrameType, ended: Ended, most_printed: int) -> None:
        self._file = frame.f_code.co_filename
        self._source = block_source(self._file, frame.f_lineno, frame.f_globals)
        self._ended = ended
        self._most = most_printed
        self.piece: Piece | None = None

    def start(self) -> Piece:
        """Begins to follow."""
        self.piece = Piece(self._source, self._most)
        return self.piece

    def end(self, error: BaseException | None) -> None:
        """Ends the experiment."""
        piece, self.piece = self.piece, None
        if piece is not None:
            self._ended(piece, piece.end(None, error, self._label))

    def _label(self, name: str) -> str | None:
        return name.replace("\\", "/").rpartition("/")[2] if name == self._file else None


def block_source(file: str, line: int, names: dict[str, Any]) -> str:
    """Returns the body of the `with` statement that begins at or around a line; a comment if the source is missing."""
    source = "".join(linecache.getlines(file, names))
    try:
        nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.With)]
    except (SyntaxError, ValueError):
        nodes = []
    around = [node for node in nodes if node.lineno <= line <= node.body[0].lineno]
    if not around:
        return "# The source of this experiment is not available."
    body = max(around, key=lambda node: node.lineno).body
    lines = source.split("\n")[body[0].lineno - 1 : body[-1].end_lineno]
    lines[0] = " " * body[0].col_offset + lines[0].encode()[body[0].col_offset :].decode()
    return textwrap.dedent("\n".join(lines))


def _shown(value: Any, most: int) -> str:
    try:
        text = value if isinstance(value, str) else repr(value)
    except Exception as error:
        text = f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
    return values.text(text[:most] + (f" [{len(text) - most:,} more characters]" if len(text) > most else ""))


def _explained(error: BaseException, label: Label) -> str:
    """Returns a traceback of the person's own lines."""
    try:
        report = traceback.TracebackException.from_exception(error, compact=True)
        _own_lines(report, label)
        text = "".join(report.format()).rstrip("\n")
    except Exception:
        text = type(error).__name__
    return values.text(
        text if len(text) <= MAX_ERROR else f"{text[: MAX_ERROR // 2]}\n[...]\n{text[-MAX_ERROR // 2 :]}"
    )


def _own_lines(report: traceback.TracebackException, label: Label) -> None:
    report.stack[:] = [
        traceback.FrameSummary(name, frame.lineno, frame.name, line=frame.line)
        for frame in report.stack
        if (name := label(frame.filename)) is not None
    ]
    for other in (report.__cause__, report.__context__, *(getattr(report, "exceptions", None) or ())):
        if other is not None:
            _own_lines(other, label)
