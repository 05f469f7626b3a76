"""What a record says, in the order in which a reader wants it: derived from the events alone."""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property

from maia_core.plugin import (
    QUANTILES,
    Asked,
    Evidence,
    Executed,
    HostCall,
    Image,
    ImagePart,
    Logged,
    Message,
    MessageAdded,
    Noted,
    Part,
    Probe,
    ProgramStarted,
    Replied,
    RunOutcome,
    RunReader,
    TextPart,
    UnitStatistics,
    Usage,
    Verdict,
    Verified,
    images_of,
)

EXEMPLARS = "Exemplars"
"""The condition that the highest images of the data set make."""

MOST_PROBES = 24
"""Images of one condition of a test that a page shows."""

_TAG = re.compile(r"^[ \t>#*_+-]{0,20}(?:\[|```|~~~)", re.MULTILINE)


@dataclass(frozen=True)
class Condition:
    """Results that share a title.

    Attributes:
        title: The title; `EXEMPLARS` for the data set's exemplars, which are numbered.
        results: One result an image: an image that was logged again under the same title counts once.
        exemplars: True for the data set's exemplars.
        expected: What the explanation says that the condition should do, where it says so.
        stated: Activations that the explanation states without their images.
    """

    title: str
    results: tuple[Logged, ...]
    exemplars: bool = False
    expected: str = ""
    stated: tuple[float, ...] = ()

    @cached_property
    def activations(self) -> list[float]:
        """The activations, in the order in which they were logged."""
        return [result.activation for result in self.results] or list(self.stated)

    @cached_property
    def mean(self) -> float:
        """Mean activation; of numbers too large to add up, or none, it is not a number."""
        try:
            return statistics.fmean(self.activations)
        except (OverflowError, ValueError, statistics.StatisticsError):
            return float("nan")

    @property
    def extremes(self) -> list[Logged]:
        """The results with the highest and the lowest activation; one, if there is one."""
        ranked = sorted(self.results, key=lambda result: -result.activation)
        return [ranked[0], ranked[-1]] if len(ranked) > 1 else ranked


@dataclass(frozen=True)
class Quantile:
    """The activation below which a share of the data set's images lie."""

    percent: str
    activation: float


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


class Story:
    """A run, told from its record.

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
            self._mark_answers(self.outcome)

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

    def _mark_answers(self, outcome: RunOutcome) -> None:
        """Marks the run's answer, which is not always the last: a run keeps the one that held best in its test."""
        # What is neither a program nor tested, but was replied to, is malformed.
        answers = [step for step in self.steps if step.reply and not step.program]
        answers = [step for step in answers if step.verified or not step.feedback]
        kept = [step for step in answers if step.verified and step.verified.verdict == outcome.verdict]
        # Without a test of its own: of a run without tests, or one that repeats an earlier answer's labels.
        untested = [step for step in answers[-1:] if step.verified is None]
        repeated = [step for step in untested if outcome.verdict is None or _gives(step, outcome)]
        for step in (repeated or kept)[-1:]:
            step.final = True
        for step in answers[-1:]:
            step.dropped = not step.final

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

    @property
    def experiments(self) -> int:
        """How many turns ran a program."""
        return sum(step.kind == "experiment" for step in self.steps)

    @property
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
        found = [activation for activation, _ in self.exemplars]
        found += [activation for condition in self.all_conditions for activation in condition.activations]
        found += [probe.activation for probe in self.verdict.probes] if self.verdict else []
        return [value for value in found + [q.activation for q in self.quantiles] if math.isfinite(value)]

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
        groups: dict[tuple[bool, str], dict[str, Logged]] = {}
        for result in results:
            is_exemplar = (result.title, _clean_id(result.image)) in self._exemplar_names
            key = (is_exemplar, EXEMPLARS if is_exemplar else result.title)
            groups.setdefault(key, {}).setdefault(result.image.id, result)
        made = [Condition(title, tuple(group.values()), is_ex) for (is_ex, title), group in groups.items()]
        return sorted(made, key=_by_mean)

    @cached_property
    def all_conditions(self) -> list[Condition]:
        """The conditions of the whole run, highest mean first."""
        return self.conditions(result for step in self.steps for result in step.logged)

    @property
    def verdict(self) -> Verdict | None:
        """What fresh inputs say about the answer; None where it was not tested."""
        return self.outcome.verdict if self.outcome else None

    @staticmethod
    def probes(verdict: Verdict) -> dict[str, list[Probe]]:
        """Groups the images of a test by what they were made for, in the order of the test, highest first."""
        groups: dict[str, list[Probe]] = {}
        for probe in verdict.probes:
            groups.setdefault(probe.condition, []).append(probe)
        return {name: sorted(group, key=lambda probe: -probe.activation) for name, group in groups.items()}

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
                yield from (probe.image for probe in probes[:MOST_PROBES])
        for step in self.steps:
            yield from (result.image for result in step.logged)
            yield from images_of(step.displays)
        yield from images_of(self.prompt)

    @cached_property
    def _exemplar_names(self) -> set[tuple[str, str]]:
        return {(image.title, _clean_id(image)) for _, image in self.exemplars}


def _beside_results(call: HostCall) -> list[Part]:
    """Returns what a call showed, without the lines and images of the results that it logged."""
    rest: list[Part] = []
    place = 0
    for part in call.effects.shown:
        result = call.effects.logged[place] if place < len(call.effects.logged) else None
        if result and isinstance(part, ImagePart) and part.image.id == result.image.id:
            place += 1
        elif not (result and isinstance(part, TextPart) and part.text.startswith(f"{result.title}: activation ")):
            rest.append(part)
    return rest


def _gives(step: Step, outcome: RunOutcome) -> bool:
    """Returns whether each of the outcome's labels is on a line of the reply, alone or behind a tag."""
    lines = step.reply.reply.text.splitlines() if step.reply else []
    given = {" ".join(line.rpartition("]")[2].strip(" \t:*_>#-").split()) for line in lines}
    return outcome.explanation is not None and given.issuperset(outcome.explanation.labels)


def _identity(part: Part) -> str:
    return part.image.id if isinstance(part, ImagePart) else part.text


def _clean_id(image: Image) -> str:
    return image.clean.id if image.clean else image.id


def _above(activation: float, level: float) -> bool:
    # The exemplar tool shows the data set's quantiles with four digits.
    return activation > level + 5e-4 * abs(level)


def _by_mean(condition: Condition) -> tuple[bool, float]:
    mean = condition.mean
    return (mean != mean, -mean if mean == mean else 0.0)
