"""How a notebook's run ended."""

from __future__ import annotations

from html import escape

from maia_human.shown import Card, clean
from maia_runs import FinishedRun


class Finished(Card):
    """How a run ended.

    Attributes:
        folder: The run folder.
        outcome: Status, answer, explanation, verdict, turns, seconds.
        lines: Lines of the observers, such as the path of the report.
    """

    def __init__(self, finished: FinishedRun) -> None:
        self.folder, self.outcome, self.lines = finished.folder, finished.outcome, finished.lines
        outcome = self.outcome
        explanation = outcome.explanation
        label = explanation.line if explanation else outcome.status
        text = explanation.description if explanation else outcome.reason
        verdict = [outcome.verdict.line] if outcome.verdict else []
        size = f"{outcome.turns} turns, {outcome.seconds / 60:.0f} minutes. Record: {self.folder}."
        below = [clean(line) for line in (text, *verdict, size, *self.lines)]
        html = f"<h3>{escape(clean(label))}</h3>" + "".join(f"<p>{escape(line)}</p>" for line in below)
        super().__init__(html, "\n".join([clean(label), *below]))
