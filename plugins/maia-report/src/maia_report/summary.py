"""What a record says, in the order in which a reader wants it: derived from the events alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from maia_core.plugin import (
    QUANTILES,
    Asked,
    Evidence,
    Executed,
    HostCall,
    Image,
    Logged,
    Message,
    MessageAdded,
    Noted,
    Probe,
    ProgramStarted,
    Replied,
    RunOutcome,
    RunReader,
    UnitStatistics,
    Usage,
    Verdict,
    Verified,
    images_of,
)
from maia_report.conditions import Condition, clean_id, grouped
from maia_report.steps import Step, mark_answers

MAX_PROBES = 24
"""Images of one condition of a test that a page shows."""


@dataclass(frozen=True)
class Quantile:
    """The activation below which a share of the data set's images lie."""

    percent: str
    activation: float


class RunSummary:
    """What a run did and measured, read from its record.

    Attributes:
        run: The record.
        prompt: The messages with which the conversation began.
        steps: The turns.
        notes: Lines that a reader must know.
    """

    def __init__(self, run: RunReader) -> None:
        self.run = run
        self._asked: Asked | None = None
        self.prompt: list[Message] = []
        self.steps: list[Step] = []
        self.notes: list[str] = [note.text for note in run.of_type(Noted)]
        self.notes += [
            f"turn {asked.turn} was asked again with less: {asked.because}"
            for asked in run.of_type(Asked)
            if asked.because
        ]
        for event in run.events:
            self._take(event)
        if self.outcome is not None and self.outcome.status == "answered":
            mark_answers(self.steps, self.outcome)

    def _take(self, event: object) -> None:
        match event:
            case MessageAdded(message=message) if not self.steps:
                self.prompt.append(message)
            case MessageAdded(message=message):
                self.steps[-1].feedback.append(message)
            case Asked():
                self._asked = event
            case Replied():
                step = self._next()
                step.asked, step.reply = self._asked, event
            case ProgramStarted():
                fresh = not self.steps or self.steps[-1].program or self.steps[-1].feedback
                (self._next() if fresh else self.steps[-1]).program = event
            case HostCall():
                self._present().calls.append(event)
            case Executed():
                self._present().executed = event
            case Verified():
                self._present().verified = event

    def _next(self) -> Step:
        self.steps.append(Step(len(self.steps) + 1))
        return self.steps[-1]

    def _present(self) -> Step:
        return self.steps[-1] if self.steps else self._next()

    # How the run went.

    @cached_property
    def outcome(self) -> RunOutcome | None:
        """How the run ended; None for one that was killed, still runs or was resumed after an interruption."""
        return self.run.outcome

    @cached_property
    def usage(self) -> Usage:
        """Tokens and cost of all replies, and of engines that are paid services."""
        replies = [step.reply.reply.usage + step.reply.engines for step in self.steps if step.reply]
        tests = (step.verified.usage for step in self.steps if step.verified)
        return sum((*replies, *tests, *(call.effects.usage for step in self.steps for call in step.calls)), Usage())

    @cached_property
    def turns(self) -> int:
        """How many turns there were."""
        return len(self.steps)

    @cached_property
    def experiments(self) -> int:
        """How many turns ran a program."""
        return sum(step.kind == "experiment" for step in self.steps)

    @cached_property
    def generated(self) -> int:
        """How many images were generated or edited."""
        return sum(call.effects.generated for step in self.steps for call in step.calls)

    def allowed(self, limit: str) -> float | None:
        """Returns what the run might use of something, by the name of the limit; None where the record does not say."""
        limits = self.run.manifest.config.get("limits")
        value = limits.get(limit) if isinstance(limits, dict) else None
        with suppress(OverflowError):  # A whole number of a record from elsewhere may have any length.
            return float(value) if isinstance(value, int | float) else None
        return None

    @property
    def seconds(self) -> float:
        """Wall time of the run; of a run that was cut off, what its replies and programs took."""
        if self.outcome is not None:
            return self.outcome.seconds
        replies = sum(step.reply.seconds for step in self.steps if step.reply)
        return replies + sum(step.executed.execution.seconds for step in self.steps if step.executed)

    # What was measured.

    @cached_property
    def exemplars(self) -> list[tuple[float, Image]]:
        """The exemplars, highest first; none where the record holds no usable ones."""
        return [(activation, image) for activation, image in self.run.effects.kept]

    @cached_property
    def floor(self) -> float | None:
        """The lowest exemplar activation."""
        floor = self.run.effects.facts.get("maia-standard.exemplar_floor")
        return floor if isinstance(floor, float) else None

    @cached_property
    def measured(self) -> list[float]:
        """Every finite activation that the record holds: exemplars, results, images of the test, the data set's."""
        activations = [activation for activation, _ in self.exemplars]
        activations += [activation for condition in self.all_conditions for activation in condition.activations]
        activations += [probe.activation for probe in self.verdict.probes] if self.verdict else []
        return [value for value in activations + [q.activation for q in self.quantiles] if math.isfinite(value)]

    @cached_property
    def constant(self) -> bool:
        """True where every image has the same activation: nothing moved the unit."""
        return bool(self.measured) and not _above(max(self.measured), min(self.measured))

    @cached_property
    def rest(self) -> float | None:
        """The activation of images that do not activate the unit; None where the record does not say.

        The data set's median. Where no exemplar is above it, the lowest that was measured: the unit is active for most
        images, or for none.
        """
        if self.constant:
            return min(self.measured)
        median = next((quantile.activation for quantile in self.quantiles if quantile.percent == "50"), None)
        if median is None or any(_above(activation, median) for activation, _ in self.exemplars):
            return median
        return min(self.measured)

    def activates(self, activation: float) -> bool:
        """Returns whether an activation is above that of images that do not activate the unit, as far as is known."""
        return self.rest is None or _above(activation, self.rest)

    @property
    def bar(self) -> float | None:
        """The exemplars' floor where reaching it means something: it is above what any image has."""
        return self.floor if self.floor is not None and self.activates(self.floor) else None

    @cached_property
    def quantiles(self) -> list[Quantile]:
        """How the activation is distributed over the data set, from the median up."""
        try:
            known = UnitStatistics.model_validate(self.run.effects.facts.get("maia-standard.statistics"))
        except ValueError:
            return []
        pairs = zip(QUANTILES, known.quantiles, strict=False)
        return [Quantile(f"{level * 100:.4g}", value) for level, value in pairs if 0.5 <= level < 1]

    def conditions(self, results: Iterable[Logged]) -> list[Condition]:
        """Groups results by title, highest mean first."""
        return grouped(results, self._exemplar_names)

    @cached_property
    def all_conditions(self) -> list[Condition]:
        """The conditions of the whole run, highest mean first."""
        return self.conditions(result for step in self.steps for result in step.logged)

    @property
    def verdict(self) -> Verdict | None:
        """What fresh inputs say about the answer; None where it was not tested."""
        return self.outcome.verdict if self.outcome else None

    @staticmethod
    def contradictions(verdict: Verdict) -> dict[str, list[Probe]]:
        """Groups the images that contradict the answer by the check that they speak against."""
        groups: dict[str, list[Probe]] = {}
        for probe in verdict.probes:
            if probe.contradicts:
                groups.setdefault(probe.contradicts, []).append(probe)
        return groups

    @staticmethod
    def probes(verdict: Verdict) -> dict[str, list[Probe]]:
        """Groups the images of a test by what they were made for: pairs in their order, others highest first."""
        groups: dict[str, list[Probe]] = {}
        for probe in verdict.probes:
            groups.setdefault(probe.condition, []).append(probe)
        return {
            name: group if name.endswith("in pairs") else sorted(group, key=lambda probe: -probe.activation)
            for name, group in groups.items()
        }

    @property
    def evidence(self) -> Sequence[Evidence]:
        """What the explanation itself states as its evidence."""
        explanation = self.outcome.explanation if self.outcome else None
        return explanation.evidence if explanation else ()

    def images(self) -> Iterator[Image]:
        """Yields every image that a page may show, the most important first; repetitions included."""
        yield from (image for _, image in self.exemplars)
        for condition in self.all_conditions:
            yield from (result.image for result in condition.extremes)
        if self.verdict is not None:
            for probes in self.probes(self.verdict).values():
                yield from (probe.image for probe in probes[:MAX_PROBES])
            yield from (probe.image for probe in self.verdict.probes if probe.contradicts)
        for step in self.steps:
            yield from (result.image for result in step.logged)
            yield from images_of(step.displays)
        yield from images_of(self.prompt)

    @cached_property
    def _exemplar_names(self) -> set[tuple[str, str]]:
        return {(image.title, clean_id(image)) for _, image in self.exemplars}


def _above(activation: float, level: float) -> bool:
    # The exemplar tool shows the data set's quantiles with four digits.
    return activation > level + 5e-4 * abs(level)
