"""Tests the answers of a run on fresh inputs, and tells the backbone which predictions failed."""

from __future__ import annotations

import time

from pydantic import BaseModel

from maia_core.context import Context
from maia_core.errors import MaiaError, one_line
from maia_core.events import Verified
from maia_core.image import Image
from maia_core.journal import Journal
from maia_core.protocols import Task, Verifier
from maia_core.types import Explanation, Message, Verdict

OBJECTION = "Your answer was tested on fresh images, and it"
"""How the message begins that asks a backbone to continue its experiments after an answer was not fully verified."""

MAX_MISSED_IMAGES = 8
"""At most this many images of a failed test are shown to the backbone."""


class Verification:
    """The tests of one run's answers.

    Attributes:
        tested: Tested answers and their verdicts, oldest first.
        seconds: How long the tests took.
    """

    def __init__(self, verifier: Verifier, context: Context, task: Task, journal: Journal) -> None:
        self._verifier = verifier
        self._context = context
        self._task = task
        self._journal = journal
        self.tested: list[tuple[BaseModel, Verdict]] = []
        self.seconds = 0.0

    def test(self, answer: BaseModel, turn: int) -> tuple[Verdict, bool]:
        """Returns the verdict on an answer, and whether the backbone gives an answer that was tested before.

        A repeated answer is not tested again.
        """
        explanation = self._task.explanation(answer)
        before = [verdict for old, verdict in self.tested if self._task.explanation(old).line == explanation.line]
        verdict = before[-1] if before else self._verdict(explanation, turn)
        self.tested.append((answer, verdict))
        return verdict, bool(before)

    @property
    def best(self) -> BaseModel | None:
        """The answer that holds best, see `Verdict.rank`, the last of equals; None if no answer was tested."""
        return max(reversed(self.tested), key=lambda pair: pair[1].rank, default=(None, None))[0]

    def verdict_on(self, answer: BaseModel | None) -> Verdict | None:
        """Returns the last verdict on an answer; None if it was not tested."""
        return next((verdict for old, verdict in reversed(self.tested) if old is answer), None)

    def _verdict(self, explanation: Explanation, turn: int) -> Verdict:
        def test() -> Verified:
            started = time.perf_counter()
            try:
                verdict = self._verifier.verify(explanation, self._context, len(self.tested) + 1)
            except MaiaError as error:  # The answer must not be lost over it.
                verdict = Verdict(passed=False, measured=False, summary=f"It could not be tested: {one_line(error)}")
            return Verified(turn=turn, verdict=verdict, usage=effects.usage, seconds=time.perf_counter() - started)

        with self._context.collect() as effects:
            verified = self._journal.once(Verified, test)
            effects.usage = verified.usage
        self.seconds += verified.seconds
        return verified.verdict


def objection(verdict: Verdict, tests_left: int) -> Message:
    """Returns the message that asks the backbone to continue after a test: the verdict and missed images."""
    again = "once more" if tests_left == 1 else f"{tests_left} more times"
    text = (
        f"{OBJECTION} {'is only partly verified' if verdict.partly else 'failed'}. The images were generated from your "
        f"labels alone, or are real.\n{verdict.summary}\nFind out by experiments what your answer misses or wrongly "
        f"claims. Then answer again; your answer can be tested {again}. If you repeat a tested answer, the run ends."
    )
    shown: list[str | Image] = []
    for probe in [probe for probe in verdict.probes if probe.missed][:MAX_MISSED_IMAGES]:
        why = f"it is not so that {probe.contradicts or 'your labels predict it'}"
        shown += [f"{probe.image.title}: activation {probe.activation:.4g}; {why}", probe.image]
    return Message.of("user", text, *(["Images that contradict your answer:"] if shown else []), *shown)
