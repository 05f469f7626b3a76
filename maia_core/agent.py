"""The loop: ask the backbone, run its program, show it what came back, until it answers.

A `Session` is the steppable object under the loop: the agent, a person in a notebook and a replay all drive the same
one. `run` is the loop and nothing else.
"""

from __future__ import annotations

import itertools
import random
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from maia_core.context import Context
from maia_core.context_policy import Conversation
from maia_core.errors import (
    BackboneBusy,
    BackboneError,
    ContextTooLong,
    MaiaError,
    RecordError,
    ReplyError,
    one_line,
)
from maia_core.host import ToolHost
from maia_core.observers import Observers
from maia_core.prompt import render_system_prompt
from maia_core.protocols import Backbone, Sandbox, Task, Verifier
from maia_core.record import (
    Asked,
    Executed,
    HostCall,
    MessageAdded,
    Noted,
    ProgramStarted,
    Replied,
    RunOutcome,
    Status,
    Verified,
)
from maia_core.replay import Journal
from maia_core.replies import parse_reply
from maia_core.types import (
    BackboneInfo,
    CallLimits,
    Execution,
    Explanation,
    Message,
    Part,
    Reply,
    TextPart,
    Turn,
    Usage,
    Verdict,
    as_part,
)

LAST_CALL = "Do not write another program"
"""What the backbone is told when the run ends, so that one with a screen can tell."""


@dataclass
class SessionState:
    """What has happened so far; derived from the events alone."""

    turns: list[Turn] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    """Time of the replies and the experiments."""
    experiments: int = 0
    mistakes: int = 0
    """Malformed replies in a row."""
    final: bool = False
    """True once the final answer was asked for: no more programs are run."""
    answer: BaseModel | None = None
    tested: list[tuple[BaseModel, Verdict]] = field(default_factory=list)
    """Answers that were tested, oldest first, and what came of it."""


