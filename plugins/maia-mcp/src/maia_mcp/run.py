"""One run that a client drives: it runs in a thread of its own, and waits there for the client's next call."""

from __future__ import annotations

import contextvars
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mcp.types import ContentBlock

from maia_core.plugin import (
    Event,
    Executed,
    HostCall,
    Image,
    ImageStore,
    MaiaError,
    Message,
    Part,
    ProgramStarted,
    RunOutcome,
    Session,
    TextPart,
    ToolError,
    Turn,
    hookimpl,
    one_line,
)
from maia_mcp.api import Method, methods_of
from maia_mcp.backbone import DRIVER
from maia_mcp.content import Images, content
from maia_mcp.programs import ImageIndex, short
from maia_runs import FinishedRun
from maia_vlm import with_descriptions

HOW_TO_WORK = """\
You work through tool calls, not through the form of replies that the task describes below:
- run_program(run="{run}", program=...) is an experiment: the program defines run_experiment(system, tools).
- Each method of `system` and `tools` is a tool too. Such a call is an experiment of one line; its result stays in the
  variable that the answer names, and run_program can use it. Pass an image by its id. Leave out `system`.
- submit_answer(run="{run}", ...) gives the final answer. results(run="{run}") lists everything that you logged.
- A call that takes long returns a ticket; wait(ticket) returns its result.
Each experiment and each answer is one turn of {turns}. A program can do many measurements in one turn."""

BEGINNING = 2
"""The messages that every run begins with: the library and the task."""

FAILED = (
    "The run has failed: a part of MAIA does not work. The record of the run has the details, for the person who "
    'started the server. Nothing is lost: start_run(resume="{run}") resumes it.'
)


@dataclass(frozen=True)
class Result:
    """What a client gets when a turn has ended.

    Attributes:
        content: Text first, then images.
        is_error: Whether the call made a mistake that the client can mend, or the run failed.
    """

    content: list[ContentBlock]
    is_error: bool = False


