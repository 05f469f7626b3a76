"""The turns of a run: replies, and what came of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from maia_core.plugin import (
    Asked,
    Executed,
    HostCall,
    ImagePart,
    Logged,
    Message,
    Part,
    ProgramStarted,
    Replied,
    RunOutcome,
    TextPart,
    Verified,
)

_TAG = re.compile(r"^[ \t>#*_+-]{0,20}(?:\[|```|~~~)", re.MULTILINE)


@dataclass
class Step:
    """One turn: a reply, and what came of it.

    Attributes:
        number: From 1.
        asked: What of the conversation the backbone was sent.
        reply: What the backbone wrote; None for a program that a person ran.
        program: The program.
        calls: The program's calls of the system and the tools.
        executed: How the program ended; None if it was cut off.
        feedback: The message that MAIA then sent to the backbone.
        verified: What the test of its answer gave.
        final: True for the reply that holds the run's answer.
        dropped: True for an answer that ended the run without being the run's: an earlier one held better in its test.
    """

    number: int
    asked: Asked | None = None
    reply: Replied | None = None
    program: ProgramStarted | None = None
    calls: list[HostCall] = field(default_factory=list)
    executed: Executed | None = None
    feedback: list[Message] = field(default_factory=list)
    verified: Verified | None = None
    final: bool = False
    dropped: bool = False

    @property
    def kind(self) -> str:
        """`experiment`, `answer`, `sent back` or `dropped` (answers too), `malformed` (neither) or `cut off`."""
        if self.program or self.calls or self.executed:
            return "experiment"
        if self.final:
            return "answer"
        if self.dropped:
            return "dropped"
        if self.verified is not None:
            return "sent back"
        return "malformed" if self.feedback else "cut off"

    @property
    def remark(self) -> str:
        """What the backbone said before its program: the reply up to its first tag or fence."""
        return _TAG.split(self.reply.reply.text, maxsplit=1)[0].strip() if self.reply and self.program else ""

    @property
    def logged(self) -> list[Logged]:
        """What the program logged, in order."""
        return [result for call in self.calls for result in call.effects.logged]

    @property
    def measured(self) -> int:
        """How many images the program measured."""
        total = 0
        for call in self.calls:
            match call.result:
                case {"$tuple": [list(activations), *_]} if call.method == "system.neuron":
                    total += len(activations)
        return total

    @cached_property
    def displays(self) -> list[Part]:
        """What was displayed beside the logged results, in order."""
        parts = [part for call in self.calls for part in _beside_results(call)]
        if self.executed is not None:
            # What no journalled call accounts for (a run by hand, another sandbox) is shown as well.
            known = Counter(_identity(part) for call in self.calls for part in call.effects.shown)
            for part in self.executed.execution.displays:
                if known[_identity(part)] > 0:
                    known[_identity(part)] -= 1
                else:
                    parts.append(part)
        return parts


def mark_answers(steps: Sequence[Step], outcome: RunOutcome) -> None:
    """Marks the run's answer, which is not always the last: a run keeps the one that held best in its test."""
    # What is neither a program nor tested, but was replied to, is malformed.
    answers = [step for step in steps if step.reply and not step.program]
    answers = [step for step in answers if step.verified or not step.feedback]
    reported = [step for step in answers if step.verified and step.verified.verdict == outcome.verdict]
    # Without a test of its own: of a run without tests, or one that repeats an earlier answer's labels.
    untested = [step for step in answers[-1:] if step.verified is None]
    repeated = [step for step in untested if outcome.verdict is None or _gives(step, outcome)]
    for step in (repeated or reported)[-1:]:
        step.final = True
    for step in answers[-1:]:
        step.dropped = not step.final


def _beside_results(call: HostCall) -> list[Part]:
    """Returns what a call showed, without the lines and images of the results that it logged."""
    rest: list[Part] = []
    position = 0
    for part in call.effects.shown:
        result = call.effects.logged[position] if position < len(call.effects.logged) else None
        if result and isinstance(part, ImagePart) and part.image.id == result.image.id:
            position += 1
        elif not (result and isinstance(part, TextPart) and part.text.startswith(f"{result.title}: activation ")):
            rest.append(part)
    return rest


def _gives(step: Step, outcome: RunOutcome) -> bool:
    """Returns whether each of the outcome's labels is on a line of the reply, alone or behind a tag."""
    lines = step.reply.reply.text.splitlines() if step.reply else []
    texts = {" ".join(line.rpartition("]")[2].strip(" \t:*_>#-").split()) for line in lines}
    labels = outcome.explanation.labels if outcome.explanation else ("",)
    # Behind a label, its strength: "snow (40 %)".
    return all(
        any(re.fullmatch(rf"{re.escape(label)}\W*((main|weak|\d).*)?", line) for line in texts) for label in labels
    )


def _identity(part: Part) -> str:
    return part.image.id if isinstance(part, ImagePart) else part.text