class Session:
    """One unit under study: a conversation, a sandbox and a record.

    Attributes:
        context: The parts of the run.
        task: The question.
        state: What has happened so far.
        conversation: The messages, and which of them a backbone is sent.
        lines: Lines that observers want the user to see when the run has ended.
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
        self.lines: tuple[str, ...] = ()
        self._timed = True
        self.limits = context.config.limits
        self.journal = journal or Journal()
        self._sandbox = sandbox
        self._observers = observers or Observers()
        self._verifier = verifier
        self._host = ToolHost(context, tools, self.journal, on_call=self._called, used_up=self._used_up)
        self._program_began = 0.0
        context.warn_to(self.note)
        self._tell("run_started")
        sections = [str(section) for section in self._tell("prompt_sections")]
        system_prompt = render_system_prompt(context.system, tools, context.config.experiment)
        self._say(Message.of("system", system_prompt))
        self._say(Message.of("user", "\n\n".join([task.prompt(context.system.info), *sections])))

    # What drives a session.

    def execute(self, program: str, hypotheses: Sequence[str] = ()) -> Execution:
        """Runs one program in the sandbox and returns what came of it, with what its tools displayed."""
        number = len(self.state.turns) + 1
        self.journal.append(ProgramStarted(turn=number, program=program, hypotheses=tuple(hypotheses)))
        self._host.begin(number)
        self.context.take_shown()
        if (skipped := self.journal.skip(number)) is not None:
            calls, execution = skipped
            for call in calls:
                self._host.repeat(call)
            return execution
        self._program_began = time.perf_counter()
        execution = self._sandbox.run(program, self._host)
        execution = execution.model_copy(update={"displays": tuple(self.context.take_shown())})
        recorded = self.journal.recorded(Executed)
        self.journal.append(Executed(turn=number, execution=execution))
        return recorded.execution if recorded else execution

    def ask(self, info: BackboneInfo, because: str = "") -> Asked:
        """Records what of the conversation a backbone is sent next; `conversation.sent` has the messages."""
        self._timed = info.timed
        turn, policy, reply_tokens = (
            len(self.state.turns) + 1,
            self.context.config.context_policy,
            self.limits.reply_tokens,
        )
        asked = self.journal.recorded(Asked) or self.conversation.ask(turn, policy, info, reply_tokens, because)
        self.journal.append(asked)
        self.conversation.take(asked)
        return asked

    def submit(self, reply: Reply, seconds: float = 0.0, engines: Usage | None = None) -> Turn:
        """Takes one reply: runs its program, or validates its answer, or says what is wrong with it.

        Args:
            reply: What the backbone said.
            seconds: How long it took.
            engines: What engines used meanwhile; the context has counted it.
        """
        number = len(self.state.turns) + 1
        replied = Replied(turn=number, reply=reply, seconds=seconds, engines=engines or Usage())
        self.journal.append(replied)
        self.conversation.take(replied)
        self.state.usage += reply.usage
        turn = self._take(number, reply)
        self.state.turns.append(turn)
        self.state.mistakes = self.state.mistakes + 1 if turn.mistake else 0
        self.state.experiments += turn.execution is not None
        self.state.seconds += seconds * self._timed + (turn.execution.seconds if turn.execution else 0.0)
        repeated = self.journal.replaying  # Then the observers were told before.
        if self.state.answer is None:
            self._say(self._feedback(turn))
        elif self._verifier is not None and getattr(self.task, "verifiable", False):
            verdict = self._verify(self._verifier, self.state.answer)
            turn = self.state.turns[-1] = turn.model_copy(update={"verdict": verdict})
        if not repeated:
            self._tell("turn_finished", turn=turn)
        return turn

    def ask_for_answer(self, reason: str) -> None:
        """Asks the backbone to answer now with what it has."""
        self.state.final = True
        tags = " and ".join(f"[{tag}]:" for tag in self.task.tags)
        self._say(
            Message.of(
                "user",
                f"The run ends here: {reason}. {LAST_CALL}. Give your final answer now, from what "
                f"your experiments have shown so far, under {tags}.",
            )
        )

    @property
    def folder(self) -> Path | None:
        """The run folder; None for a run that is not recorded."""
        return self.context.images.folder.parent if self.context.images else None

    @property
    def turns(self) -> Sequence[Turn]:
        """The turns so far."""
        return self.state.turns

    @property
    def usage(self) -> Usage:
        """What the backbone and the engines have used."""
        return self.state.usage + self.context.spent

    def budget(self) -> dict[str, tuple[float, float]]:
        """Returns what the run has used and may use, by the name of the limit."""
        state, limits = self.state, self.limits
        usage = self.usage
        return {
            "turns": (len(state.turns), limits.turns),
            "experiments": (state.experiments, limits.experiments),
            "seconds": (state.seconds, limits.seconds),
            "tokens": (usage.tokens, limits.tokens),
            "cost": (usage.cost, limits.cost),
            "images": (self.context.generated, limits.images),
        }

    def limit_reached(self) -> str:
        """Returns which limit of the run is used up, or an empty string."""
        if reason := self._over(tuple(self.budget())):
            return reason
        if self.journal.replaying:
            asked = self.journal.recorded(MessageAdded)
            return "the run was told to stop" if asked else ""
        reasons = [reason for reason in self._tell("should_stop") if isinstance(reason, str)]
        return next(filter(None, reasons), "")

    def finish(self, outcome: RunOutcome) -> RunOutcome:
        """Records how the run ended and tells the observers."""
        self.journal.append(outcome)
        self.lines = tuple(map(str, self._tell("run_finished", outcome=outcome)))
        return outcome

    def outcome(self, status: Status, reason: str = "") -> RunOutcome:
        """Sums up the session as an outcome of the given status."""
        answer = self.state.answer
        return RunOutcome(
            status=status,
            reason=reason,
            answer=answer.model_dump(mode="json") if answer else {},
            explanation=self.task.explanation(answer) if answer else None,
            verdict=next((verdict for old, verdict in reversed(self.state.tested) if old is answer), None),
            turns=len(self.state.turns),
            usage=self.usage,
            seconds=self.state.seconds,
        )

    def close(self) -> None:
        """Ends the sandbox's worker."""
        self._sandbox.close()

    def note(self, text: str) -> None:
        """Adds a line that a reader of the record must know."""
        self.journal.append(Noted(text=text))
        if not self.journal.replaying:
            self._observers.tell("noted", text=text)

    # How it works inside.

    def _take(self, number: int, reply: Reply) -> Turn:
        try:
            if reply.stop == "refusal":
                raise ReplyError("You declined. The task is a measurement on a vision model; please go on with it.")
            if reply.stop == "length":
                raise ReplyError("Your reply was cut off at its length limit. Send a shorter one.")
            parsed = parse_reply(reply.text, self.task.tags)
            if parsed.program and self.state.final:
                raise ReplyError("The run is over; no more programs are run.")
            if parsed.program:
                execution = self.execute(parsed.program, parsed.hypotheses)
                return Turn(
                    number=number,
                    reply=reply,
                    program=parsed.program,
                    hypotheses=parsed.hypotheses,
                    execution=execution,
                )
            self.state.answer = self.task.parse(parsed.sections)
            return Turn(number=number, reply=reply, hypotheses=parsed.hypotheses)
        except ReplyError as mistake:
            return Turn(number=number, reply=reply, mistake=str(mistake))

    def _verify(self, verifier: Verifier, answer: BaseModel) -> Verdict:
        """Tests the answer; one that fails is withdrawn while the run may go on, and the backbone is told why.

        An answer that comes again is not tested again: the backbone insists.
        """
        state, explanation = self.state, self.task.explanation(answer)
        before = [verdict for old, verdict in state.tested if self.task.explanation(old).labels == explanation.labels]
        verdict = before[-1] if before else self._tested(verifier, explanation)
        state.tested.append((answer, verdict))
        tests_left = self.limits.verifications - len(state.tested)
        if verdict.passed or not verdict.measured:
            return verdict
        state.answer = None
        if before or not tests_left or state.final:
            state.answer = self._best_tested()
        else:
            self._say(_objection(verdict, tests_left))
        return verdict

    def _tested(self, verifier: Verifier, explanation: Explanation) -> Verdict:
        """Tests an answer, or takes from the record what came of it."""
        recorded = self.journal.recorded(Verified)
        if recorded is None:
            spent, started = self.context.spent, time.perf_counter()
            try:
                verdict = verifier.verify(explanation, self.context, len(self.state.tested) + 1)
            except MaiaError as error:  # The answer must not be lost over it.
                verdict = Verdict(passed=False, measured=False, summary=f"It could not be tested: {one_line(error)}")
            usage, seconds = self.context.spent - spent, time.perf_counter() - started
            recorded = Verified(turn=len(self.state.turns), verdict=verdict, usage=usage, seconds=seconds)
        else:
            self.context.spend(recorded.usage)
        self.journal.append(recorded)
        self.state.seconds += recorded.seconds
        return recorded.verdict

    def _best_tested(self) -> BaseModel | None:
        """Returns the answer that held most of its checks, of equals the last; None where none was tested."""
        tested = reversed(self.state.tested)
        return max(tested, key=lambda pair: pair[1].held, default=(None, None))[0]

    def _feedback(self, turn: Turn) -> Message:
        budget = f"(turn {turn.number} of {self.limits.turns})"
        if turn.execution is None:
            return Message.of("user", f"{turn.mistake} {budget}")
        return Message.of("user", *execution_parts(turn.execution), budget)

    def _used_up(self) -> str:
        """Says which budget the present program has used up: one program can make thousands of calls."""
        return self._over(("seconds", "tokens", "cost"), time.perf_counter() - self._program_began)

    def _over(self, names: Sequence[str], running: float = 0.0) -> str:
        """Says which of some budgets is used up, in a program that runs for so many seconds; empty if none is."""
        budget = self.budget()
        for name in names:
            used, allowed = budget[name]
            if used + running * (name == "seconds") >= allowed:
                return f"the run's budget of {allowed:g} {name} is used (limits.{name})"
        return ""

    def _say(self, message: Message) -> None:
        recorded = self.journal.recorded(MessageAdded)
        said = MessageAdded(message=message)
        self.journal.append(said)
        self.conversation.take(recorded or said)

    def _called(self, call: HostCall, repeated: bool) -> None:
        self.conversation.take(call)
        if not repeated:
            self._tell("tool_called", call=call)

    def _tell(self, hook: str, **arguments: Any) -> list[Any]:
        results = self._observers.tell(hook, session=self, **arguments)
        for problem in self._observers.take_problems():
            self.note(problem)
        return results


