"""The verifier `held-out`: what a claim predicts, measured on inputs made from the claim alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from pydantic import Field

from maia_core.plugin import (
    NONE,
    Check,
    Exemplar,
    Explanation,
    Image,
    Judge,
    PluginConfig,
    Probe,
    RunContext,
    Verdict,
)
from maia_exemplars import exemplar_source
from maia_labels import NOTHING, joined, parts_of
from maia_stats import Interval, auc_interval, wilson
from maia_verify.probing import Group, Laboratory
from maia_verify.wording import summary

MIN_RESPONSE = 0.25
"""An image activates the unit if it comes this share of the way from other things to the exemplars."""

PREDICTED_QUANTILE = 0.9
"""A real image is one that the claim predicts if it is predicted above this quantile of images that do not activate
the unit."""

MIN_DROP = 0.25
"""An edit counts if it takes back this share of what its original had beyond other things."""

MIN_SILENT_SHARE = 0.8
"""Share of what a claim leaves out that must not activate the unit."""

_SUBJECT = re.compile(r"[,;:.(]")
"""What a description begins with ends here."""

MIN_CONDITIONS = 4
"""Least number of conditions that make a test."""

MIN_REAL_IMAGES = 8
"""Fewer real images than this say more about what the judge overlooks than about the claim."""

THINGS = ("a cup", "a key", "a ball", "a car", "an apple", "a shoe", "a book", "a chair")
"""Ordinary things that what a claim names is replaced with, those least like the claim first."""

PLACES = ("sand", "grass", "snow", "a brick wall")
"""Backgrounds that one which a claim names is replaced with, likewise."""

MAX_STAND_INS = 3
"""Stand-ins that are tried where an edit was not possible."""


class HeldOut:
    """Tests every label on fresh positives and controls, on edits of the positives, and on the unit's highest images.

    Each test has an effect size with an interval, and a size that it must reach (options below). The interval must also
    exclude chance, at a level that is corrected for the number of tests (Bonferroni), so that no answer passes by luck.
    """

    class Config(PluginConfig):
        """Options of the verifier."""

        prompts: int = Field(8, ge=MIN_CONDITIONS, le=100)
        """Different pictures for each label."""
        samples: int = Field(3, gt=0, le=20)
        """Images of each."""
        controls: int = Field(16, ge=MIN_CONDITIONS, le=200)
        """Pictures of other things."""
        edits: int = Field(8, ge=0, le=100)
        """Positives that are edited; 0: none."""
        images: int = Field(30, ge=0, le=1000)
        """How many of the unit's highest images the claim must predict; 0: none. As many of those that do not activate
        it are held against them."""
        left_out: int = Field(6, ge=0, le=100)
        """How many of those that it does not predict are looked at: what they show is made, and must not activate the
        unit."""
        auc: float = Field(0.8, gt=0.5, le=1)
        """Chance that a positive exceeds a control, at least."""
        together: float = Field(0.75, gt=0.5, le=1)
        """For a claim of two things: chance that both exceed each alone, at least."""
        coverage: float = Field(0.6, gt=0, le=1)
        """Share of the kinds of positives that activate the unit, at least: an over-broad claim falls short."""
        edited: float = Field(0.6, gt=0, le=1)
        """Share of edits that lower the activation, at least."""
        completeness: float = Field(0.6, gt=0, le=1)
        """Share of the unit's highest images that the claim predicts, at least: half of an OR falls short."""

    def __init__(self, config: Config, context: RunContext) -> None:
        self._config = config
        self._judge: Judge = context.part("judge")
        self.uses = ("generator", *(engine for engine in ("editor", "describer") if _has(context, engine)))

    def verify(self, explanation: Explanation, context: RunContext, attempt: int) -> Verdict:
        """See `maia_core.protocols.Verifier`."""
        claims = list(dict.fromkeys(claim for label in explanation.labels for claim in _claims(label)))
        trial = _Trial(self._config, self._judge, context, attempt, claims)
        drafts = trial.run()
        if not drafts:
            why = "; ".join(trial.untested) or "the answer names nothing"
            return Verdict(passed=False, measured=False, summary=f"It could not be tested: {why}.")
        level = 1 - 0.05 / len(drafts)
        checks = [draft.check(level, trial.laboratory.seed) for draft in drafts]
        return Verdict(
            passed=all(check.passed for check in checks),
            checks=tuple(checks),
            summary=summary(checks, trial.groups, trial.untested),
            probes=tuple(trial.laboratory.probes),
        )