class ClientRun:
    """A run, seen from both sides: the run's thread and the server.

    Attributes:
        name: By which every call names the run.
        client: Name of the client that drives it.
        session: The session; None until the run has started.
        methods: What the client can call, by name; empty until then.
        index: The images that the client can name.
        failure: Why the run could not begin.
        turn: The turn that is under way, or the last one that has ended; 0 for the start.
        ended: Whether the run takes no more calls.
        ending: What the client reads of its end.
    """

    def __init__(self, name: str, client: str, images: Images, recorded: Sequence[Event] = ()) -> None:
        """Makes a run that has not begun.

        Args:
            name: Its name.
            client: Name of the client.
            images: How the client gets images.
            recorded: The events of a run that is resumed.
        """
        self.name, self.client, self.images = name, client, images
        self.session: Session | None = None
        self.methods: dict[str, Method] = {}
        self.index = ImageIndex()
        self.failure: Exception | None = None
        self.ending = ""
        self.touched = time.monotonic()
        self._recorded = recorded
        self._changed = threading.Condition()
        self._results: dict[int, Result] = {}
        self._reply: str | None = None
        self._notes: list[str] = []
        self._waits = self._left = self.ended = False
        self.turn = self._calls = 0

    # The server's side.

    def start(self, drive: Callable[[object], FinishedRun], said: Callable[[str], None]) -> None:
        """Starts the run's thread.

        Args:
            drive: Drives the run to its end, with an observer.
            said: Takes lines for the person who started the server.
        """
        context = contextvars.copy_context()
        work = threading.Thread(target=context.run, args=[self._drive, drive, said], daemon=True, name=self.name)
        self._thread = work
        work.start()

    def submit(self, make: Callable[[int], str], is_answer: bool = False) -> int:
        """Hands a reply to the run, and returns its turn.

        Args:
            make: Returns the reply of a turn.
            is_answer: Whether it is the final answer.

        Raises:
            ToolError: the run works on another call, has ended, or takes no more programs.
        """
        with self._changed:
            self.touched = time.monotonic()
            if self.ended:
                raise ToolError(f"the run {self.name} has ended; start another with start_run")
            if not self._waits or self._reply is not None or self.session is None:
                ticket = ticket_of(self.name, self.turn)
                raise ToolError(f'the run {self.name} works on another call; wait for it: wait(ticket="{ticket}")')
            if self.session.state.final and not is_answer:
                raise ToolError("the run takes no more experiments; give your answer with submit_answer")
            turn = len(self.session.state.turns) + 1
            self._reply = make(turn)
            self._waits, self.turn, self._calls = False, turn, 0
            self._changed.notify_all()
            return turn

    def result(self, turn: int, seconds: float) -> Result | None:
        """Returns the result of a turn, or of the start (turn 0); None if it is not there after some seconds."""
        with self._changed:
            self._changed.wait_for(lambda: turn in self._results, seconds)
            self.touched = time.monotonic()
            return self._results.get(turn)

    def progress(self) -> str:
        """Returns what the run does, for a progress notification."""
        if self.session is None:
            return "loading the model and its parts"
        return f"turn {self.turn}: {self._calls} calls of system and tools so far"

    @property
    def messages(self) -> Sequence[Message]:
        """The conversation so far."""
        return self.session.conversation.messages if self.session else ()

    def note(self, text: str) -> None:
        """Adds a note to the record when the run's thread next writes."""
        self._notes.append(text)

    def leave(self) -> None:
        """Ends the run as interrupted, as soon as it waits for a reply."""
        with self._changed:
            self._left = True
            self._changed.notify_all()

    def join(self, seconds: float) -> bool:
        """Waits for the end of the run's thread; False if it has not ended by then."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    # The run's side.

    def reply(self, messages: Sequence[Message]) -> str:
        """See `maia_mcp.backbone.Driver`."""
        session = self.session
        assert session is not None
        for text in self._notes:
            session.note(text)
        self._notes.clear()
        result = self._shown(session, messages)
        with self._changed:
            self._results[self.turn] = result
            self._waits = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._reply is not None or self._left)
            self._waits = False
            if self._left:
                raise KeyboardInterrupt
            reply, self._reply = self._reply, None
        assert reply is not None
        return reply

    @hookimpl
    def run_started(self, session: Session) -> None:
        """Takes the session, and the images that its record holds."""
        store = session.context.images
        assert store is not None
        for event in self._recorded:
            self.index.take(event, store)
        self._recorded = ()
        self.methods = methods_of(session.context.system, session.context.tools())
        self.session = session

    @hookimpl
    def tool_called(self, call: HostCall) -> None:
        """Takes the images of the call's result."""
        self._calls += 1
        self.index.take(call, self._store)

    @hookimpl
    def turn_finished(self, turn: Turn) -> None:
        """Forgets the variables of a sandbox that was restarted."""
        if turn.execution is not None:
            self.index.take(Executed(turn=turn.number, execution=turn.execution), self._store)

    @property
    def _store(self) -> ImageStore:
        assert self.session is not None
        assert self.session.context.images is not None
        return self.session.context.images

    def begins(self, turn: int, program: str) -> None:
        """Takes the program that a turn will run."""
        self.index.take(ProgramStarted(turn=turn, program=program), self._store)

    def _shown(self, session: Session, messages: Sequence[Message]) -> Result:
        """Lays out the messages that are new to the client."""
        turns, first = session.state.turns, not self._results
        for message in messages if first else messages[-1:]:
            self.index.show(message)
        shown = [*(messages[:BEGINNING] if first else ()), *(messages[-1:] if turns else ())]
        if self.images == "text":
            shown = with_descriptions(shown, session.context.describer)
        parts: list[Part] = [part for message in shown for part in message.parts]
        if first:
            limit = session.limits.turns
            head = f"The run is {self.name}.\n\n{HOW_TO_WORK.format(run=self.name, turns=limit)}\n"
            if turns:
                head += f"\nThe run is resumed after turn {len(turns)}; its last result stands at the end.\n"
            parts = [TextPart(text=head), *parts]
        elif variable := self.index.variable:
            parts.append(TextPart(text=f"In run_program, this result is the variable {variable}."))
        last = turns[-1] if turns and not first else None
        wrong = bool(last and (last.mistake or (last.execution and last.execution.error)))
        return Result(self._content(parts), wrong)

    def _content(self, parts: Sequence[Part]) -> list[ContentBlock]:
        def activation(image: Image) -> float | None:
            return self.index.activations.get(short(image))

        return content(parts, activation, self.images, self.name)

    def _drive(self, drive: Callable[[object], FinishedRun], said: Callable[[str], None]) -> None:
        DRIVER.set(self)
        ending, is_error = FAILED.format(run=self.name), True
        try:
            finished = drive(self)
            outcome = finished.outcome
            is_error = outcome.status == "failed"
            ending = _ending_of(outcome, self.name)
            said(f"run {self.name} has ended ({outcome.status}{outcome.reason and f': {outcome.reason}'})")
            for line in (f"record: {finished.folder}", *finished.lines):
                said(line)
        except KeyboardInterrupt:
            ending, is_error = f'The run is stopped. start_run(resume="{self.name}") resumes it.', False
            said(f"run {self.name} is stopped")
        except Exception as error:
            self.failure = error
            said(f"run {self.name} failed: {one_line(error)}")
            if not isinstance(error, MaiaError):
                said(traceback.format_exc())
        finally:
            result = Result(self._content([TextPart(text=ending)]), is_error)
            with self._changed:
                self.ended, self._waits, self.ending = True, False, ending
                self._results.setdefault(self.turn, result)
                self._changed.notify_all()


def _ending_of(outcome: RunOutcome, run: str) -> str:
    """Returns what a client reads of the end of a run; of a failure only that it happened."""
    if outcome.status == "failed":
        return FAILED.format(run=run)
    if outcome.status != "answered":
        return f"The run has ended without an answer: {outcome.reason}."
    taken = "MAIA takes your answer; the run has ended."
    return f"{taken}\n{outcome.verdict.line}" if outcome.verdict else taken


def ticket_of(run: str, turn: int) -> str:
    """Returns the ticket of a turn's result."""
    return f"{run}.{turn}"


def read_ticket(ticket: str) -> tuple[str, int]:
    """Returns the run and the turn of a ticket.

    Raises:
        ToolError: it is not a ticket.
    """
    run, dot, turn = ticket.rpartition(".")
    if not dot or not (turn.isascii() and turn.isdigit() and len(turn) < 6):
        raise ToolError("this is not a ticket; a call that takes long returns one, such as 20261130-152400-1a2b.3")
    return run, int(turn)
