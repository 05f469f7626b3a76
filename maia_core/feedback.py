"""The messages that a run sends to the backbone between its replies."""

from __future__ import annotations

import re
from collections.abc import Sequence

from maia_core.types import Execution, Message, Part, TextPart, Turn, as_part

LAST_CALL = "Do not write another program"
"""Part of the request for the final answer; `asks_for_answer` recognises the request."""

RUN_ENDS = "The run ends here: "
"""How the request for the final answer begins."""

UNSUPPORTED = "MAIA does not take this answer: no experiment of yours has succeeded yet. Send an experiment first."
"""Sends back an answer before the first successful experiment."""

REPEATED = "You ran this program before: its result is the same. Change it: test a hypothesis with new prompts."
"""Note on a program that ran before; a small model would send it until its last turn."""

_LONG = re.compile(r"(?<![\w.])\d{1,15}\.\d{5,}(?:e[+-]?\d+)?(?![\w.])")


def asks_for_answer(message: Message) -> bool:
    """Returns whether a message ends with the request for the final answer.

    It is the last part of its message; a program can print and display other parts only.
    """
    last = message.parts[-1] if message.parts else None
    return isinstance(last, TextPart) and last.text.startswith(RUN_ENDS)


def final_request(reason: str, tags: Sequence[str]) -> Message:
    """Returns the request for the final answer, in sections with these tags."""
    sections = " and ".join(f"[{tag}]:" for tag in tags)
    return Message.of(
        "user",
        f"{RUN_ENDS}{reason}. {LAST_CALL}. Give your final answer now, based on your experiments so far, under "
        f"{sections}.",
    )


def _rounded(number: re.Match[str]) -> str:
    value = float(number[0])
    return f"{value:.4g}" if value < 10_000 else f"{value:.0f}"


def feedback(turn: Turn, max_turns: int) -> Message:
    """Returns the answer to a reply: the result of its program, or its mistake, and the number of the turn."""
    budget = f"(turn {turn.number} of {max_turns})"
    if turn.execution is None:
        return Message.of("user", f"{turn.mistake} {budget}")
    return Message.of("user", *execution_parts(turn.execution), *filter(None, [turn.note]), budget)


def execution_parts(execution: Execution) -> list[Part]:
    """Returns a program's result as the backbone sees it: printed, displayed and returned values, and its error.

    Numbers with five decimals or more are rounded to four significant digits; the execution itself keeps them all.
    """
    printed, *others = (
        [as_part(f"{title}:\n{text.rstrip()}")] if text else []
        for title, text in (("Printed", execution.stdout), ("Returned", execution.value), ("Failed", execution.error))
    )
    parts: list[Part] = [*printed, *execution.displays, *(part for each in others for part in each)]
    if execution.variables_lost:
        parts.append(TextPart(text="The sandbox was restarted: names that earlier programs defined are gone."))
    parts = [as_part(_LONG.sub(_rounded, part.text)) if isinstance(part, TextPart) else part for part in parts]
    return parts or [as_part("The program ended without printing, displaying, logging or returning anything.")]
