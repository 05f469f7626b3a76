"""Who answers the questions of the four-sets test: a judge, or a backbone that looks at the sets."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Protocol

from maia_core.plugin import Backbone, BackboneBusy, CallLimits, Judge, Message, Usage, UsageError
from maia_eval.set_choice import CHANCE, LETTERS, SETS, Choice, Question, choose

ATTEMPTS = 3
"""How often a backbone is asked the same question before it counts as not answered."""

TASK = (
    "You see a description of what makes one unit of a vision model active, and four sets of four photographs. One set "
    "activates the unit strongly; the others were drawn at random. Decide by the description alone. End your reply "
    "with a line `[SET]: X`, where X is A, B, C or D."
)

ANSWER = re.compile(r"\[SET\]\W*([A-D])\b", re.IGNORECASE)


class Subject(Protocol):
    """Answers questions.

    Attributes:
        usage: What it used so far.
    """

    usage: Usage

    def answer(self, label: str, question: Question) -> Choice:
        """Chooses a set; `label` is not empty."""


class JudgeSubject:
    """Asks a judge what it predicts for each image."""

    def __init__(self, judge: Judge) -> None:
        self.usage = Usage()
        self._judge = judge

    def answer(self, label: str, question: Question) -> Choice:
        """See `Subject`."""
        return choose(self._judge, label, question)


class BackboneSubject:
    """Shows a backbone the four sets, each as one image of two by two, so that it need not take sixteen."""

    def __init__(self, backbone: Backbone, seed: int, wait: Callable[[float], None] = time.sleep) -> None:
        """Wraps a backbone.

        Raises:
            UsageError: it does not see four images.
        """
        info = backbone.info
        if not info.images or (info.max_images is not None and info.max_images < SETS):
            raise UsageError(f"the backbone {info.name} does not take {SETS} images, so it cannot see the sets")
        self.usage = Usage()
        self._backbone = backbone
        self._seed = seed
        self._wait = wait

    def answer(self, label: str, question: Question) -> Choice:
        """See `Subject`; a backbone that names no set, three times, has guessed wrong.

        Raises:
            BackboneError: no reply can be had; the same command later goes on here.
        """
        shown = [item for image in question.grids() for item in (f"Set {image.title[-1]}:", image)]
        messages = [
            Message.of("system", TASK),
            Message.of("user", f"The unit responds to: {label}", *shown, "Which set activates it?"),
        ]
        for attempt in range(ATTEMPTS):
            try:
                reply = self._backbone.complete(messages, CallLimits(seed=self._seed + attempt))
            except BackboneBusy as busy:
                if attempt == ATTEMPTS - 1:
                    raise
                self._wait(busy.retry_after or 2.0**attempt)
                continue
            self.usage += reply.usage
            if found := ANSWER.findall(reply.text):
                picked = LETTERS.index(found[-1].upper())
                return Choice(hit=float(picked == question.right), picked=picked)
        return Choice(hit=0.0)


def silent() -> Choice:
    """Returns the choice of somebody who was given no label: any set, so a quarter of a hit."""
    return Choice(hit=CHANCE)
