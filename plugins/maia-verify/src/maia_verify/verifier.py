"""The verifier `held-out`: what a claim predicts, measured on inputs made from the claim alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from pydantic import Field

from maia_core.config import PluginConfig
from maia_core.context import Context
from maia_core.protocols import Judge
from maia_core.types import Check, Exemplar, Explanation, Probe, Verdict
from maia_judges import NOTHING, joined, parts_of
from maia_verify import statistics
from maia_verify.probing import Group, Laboratory
from maia_verify.statistics import Effect
from maia_verify.wording import summary

RESPONSE = 0.25
"""An image activates the unit if it comes this share of the way from other things to the exemplars."""

UNUSUAL = 0.9
"""A real image is one that the claim predicts if it is predicted above this quantile of ordinary images."""

DROP = 0.25
"""An edit counts if it takes back this share of what its original had beyond other things."""

LEAST = 4
"""Fewer conditions than this are no test."""

STAND_INS = ("a chair", "a cup", "a ball", "a box", "a hat", "a book", "an apple", "a car", "a shoe", "a key")
"""Ordinary things that what a claim names is replaced with; those least like the claim are taken."""

PLACES = ("sand", "grass", "snow", "a brick wall")
"""Backgrounds that one which a claim names is replaced with, likewise."""


class HeldOut:
    """Tests every label on fresh positives and controls, on edits of the positives, and on the unit's highest images.

    Each test has an effect size with an interval, and a size that it must reach (options below). The interval must also
    exclude chance, at a level that is corrected for the number of tests (Bonferroni), so that no answer passes by luck.
    """

    class Config(PluginConfig):
        """Options of the verifier."""

        prompts: int = Field(8, ge=LEAST, le=100)
        """Different pictures for each label."""
        samples: int = Field(3, gt=0, le=20)
        """Images of each."""
        controls: int = Field(16, ge=LEAST, le=200)
        """Pictures of other things."""
        edits: int = Field(8, ge=0, le=100)
        """Positives that are edited; 0: none."""
        images: int = Field(45, ge=0, le=1000)
        """How many of the unit's highest images the claim must predict; 0: none. As many ordinary images are held
        against them."""
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

    def __init__(self, config: Config, context: Context) -> None:
        self._config = config
        self._judge: Judge = context.part("judge")

    def verify(self, explanation: Explanation, context: Context, attempt: int) -> Verdict:
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


class _Claim(NamedTuple):
    """One alternative of an answer: its text, and the concepts that must be there together (usually one)."""

    text: str
    things: tuple[str, ...]


def _claims(label: str) -> list[_Claim]:
    """Returns the alternatives that a label names."""
    form, parts = parts_of(label)
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
            effect, measure = statistics.share(self.hits, self.of, level), "share"
        else:
            effect, measure = statistics.auc(self.positives, self.controls, level, seed), "AUC"
        chance = self.chance if self.of else 0.5
        passed = effect.value >= self.required and effect.low > chance
        return _check(self, effect, passed, measure)


def _check(draft: _Draft, effect: Effect, passed: bool, measure: str) -> Check:
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
        self, config: HeldOut.Config, judge: Judge, context: Context, attempt: int, claims: list[_Claim]
    ) -> None:
        self._config, self._judge, self._context, self._claims = config, judge, context, claims
        self.laboratory = Laboratory(context, attempt)
        self.groups: dict[str, list[Group]] = {}
        self.untested: list[str] = []
        self._base = self._top = 0.0

    def run(self) -> list[_Draft]:
        """Makes all measurements and says what is to be checked."""
        source = self._context.exemplar_source(self._context.system)
        exemplars, _ = source.exemplars(self._context.system, max(self._config.images, 15))
        self._top = float(np.median([exemplar.activation for exemplar in exemplars[:15]]))
        controls = self._controls()
        if len(controls) < LEAST:
            self.untested.append("the generator makes no control images")
            return []
        self._base = float(np.median([group.mean for group in controls]))
        drafts = [draft for claim in self._claims for draft in self._one(claim, controls)]
        return drafts + self._complete(exemplars) if drafts else []

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

    def _one(self, claim: _Claim, controls: list[Group]) -> list[_Draft]:
        """Tests one alternative of the answer."""
        config, text = self._config, claim.text
        positives = self._made("positive", text, self._judge.write_prompts(text, config.prompts))
        if len(positives) < min(LEAST, config.prompts):
            self.untested.append(f"the generator cannot show '{text}'")
            return []
        means, level = [group.mean for group in positives], self._level(controls)
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
            alone = self._made("part", part, self._judge.write_prompts(part, config.prompts))
            if len(alone) < min(LEAST, config.prompts):
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

    def _level(self, controls: list[Group]) -> float:
        """Returns the activation from which on an image activates the unit."""
        usual = float(np.quantile([group.mean for group in controls], 0.9))
        return max(usual, self._base + RESPONSE * (self._top - self._base))

    def _edits(self, claim: _Claim, positives: list[Group], level: float) -> list[_Draft]:
        """Replaces what the claim names in pictures that activate the unit: that must lower the activation."""
        active = [group.probes[0] for group in positives if group.probes[0].activation >= level]
        active = [active[n % len(active)] for n in range(self._config.edits)] if active else []
        originals: list[Probe] = []
        instructions: list[str] = []
        thing = claim.things[0]
        others = [STAND_INS[n] for n in self._judge.select(thing, STAND_INS)[::-1][:3]]
        places = [PLACES[n] for n in self._judge.select(thing, PLACES)[::-1][:2]]
        for number, probe in enumerate(dict.fromkeys(active)):
            originals += [probe, probe]
            instructions.append(f"replace the {thing} with {others[number % len(others)]}")
            instructions.append(f"change the background to {places[number % len(places)]}")
        groups = self.laboratory.edit("edit", originals, instructions)
        replaced = _pairs(originals[::2], groups[::2])
        if len(replaced) < LEAST:  # No thing that can be replaced: a background, perhaps.
            replaced = [] if replaced else _pairs(originals[1::2], groups[1::2])
        if len(replaced) < LEAST:
            return []
        self.groups[f"edits of '{claim.text}'"] = [group for group in groups if group.probes]
        fell = sum(before - after >= DROP * (before - self._base) for before, after in replaced)
        what = f"replacing '{thing}' in a picture lowers the activation"
        return [_Draft(what, self._config.edited, hits=fell, of=len(replaced))]

    def _complete(self, exemplars: list[Exemplar]) -> list[_Draft]:
        """Holds the claim against real images: it must predict those that activate the unit most."""
        strong = [e for e in exemplars if e.activation >= self._base + 0.5 * (self._top - self._base)]
        strong = strong[: self._config.images]
        if len(strong) < LEAST:
            return []
        images = [(e.image.clean or e.image).anonymous() for e in strong]
        ordinary = self.laboratory.ordinary(len(images), [image.id for image in images])
        label = joined([claim.text for claim in self._claims])
        predicted = self._judge.predict(label, [*images, *(image.anonymous() for image in ordinary)])
        usual = float(np.quantile(predicted[len(images) :], UNUSUAL)) if ordinary else 0.5
        known = [value > usual for value in predicted[: len(images)]]
        for number, (exemplar, right) in enumerate(zip(strong, known, strict=True), 1):
            condition = "predicted" if right else "not predicted"
            image = exemplar.image.anonymous().retitled(f"real image {number}")
            self.laboratory.probes.append(
                Probe(condition=condition, activation=exemplar.activation, image=image, missed=not right)
            )
        what = "the labels predict the real images that activate the unit most"
        return [_Draft(what, self._config.completeness, hits=sum(known), of=len(known), chance=1 - UNUSUAL)]


def _pairs(originals: list[Probe], groups: list[Group]) -> list[tuple[float, float]]:
    return [(p.activation, g.probes[0].activation) for p, g in zip(originals, groups, strict=True) if g.probes]
