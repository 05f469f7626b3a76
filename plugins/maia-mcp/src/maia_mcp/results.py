"""What a client reads when a turn has ended, and when a run begins and ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mcp.types import ContentBlock

from maia_core.plugin import Image, Message, Part, RunOutcome, Session, TextPart
from maia_mcp.content import MAX_START, MAX_TEXT, MAX_TOKENS, TEXT_BYTES, Images, content
from maia_mcp.programs import ImageIndex, short
from maia_vlm import with_descriptions

HOW_TO_WORK = """\
You work through tool calls, not through the form of replies that the task describes below:
- run_program(run="{run}", program=...) is an experiment: the program defines run_experiment(system, tools).
- Each method of `system` and `tools` is a tool too. Such a call is an experiment of one line; its result stays in the
  variable that the answer names, and run_program can use it. Pass an image by its id. Leave out `system`.
- submit_answer(run="{run}", ...) gives the final answer. results(run="{run}") lists everything that you logged.
- A call that takes long returns a ticket; wait(ticket) returns its result.
Each experiment and each answer is one turn of {turns}. A program can do many measurements in one turn."""

MIN_LAST = 2_000
"""Bytes of the last result that a resumed run shows after any beginning."""
PICTURES = 8_000
"""Bytes that the last result of a resumed run leaves for images."""

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


class Layout:
    """Lays out the messages of one run for its client.

    Attributes:
        index: The images that the client can name.
    """

    def __init__(self, run: str, images: Images, index: ImageIndex) -> None:
        self._run, self._images, self.index = run, images, index

    def first(self, session: Session, messages: Sequence[Message]) -> Result:
        """Returns the result of the start: how to work, the library, the task, and of a resumed run its last result."""
        for message in messages:
            self.index.show(message)
        turns = len(session.state.turns)
        head = f"The run is {self._run}.\n\n{HOW_TO_WORK.format(run=self._run, turns=session.limits.turns)}\n"
        if turns:
            head += f"\nThe run is resumed after turn {turns}; its last result stands at the end.\n"
        parts = [TextPart(text=head), *_parts(self._described(session, messages[:BEGINNING]))]
        if not turns:
            return Result(self._content(parts, MAX_START))
        last = _parts(self._described(session, messages[-1:]))
        begun = sum(len(block.text.encode()) for block in self._content(parts, MAX_START) if block.type == "text")
        room = max(MIN_LAST, min(MAX_TEXT, int(MAX_TOKENS * TEXT_BYTES) - PICTURES - begun))
        return Result(self._content([*parts, *last], begun + room))

    def next(self, session: Session, message: Message) -> Result:
        """Returns the result of a turn, from the message that it led to."""
        self.index.show(message)
        parts = _parts(self._described(session, [message]))
        if self.index.variable:
            parts.append(TextPart(text=f"In run_program, this result is the variable {self.index.variable}."))
        turn = session.state.turns[-1]
        return Result(self._content(parts), bool(turn.mistake or (turn.execution and turn.execution.error)))

    def ending(self, text: str, is_error: bool) -> Result:
        """Returns the result of the turn with which the run ended."""
        return Result(self._content([TextPart(text=text)]), is_error)

    def _described(self, session: Session, messages: Sequence[Message]) -> Sequence[Message]:
        return with_descriptions(messages, session.context.describer) if self._images == "text" else messages

    def _content(self, parts: Sequence[Part], limit: int = MAX_TEXT) -> list[ContentBlock]:
        def activation(image: Image) -> float | None:
            return self.index.activations.get(short(image))

        return content(parts, activation, self._images, self._run, limit)


def _parts(messages: Sequence[Message]) -> list[Part]:
    return [part for message in messages for part in message.parts]


def ending_of(outcome: RunOutcome, run: str) -> str:
    """Returns what a client reads of the end of a run; of a failure only that it happened."""
    if outcome.status == "failed":
        return FAILED.format(run=run)
    if outcome.status != "answered":
        return f"The run has ended without an answer: {outcome.reason}."
    taken = "MAIA takes your answer; the run has ended."
    return f"{taken}\n{outcome.verdict.line}" if outcome.verdict else taken