def _has(context: RunContext, engine: str) -> bool:
    """Says whether the run has an engine: a check that needs one is left out without it."""
    return bool(getattr(context.config, engine).name != NONE)


class _Claim(NamedTuple):
    """One alternative of an answer: its text, and the concepts that must be there together (usually one)."""

    text: str
    things: tuple[str, ...]


def _claims(label: str) -> list[_Claim]:
    """Returns the alternatives that a label names."""
    form, parts, _ = parts_of(label)
    if form == "either":
        return [claim for part in parts for claim in _claims(part)]
    return [_Claim(label, parts)] if parts else []


@dataclass(frozen=True)
class _Draft:
    """A check before the number of checks is known: positives against controls, or hits of a number."""

    claim: str
    required: float
    positives: tuple[float, ...] = ()
    controls: tuple[float, ...] = ()
    hits: int = 0
    of: int = 0
    chance: float = 0.0

    def check(self, level: float, seed: int) -> Check:
        """Computes the effect, and whether it is large enough and no chance."""
        if self.of:
            effect, measure = wilson(self.hits, self.of, level), "share"
        else:
            effect, measure = auc_interval(self.positives, self.controls, level, seed), "AUC"
        chance = self.chance if self.of else 0.5
        passed = effect.value >= self.required and effect.low > chance
        return _check(self, effect, passed, measure)


def _check(draft: _Draft, effect: Interval, passed: bool, measure: str) -> Check:
    return Check(
        claim=draft.claim,
        passed=passed,
        effect=effect.value,
        low=effect.low,
        high=effect.high,
        measure=measure,
        required=draft.required,
    )