def run(session: Session, backbone: Backbone) -> RunOutcome:
    """Drives a session until the backbone answers, a limit is reached or something fails for good.

    `KeyboardInterrupt` is recorded as an interrupted run and raised again.
    """
    try:
        return session.finish(_loop(session, backbone))
    except KeyboardInterrupt:
        session.finish(session.outcome("interrupted", "stopped by the user"))
        raise


def _loop(session: Session, backbone: Backbone) -> RunOutcome:
    state = session.state
    try:
        while not (reason := session.limit_reached()):
            _turn(session, backbone)
            if state.answer is not None:
                return session.outcome("answered")
            if state.mistakes >= session.limits.malformed:
                reason = f"{state.mistakes} malformed replies in a row (limits.malformed)"
                if all(turn.reply.stop == "refusal" for turn in state.turns[-state.mistakes :]):
                    reason = f"the backbone refused {state.mistakes} times in a row; choose another backbone or model"
                return session.outcome("failed", reason)
        session.ask_for_answer(reason)
        _turn(session, backbone)
        state.answer = state.answer or session._best_tested()
        return session.outcome("answered" if state.answer is not None else "stopped", reason)
    except MaiaError as error:
        return session.outcome("failed", one_line(error))
    except Exception as error:
        session.note(f"the run failed: {traceback.format_exc()}")
        return session.outcome("failed", one_line(error))


