"""One run that a client drives: it runs in a thread of its own, and waits there for the client's next call."""

from __future__ import annotations

import contextvars
import threading
import time
import traceback
from collections.abc import Callable, Sequence

from maia_core.plugin import (
    Event,
    Executed,
    HostCall,
    ImageStore,
    MaiaError,
    Message,
    ProgramStarted,
    Session,
    Task,
    ToolError,
    Turn,
    hookimpl,
    one_line,
)
from maia_mcp.api import Method, methods_of
from maia_mcp.backbone import DRIVER
from maia_mcp.clients import Client
from maia_mcp.content import Images
from maia_mcp.programs import ImageIndex
from maia_mcp.results import FAILED, Layout, Result, ending_of
from maia_runs import FinishedRun


class ClientRun:
    """A run, seen from both sides: the run's thread and the server.

    Attributes:
        name: By which every call names the run.
        client: The client that drives it.
        session: The session; None before the run has started, and when it has ended.
        task: The question; None before the run has started, and when it has ended.
        messages: The conversation so far.
        methods: What the client can call, by name; empty until then.
        index: The images that the client can name.
        resumes: Whether it is a run that was recorded before.
        failure: Why the run could not begin.
        turn: The turn that is under way, or the last one that has ended; 0 for the start.
        left: Whether it ends as soon as it waits for a reply.
        ended: Whether the run takes no more calls.
        ending: What the client reads of its end.
    """

    def __init__(self, name: str, client: Client, images: Images, recorded: Sequence[Event] = ()) -> None:
        """Makes a run that has not begun.

        Args:
            name: Its name.
            client: The client that drives it.
            images: How the client gets images.
            recorded: The events of a run that is resumed.
        """
        self.name, self.client = name, client
        self.session: Session | None = None
        self.methods: dict[str, Method] = {}
        self.task: Task | None = None
        self.messages: Sequence[Message] = ()
        self.index = ImageIndex()
        self._layout = Layout(name, images, self.index)
        self.failure: Exception | None = None
        self.ending = ""
        self.touched = time.monotonic()
        self.resumes, self._recorded = bool(recorded), recorded
        self._changed = threading.Condition()
        self._results: dict[int, Result] = {}
        self._reply: str | None = None
        self._notes: list[str] = []
        self._waits = self.left = self.ended = self._answers = False
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
            if self.ended or self.left:
                raise ToolError(self.over())
            if not self._waits or self._reply is not None or self.session is None:
                ticket = ticket_of(self.name, self.turn)
                raise ToolError(f'the run {self.name} works on another call; wait for it: wait(ticket="{ticket}")')
            if self.session.state.final and not is_answer:
                raise ToolError("the run takes no more experiments; give your answer with submit_answer")
            turn = len(self.session.state.turns) + 1
            self._reply = make(turn)
            self._answers = is_answer
            self._waits, self.turn, self._calls = False, turn, 0
            self._changed.notify_all()
            return turn

    def result(self, turn: int, seconds: float) -> Result | None:
        """Returns the result of a turn, or of the start (turn 0); None if it is not there after some seconds."""
        with self._changed:
            self._changed.wait_for(lambda: turn in self._results, seconds)
            self.touched = time.monotonic()
            return self._results.get(turn)

    def is_lost(self, turn: int) -> bool:
        """Returns whether a turn ended before the run was resumed: its result does not come again."""
        with self._changed:
            return turn not in self._results and (turn < self.turn or self._waits)

    def progress(self) -> str:
        """Returns what the run does, for a progress notification."""
        if self.session is None:
            return "loading the model and its parts"
        if self._answers:
            return f"turn {self.turn}: testing the answer"
        return f"turn {self.turn}: {self._calls} calls of system and tools so far"

    def over(self) -> str:
        """Returns why an ended run takes no calls, and what to do."""
        if self.left:
            return f'the run {self.name} is stopped; start_run(resume="{self.name}") resumes it'
        return f"the run {self.name} has ended; start another with start_run"

    def note(self, text: str) -> None:
        """Adds a note to the record when the run's thread next writes."""
        self._notes.append(text)

    def leave(self) -> None:
        """Ends the run as interrupted, as soon as it waits for a reply."""
        with self._changed:
            self.left = True
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
        layout = self._layout
        result = layout.next(session, messages[-1]) if self._results else layout.first(session, messages)
        with self._changed:
            if not self._results:  # Of a resumed run, the next turn follows the recorded ones.
                self.turn = len(session.state.turns)
                self._results[0] = result
            self._results[self.turn] = result
            self._waits = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._reply is not None or self.left)
            self._waits = False
            if self.left:
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
        self.session, self.task = session, session.task
        self.messages = session.conversation.messages

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

    def _drive(self, drive: Callable[[object], FinishedRun], said: Callable[[str], None]) -> None:
        DRIVER.set(self)
        ending, is_error = FAILED.format(run=self.name), True
        try:
            finished = drive(self)
            outcome = finished.outcome
            is_error = outcome.status == "failed"
            ending = ending_of(outcome, self.name)
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
            result = self._layout.ending(ending, is_error)
            with self._changed:
                self.ended, self._waits, self.ending = True, False, ending
                # They hold the model, as does a traceback; messages and logged results stay.
                self.session = self.task = None
                self._recorded = ()
                if self.failure is not None:
                    self.failure.__traceback__ = self.failure.__cause__ = self.failure.__context__ = None
                self._results.setdefault(self.turn, result)
                self._changed.notify_all()


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