class _Trial:
    """One verification.

    Attributes:
        laboratory: Makes and measures the images.
        groups: Every condition that was generated, by what it is.
        untested: What could not be tested, and why.
    """

    def __init__(
        self, config: HeldOut.Config, judge: Judge, context: RunContext, attempt: int, claims: list[_Claim]
    ) -> None:
        self._config, self._judge, self._context, self._claims = config, judge, context, claims
        self.laboratory = Laboratory(context, attempt)
        self.groups: dict[str, list[Group]] = {}
        self.untested: list[str] = []
        self._base = self._top = 0.0

    def run(self) -> list[_Draft]:
        """Makes all measurements and says what is to be checked."""
        source = exemplar_source(self._context, self._context.system)
        exemplars, _ = source.exemplars(self._context.system, max(self._config.images, 15))
        controls = self._controls()
        if len(controls) < MIN_CONDITIONS:
            self.untested.append("the generator makes no control images")
            return []
        self._base = float(np.median([group.mean for group in controls]))
        # A unit that responds to something rare has exemplars that it does not respond to.
        above = [exemplar.activation for exemplar in exemplars[:15] if exemplar.activation > self._base]
        if not above:
            self.untested.append(
                "no image of the data set activates the unit more than generated pictures of other things"
            )
            return []
        self._top = float(np.median(above))
        level = self._level(controls)
        drafts = [draft for claim in self._claims for draft in self._one(claim, controls, level)]
        return drafts + self._complete(exemplars, level) if drafts else []

    def _controls(self) -> list[Group]:
        """Makes pictures of things that no part of the claim names."""
        written = self._judge.write_prompts(NOTHING, 4 * self._config.controls)
        prompts = list(dict.fromkeys(written))
        unlike = set(range(len(prompts)))
        for claim in self._claims:
            for thing in claim.things:
                ranked = self._judge.select(thing, prompts)
                unlike -= set(ranked[: len(ranked) // (2 * len(self._claims) + 1)])
        # Any of what is left: the least likely ones alone would all be of one sort.
        chosen = np.random.default_rng(self.laboratory.seed).permutation(sorted(unlike))[: self._config.controls]
        return self._made("control", "other things", [prompts[n] for n in sorted(chosen.tolist())], samples=1)

    def _made(self, condition: str, name: str, prompts: list[str], samples: int | None = None) -> list[Group]:
        groups = self.laboratory.generate(condition, prompts, samples or self._config.samples)
        self.groups[name] = groups
        return groups

    def _one(self, claim: _Claim, controls: list[Group], level: float) -> list[_Draft]:
        """Tests one alternative of the answer."""
        config, text = self._config, claim.text
        positives = self._made("positive", text, self._prompts(text, claim))
        if len(positives) < min(MIN_CONDITIONS, config.prompts):
            prompt, why = next(reversed(self.laboratory.refused.items()), (text, "no prompt was written"))
            self.untested.append(
                f"the generator cannot show '{text}' (the prompt '{prompt}': {why}); choose another judge "
                "(--judge NAME) or generator (--generator NAME)"
            )
            return []
        means = [group.mean for group in positives]
        drafts = [
            _Draft(
                f"'{text}' activates the unit more than other things do",
                config.auc,
                tuple(means),
                tuple(group.mean for group in controls),
            ),
            _Draft(
                f"different pictures of '{text}' activate the unit",
                config.coverage,
                hits=sum(mean >= level for mean in means),
                of=len(means),
            ),
        ]
        for part in claim.things if len(claim.things) > 1 else ():
            others = [other for other in claim.things if other != part]
            alone = self._made("part", part, self._prompts(part, claim, without=others))
            if len(alone) < min(MIN_CONDITIONS, config.prompts):
                self.untested.append(f"the generator cannot show '{part}' alone")
                continue
            drafts.append(
                _Draft(
                    f"'{text}' activates the unit more than '{part}' alone",
                    config.together,
                    tuple(means),
                    tuple(group.mean for group in alone),
                )
            )
        return drafts + self._edits(claim, positives, level)

    def _prompts(self, text: str, claim: _Claim, without: Sequence[str] = ()) -> list[str]:
        """Writes prompts that show a text and nothing else that the answer names, as far as that is in their words."""
        elsewhere = [thing for other in self._claims if other != claim for thing in other.things]
        count = self._config.prompts
        written = self._judge.write_prompts(text, 2 * count if elsewhere or without else count)
        pure = [prompt for prompt in written if not any(_names(prompt, thing) for thing in [*elsewhere, *without])]
        return (pure if len(pure) >= MIN_CONDITIONS else written)[:count]

    def _level(self, controls: list[Group]) -> float:
        """Returns the activation from which on an image activates the unit."""
        usual = float(np.quantile([group.mean for group in controls], 0.9))
        return max(usual, self._base + MIN_RESPONSE * (self._top - self._base))

    def _edits(self, claim: _Claim, positives: list[Group], level: float) -> list[_Draft]:
        """Replaces what the claim names in pictures that activate the unit: that must lower the activation."""
        if not _has(self._context, "editor"):
            return []
        active = [probe for group in positives for probe in group.probes[:1] if probe.activation >= level]
        waiting, thing = active[: self._config.edits], claim.things[0]
        done: list[tuple[Probe, Group]] = []
        # The ordinary things first; what a background is replaced with is another background.
        for stand_ins in (THINGS, PLACES):
            for place in self._judge.select(thing, stand_ins)[::-1][:MAX_STAND_INS]:
                instruction = f"replace the {thing} with {stand_ins[place]}"
                edited = self.laboratory.edit("edited", waiting, [instruction] * len(waiting))
                done += [(probe, group) for probe, group in zip(waiting, edited, strict=True) if group.probes]
                waiting = [probe for probe, group in zip(waiting, edited, strict=True) if not group.probes]
        if len(done) < MIN_CONDITIONS:
            return []
        self.groups[f"'{thing}' replaced"] = [
            Group(f"{probe.text}: {group.text}", group.probes) for probe, group in done
        ]
        fell = [before.activation - after.mean >= MIN_DROP * (before.activation - self._base) for before, after in done]
        what = f"replacing '{thing}' in a picture lowers the activation"
        return [_Draft(what, self._config.edited, hits=sum(fell), of=len(fell))]

    def _complete(self, exemplars: list[Exemplar], level: float) -> list[_Draft]:
        """Holds the claim against real images: it must predict those that activate the unit most."""
        strong = [e for e in exemplars if e.activation >= self._base + 0.5 * (self._top - self._base)]
        strong = strong[: self._config.images]
        if len(strong) < MIN_REAL_IMAGES:
            return []
        images = [(e.image.clean or e.image).anonymous() for e in strong]
        ordinary = self.laboratory.ordinary(max(len(images), 2 * MIN_CONDITIONS), level)
        predicted = self._predicted([*images, *(image.anonymous() for image in ordinary)])
        usual = float(np.quantile(predicted[len(images) :], PREDICTED_QUANTILE))
        known = [value > usual for value in predicted[: len(images)]]
        missed = []
        for number, (exemplar, right) in enumerate(zip(strong, known, strict=True), 1):
            image = exemplar.image.anonymous().retitled(f"real image {number}")
            condition = "real, predicted" if right else "real, not predicted"
            probe = Probe(condition=condition, activation=exemplar.activation, image=image, missed=not right)
            self.laboratory.probes.append(probe)
            missed += [] if right else [probe]
        what = "the labels predict the real images that activate the unit most"
        share = _Draft(what, self._config.completeness, hits=sum(known), of=len(known), chance=1 - PREDICTED_QUANTILE)
        return [share, *self._left_out(missed, usual, level)]

    def _left_out(self, missed: list[Probe], usual: float, level: float) -> list[_Draft]:
        """Makes what the real images show that the claim does not predict: if that activates the unit, part is missing.

        A judge overlooks things, so an image that it does not predict proves nothing. A generator therefore draws each
        subject that a describer sees in the active region of such an image by itself, except subjects of the claim.
        """
        shown = [probe.image.anonymous() for probe in missed[: self._config.left_out]]
        if not _has(self._context, "describer"):
            return []
        seen = self._context.describer.describe(shown) if shown else []
        subjects = [subject for text in seen if (subject := _SUBJECT.split(text.strip(), maxsplit=1)[0].strip())]
        prompts = [p for subject in dict.fromkeys(subjects) for p in self._judge.write_prompts(subject, 2)]
        groups = self.laboratory.generate("left out", prompts, self._config.samples)
        predicted = self._predicted(
            [(group.probes[0].image.clean or group.probes[0].image).anonymous() for group in groups]
        )
        others = [group for group, value in zip(groups, predicted, strict=True) if value <= usual]
        if not others:
            return []
        self.groups["what the labels leave out"] = others
        silent = sum(group.mean < level for group in others)
        return [
            _Draft(
                "what else the real images show does not activate the unit",
                MIN_SILENT_SHARE,
                hits=silent,
                of=len(others),
            )
        ]

    def _predicted(self, images: list[Image]) -> list[float]:
        return self._judge.predict(joined([claim.text for claim in self._claims]), images) if images else []


def _names(prompt: str, thing: str) -> bool:
    return re.search(rf"\b{re.escape(thing)}s?\b", prompt, re.IGNORECASE) is not None
