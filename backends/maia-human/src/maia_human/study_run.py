"""The run behind a `Study`: its thread, and the experiments that cells and blocks make of it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

from maia_core.plugin import (
    Execution,
    HostCall,
    MaiaError,
    MendableError,
    Part,
    Reply,
    Session,
    Turn,
    UsageError,
    hookimpl,
    one_line,
)
from maia_human import programs
from maia_human.cells import Block, Cells, Piece
from maia_human.handoff import HANDOFF, Call, Handoff
from maia_human.printed import unrecorded
from maia_human.proxies import inward, outward
from maia_human.shown import Card, card, clean
from maia_runs import FinishedRun, replies
from maia_sandbox.texts import ToolError


class StudyError(UsageError):
    """A mistake that the person can mend; a notebook shows one line of it."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {clean(one_line(self))}"]


class RunObserver:
    """Observes the run, in the run's thread.

    Attributes:
        session: The session; None until the run has started.
        turn: The last turn that has ended.
        shown: The texts and images that calls showed since a cell last took them.
    """

    def __init__(self) -> None:
        self.session: Session | None = None
        self.turn: Turn | None = None
        self.shown: list[Part] = []

    @hookimpl
    def run_started(self, session: Session) -> None:
        """Keeps the session."""
        self.session = session

    @hookimpl
    def tool_called(self, call: HostCall) -> None:
        """Keeps the texts and images that the call showed."""
        self.shown += call.effects.shown

    @hookimpl
    def turn_finished(self, turn: Turn) -> None:
        """Keeps the turn."""
        self.turn = turn