def _turn(session: Session, backbone: Backbone) -> Turn:
    asked = session.ask(backbone.info)
    while session.journal.recorded(Asked):  # The recorded run asked again, or was killed while it waited.
        asked = session.ask(backbone.info)
    recorded = session.journal.recorded(Replied)
    if recorded is not None:
        session.context.spend(recorded.engines)
        return session.submit(recorded.reply, recorded.seconds, recorded.engines)
    if session.journal.replaying:
        raise RecordError("the run does not repeat as recorded: the record holds no reply here. Start a new run")
    started, spent = time.perf_counter(), session.context.spent
    reply = _reply(session, backbone, asked)
    return session.submit(reply, time.perf_counter() - started, session.context.spent - spent)


def _reply(session: Session, backbone: Backbone, asked: Asked) -> Reply:
    """Calls the backbone; a conversation that is too long for it is shortened."""
    while True:
        try:
            return _call(session, backbone, session.conversation.sent(asked))
        except ContextTooLong as error:
            if not session.conversation.shorter(asked):
                raise
            asked = session.ask(backbone.info, because=one_line(error))


def _call(session: Session, backbone: Backbone, messages: Sequence[Message]) -> Reply:
    """Calls the backbone, again after passing failures: with back-off, jitter, and bounds on number and time."""
    limits = session.limits
    call = CallLimits(max_output_tokens=limits.reply_tokens, seconds=limits.reply_seconds, seed=session.context.seed)
    waited = 0.0
    for attempt in itertools.count():
        try:
            return backbone.complete(messages, call)
        except (BackboneBusy, TimeoutError, ConnectionError) as error:
            asked = getattr(error, "retry_after", None)
            # Jitter, so that the runs of a sweep do not come back together.
            delay = max(0.0, asked) if asked is not None else min(60.0, 2.0**attempt) * random.uniform(0.5, 1.0)
            if attempt >= limits.retries or waited + delay > limits.retry_seconds:
                raise BackboneError(
                    f"backbone '{backbone.info.name}' failed {attempt + 1} times, the last time with: {one_line(error)}"
                ) from error
            session.note(f"backbone '{backbone.info.name}': {one_line(error)}; trying again in {delay:.1f} s")
            waited += delay
            time.sleep(delay)
        except MaiaError:
            raise
        except Exception as error:
            session.note(f"backbone '{backbone.info.name}' failed: {traceback.format_exc()}")
            raise BackboneError(f"backbone '{backbone.info.name}' failed: {one_line(error)}") from error
    raise AssertionError("unreachable")


OBJECTION = "Your answer was tested on fresh images and does not hold"
"""How the message begins that sends a backbone back to its experiments."""


SHOWN = 6
"""Most images of a failed test that the backbone is shown."""


def _objection(verdict: Verdict, tests_left: int) -> Message:
    again = "once more" if tests_left == 1 else f"{tests_left} times more"
    text = (
        f"{OBJECTION}. The images were made from your labels alone, or are real ones.\n{verdict.summary}\n"
        "Go on experimenting: find out what your answer misses or wrongly claims, then answer again "
        f"({again} it will be tested). An answer that you repeat ends the run as one that failed."
    )
    missed = [probe for probe in verdict.probes if probe.missed][:SHOWN]
    shown = [
        part for probe in missed for part in (f"{probe.image.title}: activation {probe.activation:.4g}", probe.image)
    ]
    return Message.of("user", text, *(["Real images that your labels do not predict:"] if missed else []), *shown)


def execution_parts(execution: Execution) -> list[Part]:
    """Lays out what came of a program as the backbone sees it: printed, displayed, returned, and what went wrong."""
    parts: list[Part] = []
    if execution.stdout:
        parts.append(TextPart(text=f"Printed:\n{execution.stdout.rstrip()}"))
    parts += execution.displays
    if execution.value:
        parts.append(TextPart(text=f"Returned:\n{execution.value}"))
    if execution.error:
        parts.append(TextPart(text=f"Failed:\n{execution.error.rstrip()}"))
    if execution.variables_lost:
        parts.append(TextPart(text="The sandbox was restarted: names that earlier programs defined are gone."))
    return parts or [as_part("The program ended without printing, displaying, logging or returning anything.")]
