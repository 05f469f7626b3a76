"""A run whose backbone is the person at this notebook or script."""

from __future__ import annotations

import sys
import threading
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from html import escape
from typing import Any

from maia_core.plugin import (
    Execution,
    FinishedRun,
    HostCall,
    MaiaError,
    MendableError,
    Part,
    Reply,
    ReplyError,
    RunOutcome,
    Session,
    Turn,
    UsageError,
    did_you_mean,
    hookimpl,
    one_line,
    parse_reply,
    render_api,
    system_methods,
)
from maia_human import programs, replies
from maia_human.cells import Block, Cells, Piece, unrecorded
from maia_human.crossing import Image, inward, outward, proxy
from maia_human.meeting import MEETING, Call, Meeting
from maia_human.shown import Card, card, clean, folded, paragraph
from maia_sandbox.texts import ToolError

NAMES: dict[str, Any] = {
    name: getattr(typing, name)
    for name in ("Any", "Callable", "Dict", "Iterable", "List", "Optional", "Sequence", "Set", "Tuple", "Union")
} | {"Image": Image, "ToolError": ToolError}
"""What a program in the sandbox finds defined; cells find it too, where the notebook has no such name yet."""


class StudyError(UsageError):
    """Something that the person can mend; a notebook shows one line of it."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {clean(one_line(self))}"]


class Watch:
    """Observes the run, in its thread."""

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
        """Keeps what the call showed."""
        self.shown += call.effects.shown

    @hookimpl
    def turn_finished(self, turn: Turn) -> None:
        """Keeps the turn."""
        self.turn = turn


class Finished(Card):
    """How a run ended.

    Attributes:
        folder: The run folder.
        outcome: Status, answer, explanation, turns, seconds.
        lines: Lines of the observers, such as where the report is.
    """

    def __init__(self, finished: FinishedRun) -> None:
        self.folder, self.outcome, self.lines = finished.folder, finished.outcome, finished.lines
        folder, outcome = self.folder, self.outcome
        explanation = outcome.explanation
        label = " OR ".join(explanation.labels) if explanation else outcome.status
        text = explanation.description if explanation else outcome.reason
        made = f"{outcome.turns} turns, {outcome.seconds / 60:.0f} minutes. Record: {folder}."
        html = f"<h3>{escape(clean(label))}</h3>" + "".join(
            f"<p>{escape(clean(line))}</p>" for line in (text, made, *self.lines)
        )
        super().__init__(html, "\n".join(map(clean, [label, text, made, *self.lines])))


class Study:
    """One unit under study by you; make it with `study`.

    Attributes:
        system: The unit, as a program sees it.
        tools: The tools, as a program sees them.
        folder: The run folder.
        outcome: How the run ended; None while it goes on.
    """

    def __init__(self, drive: Callable[[object], FinishedRun], meeting: Meeting | None = None) -> None:
        """Starts the run in a thread of its own, and waits until it asks for the first experiment.

        Args:
            drive: Drives the run to its end, with an observer.
            meeting: Where run and person meet; it holds the recorded turns of a run that goes on.

        Raises:
            MaiaError: the run cannot begin.
        """
        self._meeting = meeting or Meeting()
        self._resumed = meeting is not None
        self._watch = Watch()
        self._finished: FinishedRun | None = None
        self._failure: BaseException | None = None
        self._lock = threading.RLock()
        self._hypotheses: list[str] = []
        self._definitions: list[str] = []
        self._open: Piece | None = None
        self._ending: Execution | None = None
        self._block: Block | None = None
        self._cells: Cells | None = None
        self._thread = threading.Thread(target=self._drive, args=[drive], daemon=True, name="maia study")
        self._thread.start()
        try:
            if self._meeting.settle() == "ended":
                raise self._why_it_ended()
            self._prepare()
        except BaseException:
            self._meeting.leave()
            raise

    # What a person uses.

    @property
    def outcome(self) -> RunOutcome | None:
        """How the run ended; None while it goes on."""
        return self._finished.outcome if self._finished else None

    @property
    def task(self) -> Card:
        """The task, as every backbone gets it."""
        text = self._session.conversation.messages[1].text
        return Card(paragraph(text), text)

    @property
    def api(self) -> Card:
        """The library: what `system` and `tools` offer."""
        return Card(paragraph(self._library), self._library)

    @property
    def budget(self) -> dict[str, tuple[float, float]]:
        """What the run has used and may use, by the name of the limit."""
        return self._session.budget()

    def hypotheses(self, *texts: str) -> None:
        """Notes what the next experiment tests; they are part of the record."""
        self._hypotheses += texts

    def experiment(self) -> AbstractContextManager[None]:
        """Makes one experiment of a `with` block: what a script does instead of cells.

        with s.experiment():
            activations, images = tools.dataset_exemplars(system)
        """
        return self._following(Block(sys._getframe(1), self._ended, self._most_printed))

    def answer(self, **sections: str | list[str]) -> Finished:
        """Gives the final answer and ends the run.

        Args:
            **sections: The parts of the task's answer by their tags: `description="...", label=["...", "..."]`.

        Raises:
            StudyError: a part is missing, or the run has ended; the run goes on and the answer can be given again.
        """
        with self._lock:
            if self._meeting.settle() == "running":
                self._finish(self._open.so_far() if self._open else Execution())
            if self._meeting.settle() == "ended":
                raise self._why_it_ended()
            text = self._answer_text(sections)
            self._hypotheses.clear()
            if self._meeting.hand(self._reply(text)) != "ended":
                raise StudyError(self._watch.turn.mistake if self._watch.turn else "the answer was not taken")
            self._thread.join()
            if self._finished is None:
                raise self._why_it_ended()
            self._stop_following()
            return Finished(self._finished)

    def close(self) -> None:
        """Leaves the run, as Ctrl-C does in a terminal; `study(resume=FOLDER)` resumes it."""
        self._meeting.leave()
        self._thread.join()
        self._stop_following()

    def __repr__(self) -> str:
        state = self.outcome.status if self.outcome else f"turn {len(self._session.state.turns) + 1}"
        return f"<Study of {self._session.context.system.info.ref}: {state}; record in {self.folder}>"

    # The run's thread.

    def _drive(self, drive: Callable[[object], FinishedRun]) -> None:
        MEETING.set(self._meeting)
        try:
            self._finished = drive(self._watch)
        except BaseException as error:
            self._failure = error
        finally:
            self._meeting.end()

    # The person's thread.

    def _prepare(self) -> None:
        assert self._watch.session is not None  # It waits for a reply, so it has begun.
        session = self._session = self._watch.session
        context = session.context
        assert context.images is not None
        self.folder = context.images.folder.parent
        self._most_printed = context.config.experiment.output_chars
        tools = {c.name.partition("@")[0]: context.build("tool", c.name, **c.options) for c in context.config.tools}
        self._library = render_api(context.system, tools)
        info = context.system.info.model_dump(mode="json")

        def read_info() -> dict[str, Any]:
            """What is known of the unit by name: `info["model"]`, `info["layer"]`, `info["unit"]`."""
            return dict(info)

        methods = {name: getattr(context.system, name) for name in system_methods(context.system)}
        self.system = proxy("system", methods, self._ask, {"info": read_info})
        self.tools = proxy("tools", tools, self._ask)
        self._shell = _shell()
        if self._shell is not None:
            for name, value in NAMES.items():
                self._shell.user_ns.setdefault(name, value)
            self._cells = Cells(self._shell, self, self._ended, self._most_printed)
            self._present(self._welcome())

    def _welcome(self) -> Card:
        how = (
            "Every cell that calls `system` or `tools` is one experiment; it is recorded with what it prints, shows "
            'and returns. Note what it tests with s.hypotheses("...") before it. End with '
            f"{self._answer_form}. `tools.text2image?` shows how a tool is called.\n"
        )
        if self._resumed:
            count = self._session.state.experiments
            how += (
                f"Going on after {count} experiment{'s' * (count != 1)}: all results are kept (tools.results), but the "
                "variables of earlier cells are gone. Run the cells that define what you need.\n"
            )
        how += f"Record: {self.folder}"
        html = self.task._repr_html_() + folded("The library: Image, System, Tools", self._library) + paragraph(how)
        return Card(html, f"{self.task!r}\n{how}\n")

    @property
    def _answer_form(self) -> str:
        parts = ", ".join(f'{name}="..."' for name in self._fields)
        return f"s.answer({parts})"

    @property
    def _fields(self) -> dict[str, str]:
        """The arguments of `answer`, and the tags that they stand for."""
        return {tag.lower().replace(" ", "_"): tag for tag in self._session.task.tags}

    def _ask(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Carries out one call of a cell."""
        __tracebackhide__ = True
        given = [inward(value, method) for value in args]
        call = Call(method, given, {name: inward(value, method) for name, value in kwargs.items()})
        with self._lock:
            self._begin()
            try:
                self._meeting.hand(call)
            finally:
                shown, self._watch.shown = self._watch.shown, []
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
        phase = self._meeting.settle()
        if phase == "running" and self._open is not piece:
            self._finish(self._ending or Execution())  # Its end was interrupted.
            phase = self._meeting.settle()
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
        if self._meeting.hand(self._reply(replies.program_reply(program, hypotheses))) != "running":
            mistake = self._watch.turn.mistake if self._watch.turn else ""
            raise StudyError(mistake or one_line(self._why_it_ended()))

    def _ended(self, piece: Piece, execution: Execution) -> None:
        """Takes the end of a cell or block; see `maia_human.cells.Ended`."""
        with self._lock:
            if self._open is piece:
                self._ending = execution
                if self._meeting.settle() == "running":
                    self._finish(execution)
            elif self._cells is not None and not execution.error:
                self._definitions.append(programs.definitions(self._own(piece.source)))

    def _finish(self, execution: Execution) -> None:
        """Ends the experiment that is under way, and says where the run stands."""
        self._open = None
        phase = self._meeting.hand(execution)
        state, limits = self._session.state, self._session.limits
        line = f"Experiment {state.experiments} is recorded (turn {len(state.turns)} of {limits.turns})."
        if phase == "ended":
            line += f" {one_line(self._why_it_ended())}"
        elif state.final:
            reason = self._session.conversation.messages[-1].parts[-1]
            line += f" {getattr(reason, 'text', '')} Here: {self._answer_form}"
        self._present(Card(f'<div style="opacity:.6;font-size:12px">{escape(clean(line))}</div>', clean(line)))

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
            if self._open is not None and self._meeting.settle() == "running":
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

    def _answer_text(self, sections: Mapping[str, str | list[str]]) -> str:
        fields, task = self._fields, self._session.task
        texts: dict[str, list[str]] = {}
        for name, value in sections.items():
            if name not in fields:
                hint = did_you_mean(name, fields) or f" Its parts: {', '.join(fields)}."
                raise StudyError(f"the answer has no part '{name}'.{hint}")
            several = list(value) if isinstance(value, list | tuple) else [value]
            if not all(isinstance(text, str) for text in several):
                raise StudyError(f"{name} must be a text or a list of texts")
            texts[fields[name]] = several
        try:
            text = replies.answer_reply(texts)
            task.parse(parse_reply(text, task.tags).sections)
        except ReplyError as mistake:
            raise StudyError(f"{one_line(mistake)} Here: {self._answer_form}") from None
        return replies.answer_reply(texts, self._hypotheses)

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
        """Shows something, without making it part of what the code printed."""
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
