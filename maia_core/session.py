"""One run, step by step: the agent, a person in a notebook and a resumed run all drive the same `Session`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from maia_core.context import Context
from maia_core.context_policy import Conversation
from maia_core.errors import ReplyError
from maia_core.events import Asked, Executed, HostCall, MessageAdded, ProgramStarted, Replied, RunOutcome
from maia_core.feedback import REPEATED, UNSUPPORTED, feedback, final_request
from maia_core.host import ToolHost
from maia_core.journal import Journal
from maia_core.observers import Observers
from maia_core.prompt import render_system_prompt
from maia_core.protocols import Sandbox, Task, Verifier
from maia_core.replies import parse_reply
from maia_core.session_totals import SessionState, SessionTotals
from maia_core.types import BackboneInfo, Execution, Message, Reply, Turn, Verdict
from maia_core.verification import Verification, objection


class Session(SessionTotals):
    """One unit under study: a conversation, a sandbox and a record.

    Attributes:
        context: The parts of the run.
        task: The question.
        state: The state of the run.
        conversation: The messages, and which of them a backbone is sent.
        lines: Lines of observers for the user, once the run has ended.
    """

    def __init__(
        self,
        context: Context,
        *,
        task: Task,
        tools: Mapping[str, Callable[..., Any]],
        sandbox: Sandbox,
        journal: Journal | None = None,
        observers: Observers | None = None,
        verifier: Verifier | None = None,
    ) -> None:
        self.context = context
        self.task = task
        self.state = SessionState()
        self.conversation = Conversation()
        self.limits = context.config.limits
        self.journal = journal or Journal()
        self.lines: tuple[str, ...] = ()
        self._timed = True
        self._tools = tools
        self._sandbox = sandbox
        self._observers = observers or Observers()
        verifiable = verifier is not None and getattr(task, "verifiable", False)
        self._verification = Verification(verifier, context, task, self.journal) if verifier and verifiable else None
        self._host = ToolHost(context, tools, self.journal, on_call=self._called, used_up=self._used_up)
        self._program_began = 0.0

    def start(self) -> None:
        """Begins the run, or a resumed run: tells the observers, and adds the system prompt and the task."""
        self.context.warn_to(self.note)
        self._tell("run_started")
        sections = [str(section) for section in self._tell("prompt_sections")]
        limits, has_numpy = self.context.config.experiment, getattr(self._sandbox, "has_numpy", True)
        system_prompt = render_system_prompt(self.context.system, self._tools, limits, has_numpy)
        self._say(Message.of("system", system_prompt))
        self._say(Message.of("user", "\n\n".join([self.task.prompt(self.context.system.info), *sections])))

    def execute(self, program: str, hypotheses: Sequence[str] = ()) -> Execution:
        """Runs one program in the sandbox, and returns its result with the texts and images that its tools showed."""
        number = len(self.state.turns) + 1
        self.journal.repeat(ProgramStarted(turn=number, program=program, hypotheses=tuple(hypotheses)))
        self._host.begin(number)
        self.context.take_shown()
        if (skipped := self.journal.skip(number)) is not None:
            calls, execution = skipped
            for call in calls:
                self._host.repeat(call)
            return execution
        self._program_began = time.perf_counter()
        execution = self._sandbox.run(program, self._host)
        shown = self.context.take_shown()  # Images of the returned value that a tool has shown are not repeated.
        returned = [part for part in execution.displays if part not in shown]
        execution = execution.model_copy(update={"displays": (*shown, *returned)})
        return self.journal.repeat(Executed(turn=number, execution=execution)).execution

    def ask(self, info: BackboneInfo, because: str = "") -> Asked:
        """Records which messages a backbone is sent next; `conversation.sent` returns them."""
        self._timed = info.timed
        turn, policy, most = len(self.state.turns) + 1, self.context.config.context_policy, self.limits.reply_tokens
        asked = self.journal.once(Asked, lambda: self.conversation.ask(turn, policy, info, most, because))
        self.conversation.take(asked)
        return asked

    def submit(self, reply: Reply) -> Turn:
        """Takes a reply that was made elsewhere, such as by a person; see `take`."""
        return self.take(self.journal.repeat(Replied(turn=len(self.state.turns) + 1, reply=reply)))

    def take(self, replied: Replied) -> Turn:
        """Takes the reply of a turn: runs its program, tests its answer, or tells the backbone its mistake."""
        self.conversation.take(replied)
        repeated = self.journal.replaying  # Then the observers know the turn.
        state, turn = self.state, self._turn(replied.turn, replied.reply)
        state.turns.append(turn)
        state.usage += replied.reply.usage
        state.mistakes = state.mistakes + 1 if turn.mistake else 0
        state.experiments += turn.execution is not None
        state.seconds += replied.seconds * self._timed + (turn.execution.seconds if turn.execution else 0.0)
        if state.answer is None:
            self._say(feedback(turn, self.limits.turns))
        elif self._verification is not None:
            verdict = self._test(self._verification, state.answer)
            turn = state.turns[-1] = turn.model_copy(update={"verdict": verdict})
        if not repeated:
            self._tell("turn_finished", turn=turn)
        return turn

    def ask_for_answer(self, reason: str) -> None:
        """Asks the backbone for its final answer."""
        self.state.final = True
        self._say(final_request(reason, self.task.tags))

    def keep_best_answer(self) -> None:
        """Makes the best of the tested answers the run's answer, if the run has none."""
        if self._verification is not None:
            self.state.answer = self.state.answer or self._verification.best

    def limit_reached(self) -> str:
        """Returns which limit of the run is used up, or why an observer stops the run; empty if it may continue."""
        reason = self.budget().used_up() or ("the run's record is full" if self.journal.full() else "")
        if self.journal.replaying:  # The record says where the run stopped: its limits may have been raised since.
            return (reason or "an observer stopped the run") if self.journal.next_is(MessageAdded) else ""
        if reason:
            return reason
        return next((reason for reason in self._tell("should_stop") if reason and isinstance(reason, str)), "")

    def finish(self, outcome: RunOutcome) -> RunOutcome:
        """Records how the run ended, and tells the observers."""
        self.journal.finish(outcome)
        self.lines = tuple(map(str, self._tell("run_finished", outcome=outcome)))
        return outcome

    def close(self) -> None:
        """Ends the sandbox's worker."""
        self._sandbox.close()

    def note(self, text: str) -> None:
        """Adds a note for readers of the record."""
        self.journal.note(text)
        if not self.journal.replaying:
            self._observers.tell("noted", text=text)

    def _turn(self, number: int, reply: Reply) -> Turn:
        try:
            if reply.stop == "refusal":
                raise ReplyError("You declined. The task is a measurement on a vision model; please continue.")
            state, task = self.state, "".join(message.text for message in self.conversation.messages[1:2])
            parsed = parse_reply(reply.text, self.task.tags, task, cut=reply.stop == "length", final=state.final)
            done = self.execute(parsed.program, parsed.hypotheses) if parsed.program else None
            if done is None and not self.measured:
                state.unsupported += 1
                raise ReplyError(UNSUPPORTED)
            if done is None:
                state.answer = self.task.parse(parsed.sections)
                if parsed.note:
                    self.note(parsed.note)
            again = done is not None and parsed.program in [turn.program for turn in state.turns]
            own = {"program": parsed.program, "hypotheses": parsed.hypotheses, "note": REPEATED * again or parsed.note}
            return Turn(number=number, reply=reply, execution=done, **own)
        except ReplyError as mistake:
            return Turn(number=number, reply=reply, mistake=str(mistake))

    def _test(self, verification: Verification, answer: BaseModel) -> Verdict:
        """Tests the answer. While the run may continue, one that fails is withdrawn, and the backbone learns why."""
        verdict, repeated = verification.test(answer, len(self.state.turns))
        tests_left = self.limits.verifications - len(verification.tested)
        if verdict.passed or not verdict.measured:
            return verdict
        if repeated or not tests_left or self.state.final:
            self.state.answer = verification.best
            kept = verification.verdict_on(self.state.answer)
            self.note(f"MAIA keeps the best of {len(verification.tested)} tested answers: {kept.line if kept else ''}")
        else:
            self.state.answer = None
            self._say(objection(verdict, tests_left))
        return verdict

    def _used_up(self) -> str:
        """Returns which budget the running program has used up: one program can make thousands of calls."""
        return self.budget().used_up(("seconds", "tokens", "cost"), time.perf_counter() - self._program_began)

    def _say(self, message: Message) -> None:
        hide: Callable[[Message], Message] = getattr(self.task, "hide", lambda message: message)
        self.conversation.take(self.journal.repeat(MessageAdded(message=hide(message))))

    def _called(self, call: HostCall, repeated: bool) -> None:
        self.conversation.take(call)
        if not repeated:
            self._tell("tool_called", call=call)

    def _tell(self, hook: str, **arguments: Any) -> list[Any]:
        results = self._observers.tell(hook, session=self, **arguments)
        for problem in self._observers.take_problems():
            self.note(problem)
        return results


def make_session(context: Context, journal: Journal | None = None, observers: Iterable[object] = ()) -> Session:
    """Returns a started session of the tools, the task and the sandbox that the context's configuration chooses."""
    session = Session(
        context,
        task=context.part("task"),
        tools=context.tools(),
        sandbox=context.part("sandbox"),
        journal=journal,
        observers=context.observers.joined_by(observers),
        verifier=context.part("verifier") if context.config.verify else None,
    )
    session.start()
    return session
