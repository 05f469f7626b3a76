"""The kinds of checks on generated images: what each asks for in a round, and what its measurements say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from maia_core.plugin import Exemplar, Judge, Probe, RunContext
from maia_labels.content import content_of
from maia_verify.checks import MAX_CULPRITS, Draft
from maia_verify.claims import Claim, Claims, Covers, names
from maia_verify.fresh import FreshImages, Group
from maia_verify.prediction import Predictor
from maia_verify.scale import ResponseScale

if TYPE_CHECKING:
    from maia_verify.options import Options

MIN_CONDITIONS = 4
"""Least number of conditions that make a test."""

MIN_DROP = 0.25
"""An edit counts if it takes back this share of what its original had beyond other things."""

MAX_STAND_INS = 6
"""Different things that replace what a claim names."""

MAX_TRIES = 3
"""Stand-ins that are tried where an edit was not possible."""


@dataclass
class Setting:
    """What all checks of one verification share; what is measured first is filled in then.

    Attributes:
        options: How much is measured, and what is needed.
        context: The run's parts.
        judge: Writes prompts, and predicts.
        claims: What is tested.
        images: Makes and measures the images.
        predictor: Predicts from the answer.
        exemplars: The unit's highest images, the highest first.
        scale: What activations mean.
        covers: Whether the claims cover what a prompt shows.
        stand_ins: What replaces a claimed thing: measured low, and not covered.
        untested: What could not be tested, and why.
    """

    options: Options
    context: RunContext
    judge: Judge
    claims: Claims
    images: FreshImages
    predictor: Predictor
    exemplars: Sequence[Exemplar]
    scale: ResponseScale = field(init=False)
    covers: Covers = field(init=False)
    stand_ins: tuple[str, ...] = ()
    untested: list[str] = field(default_factory=list)

    def active(self, groups: Sequence[Group]) -> int:
        """Returns how many groups activate the unit."""
        return sum(group.mean >= self.scale.level for group in groups)


class Kind(Protocol):
    """One kind of check."""

    def ask(self) -> None:
        """Asks for images, for others each time."""

    def drafts(self) -> list[Draft]:
        """Returns the checks; none where too little could be measured."""


class Positives:
    """Fresh pictures of one claim: they activate the unit more than other things, and nearly all of them do."""

    def __init__(self, setting: Setting, claim: Claim, controls: list[Group]) -> None:
        self.setting, self.claim, self._controls = setting, claim, controls
        self._asked: list[Group] = []

    @property
    def groups(self) -> list[Group]:
        """The pictures that could be made."""
        return [group for group in self._asked if group.probes]

    @property
    def prompts(self) -> list[str]:
        """All prompts that were written."""
        return [group.text for group in self._asked]

    def ask(self) -> None:
        """See `Kind`."""
        self._asked += ask_prompts(self.setting, "positive", self.claim.text, self.claim, self.prompts)

    def drafts(self) -> list[Draft]:
        """See `Kind`."""
        options, text, groups = self.setting.options, self.claim.text, self.groups
        if len(groups) < min(MIN_CONDITIONS, options.prompts):
            prompt, why = next(reversed(self.setting.images.refused.items()), (text, "no prompt was written"))
            self.setting.untested.append(
                f"the generator cannot show '{text}' (the prompt '{prompt}': {why}); choose another judge "
                "(--judge NAME) or generator (--generator NAME)"
            )
            return []
        low = sorted(groups, key=lambda group: group.mean)
        high = sorted(self._controls, key=lambda group: -group.mean)
        return [
            Draft(
                f"'{text}' activates the unit more than other things do",
                options.auc,
                positives=tuple(group.mean for group in groups),
                controls=tuple(group.mean for group in self._controls),
                culprits=firsts(low[: MAX_CULPRITS // 2] + high[: MAX_CULPRITS // 2]),
            ),
            Draft(
                f"different pictures of '{text}' activate the unit",
                options.coverage,
                hits=self.setting.active(groups),
                of=len(groups),
                culprits=firsts(low, replicate=-1),
            ),
        ]


class Alone:
    """For a claim of two things: each of them without the other activates the unit less."""

    def __init__(self, whole: Positives, part: str) -> None:
        self._whole, self._part = whole, part
        self._asked: list[Group] = []

    def ask(self) -> None:
        """See `Kind`."""
        claim, known = self._whole.claim, [group.text for group in self._asked]
        others = [thing for thing in claim.things if thing != self._part]
        self._asked += ask_prompts(self._whole.setting, "part", self._part, claim, known, others)

    def drafts(self) -> list[Draft]:
        """See `Kind`."""
        setting, whole = self._whole.setting, self._whole.groups
        groups = [group for group in self._asked if group.probes]
        if min(len(groups), len(whole)) < min(MIN_CONDITIONS, setting.options.prompts):
            setting.untested.append(f"the generator cannot show '{self._part}' alone")
            return []
        return [
            Draft(
                f"'{self._whole.claim.text}' activates the unit more than '{self._part}' alone",
                setting.options.together,
                positives=tuple(group.mean for group in whole),
                controls=tuple(group.mean for group in groups),
                culprits=firsts(sorted(groups, key=lambda group: -group.mean)),
            )
        ]


class Edits:
    """Replacing what a claim names, in pictures that activate the unit, lowers the activation."""

    def __init__(self, positives: Positives) -> None:
        self._positives, self._thing = positives, positives.claim.things[0]
        self._edited: list[Group] = []
        self._used: set[str] = set()

    def ask(self) -> None:
        """See `Kind`."""
        setting, thing = self._positives.setting, self._thing
        probes = [probe for group in self._positives.groups for probe in group.probes]
        fresh = [p for p in probes if p.activation >= setting.scale.level and p.image.id not in self._used]
        chosen = _varied(fresh)[: setting.options.edits]
        self._used |= {probe.image.id for probe in chosen}
        place = bool(content_of(thing).place)
        # What a background is replaced with is another background.
        others = sorted(setting.stand_ins, key=lambda text: place != bool(content_of(text).place))[:MAX_STAND_INS]
        count = len(others)
        turns = [[others[(n + k) % count] for k in range(min(MAX_TRIES, count))] for n in range(len(chosen))]
        instructions = [[f"replace the {thing} with {other}" for other in turn] for turn in turns]
        self._edited += setting.images.edit("edited", chosen, instructions) if count else []

    def drafts(self) -> list[Draft]:
        """See `Kind`."""
        setting, groups = self._positives.setting, [group for group in self._edited if group.probes]
        if len(groups) < MIN_CONDITIONS:
            # What cannot be shown at all is reported with the positives.
            setting.untested += [self._why_untested(len(groups))] * bool(self._positives.groups)
            return []
        base = setting.scale.base
        left = {id(g): (g.mean - base) / max(g.original.activation - base, 1e-9) for g in groups if g.original}
        fell = [left[id(group)] <= 1 - MIN_DROP for group in groups]
        return [
            Draft(
                f"replacing '{self._thing}' in a picture lowers the activation",
                setting.options.edited,
                hits=sum(fell),
                of=len(groups),
                culprits=firsts(sorted(groups, key=lambda group: -left[id(group)])),
            )
        ]

    def _why_untested(self, edits: int) -> str:
        setting = self._positives.setting
        refused = next((why for text, why in setting.images.unedited.items() if f" {self._thing} " in text), "")
        if not setting.stand_ins:
            why = "nothing that could replace it was measured low for this unit"
        elif refused:
            why = f"the editor made {edits} of {len(self._used)} edits because {refused}; choose another: --editor NAME"
        else:
            why = f"{len(self._used)} pictures that activate the unit were edited; {MIN_CONDITIONS} are needed"
        return f"replacing '{self._thing}' in a picture ({why})"


def ask_prompts(
    setting: Setting, condition: str, text: str, claim: Claim, known: Sequence[str], without: Sequence[str] = ()
) -> list[Group]:
    """Asks for pictures of a text and of nothing else that the answer names, as far as that is in their words."""
    count = len(known) + setting.options.prompts
    alone = len(setting.claims.each) == 1 and not without
    written = setting.judge.write_prompts(text, count if alone else 2 * count)
    pure = [p for p in written if not setting.claims.named_in(p, claim) and not any(names(p, t) for t in without)]
    fresh = [prompt for prompt in (pure if len(pure) >= MIN_CONDITIONS else written)[:count] if prompt not in known]
    return setting.images.ask(condition, fresh, setting.options.samples)


def firsts(groups: Sequence[Group], replicate: int = 0) -> tuple[Probe, ...]:
    """Returns one image of each of the first groups, so that two checks of the same groups show different ones."""
    return tuple(group.probes[replicate] for group in groups[:MAX_CULPRITS])


def _varied(probes: Sequence[Probe]) -> list[Probe]:
    """Orders images so that those of different prompts come before replicates."""
    counts: dict[str, int] = {}
    keyed = []
    for number, probe in enumerate(probes):
        counts[probe.text] = counts.get(probe.text, 0) + 1
        keyed.append((counts[probe.text], number, probe))
    return [probe for _, _, probe in sorted(keyed, key=lambda item: item[:2])]