class StudyRun:
    """A run in a thread of its own, whose experiments are the cells of a notebook or the blocks of a script."""

    _session: Session

    def __init__(self, drive: Callable[[object], FinishedRun], handoff: Handoff) -> None:
        """Starts the run, and waits until it asks for the first experiment.

        Args:
            drive: Drives the run to its end, with an observer.
            handoff: Between the run's thread and this one.

        Raises:
            MaiaError: the run cannot begin.
        """
        self._handoff = handoff
        self._observer = RunObserver()
        self._finished: FinishedRun | None = None
        self._failure: BaseException | None = None
        self._lock = threading.RLock()
        self._hypotheses: list[str] = []
        self._definitions: list[str] = []
        self._open: Piece | None = None
        self._ending: Execution | None = None
        self._block: Block | None = None
        self._cells: Cells | None = None
        self._shell = _shell()
        self._thread = threading.Thread(target=self._drive, args=[drive], daemon=True, name="maia study")
        self._thread.start()
        if self._handoff.settle() == "ended":
            raise self._why_it_ended()

    def close(self) -> None:
        """Leaves the run, as Ctrl-C does in a terminal; `study(resume=FOLDER)` resumes it."""
        self._handoff.leave()
        self._thread.join()
        self._stop_following()

    def _drive(self, drive: Callable[[object], FinishedRun]) -> None:
        HANDOFF.set(self._handoff)
        try:
            self._finished = drive(self._observer)
        except BaseException as error:
            self._failure = error
        finally:
            self._handoff.end()

    def _ask(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Carries out one call of a cell."""
        __tracebackhide__ = True
        positional = [inward(value, method) for value in args]
        call = Call(method, positional, {name: inward(value, method) for name, value in kwargs.items()})
        with self._lock:
            self._begin()
            try:
                self._handoff.hand(call)
            finally:
                shown, self._observer.shown = self._observer.shown, []
                if shown:
                    self._present(card(shown))
        if isinstance(call.error, MendableError):
            raise ToolError(str(call.error)) from None
        if call.error is not None:
            raise StudyError(one_line(call.error)) from call.error
        return outward(call.result)

    def _begin(self) -> None:
        """Begins an experiment with the first call of a cell or block; later calls belong to it."""
        __tracebackhide__ = True
        piece = self._piece
        phase = self._handoff.settle()
        if phase == "running" and self._open is not piece:
            self._finish(self._ending or Execution())  # Its end was interrupted.
            phase = self._handoff.settle()
        if phase == "running":
            return
        if phase == "ended":
            raise self._why_it_ended()
        if self._session.state.final:
            raise StudyError(f"the run takes no more experiments; give your answer with {self._answer_form}")
        if piece is None:
            raise StudyError("calls belong to an experiment: make them in a notebook's cell, or `with s.experiment():`")
        program = programs.as_recorded("\n".join([*filter(str.strip, self._definitions), self._own(piece.source)]))
        hypotheses, self._hypotheses = self._hypotheses, []
        self._definitions, self._open, self._ending = [], piece, None
        if self._handoff.hand(self._reply(replies.program_reply(program, hypotheses))) != "running":
            mistake = self._observer.turn.mistake if self._observer.turn else ""
            raise StudyError(mistake or one_line(self._why_it_ended()))

    def _ended(self, piece: Piece, execution: Execution) -> None:
        """Takes the end of a cell or block; see `maia_human.cells.Ended`."""
        with self._lock:
            if self._open is piece:
                self._ending = execution
                if self._handoff.settle() == "running":
                    self._finish(execution)
            elif self._cells is not None and not execution.error:
                self._definitions.append(programs.definitions(self._own(piece.source)))

    def _finish(self, execution: Execution) -> None:
        """Ends the experiment that is under way, and shows where the run stands."""
        self._open = None
        phase = self._handoff.hand(execution)
        state, limits = self._session.state, self._session.limits
        line = f"Experiment {state.experiments} is recorded (turn {len(state.turns)} of {limits.turns})."
        if phase == "ended":
            line += f" {one_line(self._why_it_ended())}"
        elif state.final:
            reason = self._session.conversation.messages[-1].parts[-1]
            line += f" {getattr(reason, 'text', '')} Here: {self._answer_form}"
        self._present(Card(f'<div style="opacity:.6;font-size:12px">{escape(clean(line))}</div>', clean(line)))

    @property
    def _answer_form(self) -> str:
        """How the person gives the answer, for messages."""
        parts = ", ".join(f'{name}="..."' for name in self._fields)
        return f"s.answer({parts})"

    @property
    def _fields(self) -> dict[str, str]:
        """The arguments of `answer`, and the tags that they stand for."""
        return {tag.lower().replace(" ", "_"): tag for tag in self._session.task.tags}

    @property
    def _piece(self) -> Piece | None:
        if self._block is not None:
            return self._block.piece
        return self._cells.piece if self._cells else None

    def _own(self, source: str) -> str:
        return programs.without_study(source, self._cells.is_study) if self._cells else source

    @contextmanager
    def _following(self, block: Block) -> Iterator[None]:
        if self._block is not None:
            raise StudyError("an experiment is under way already; end its block first")
        with self._lock:
            if self._open is not None and self._handoff.settle() == "running":
                self._finish(self._open.so_far())  # Of the cell around the block.
        self._block = block
        block.start()
        error: BaseException | None = None
        try:
            yield
        except BaseException as raised:
            error = raised
            raise
        finally:
            block.end(error)
            self._block = None

    def _reply(self, text: str) -> Reply:
        return Reply(text=text, model=self._session.context.part("backbone").info.model)

    def _why_it_ended(self) -> MaiaError:
        if self._finished is not None:
            outcome = self._finished.outcome
            reason = f": {outcome.reason}" if outcome.reason else ""
            advice = "begin another with study(...)"
            if outcome.status not in ("answered", "stopped"):
                advice = f"resume it with study(resume={str(self._finished.folder)!r})"
            return StudyError(f"the run has ended ({outcome.status}{reason}); {advice}")
        if isinstance(self._failure, MaiaError):
            return self._failure
        if isinstance(self._failure, KeyboardInterrupt):
            return StudyError("the run was left; resume it with study(resume=FOLDER)")
        return StudyError(f"the run failed: {one_line(self._failure) if self._failure else 'its thread is gone'}")

    def _present(self, thing: Card) -> None:
        """Shows a card, which is not recorded as output of the code."""
        with unrecorded():
            if self._shell is not None:
                from IPython.display import display

                display(thing)  # type: ignore[no-untyped-call]  # IPython ships no types for it.
            else:
                print(repr(thing))

    def _stop_following(self) -> None:
        if self._cells is not None:
            self._cells.stop()


def _shell() -> Any:
    """Returns the IPython shell that this code runs in; None outside of one."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython

    return get_ipython()
