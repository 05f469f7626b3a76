"""The kinds of checks on real images: whether the answer predicts them, and what they show beside it."""

from __future__ import annotations

from itertools import zip_longest

import numpy as np

from maia_core.plugin import Probe
from maia_labels.described import subject_of
from maia_verify.checks import Draft
from maia_verify.fresh import Group
from maia_verify.kinds import MIN_CONDITIONS, Setting, firsts
from maia_verify.scale import TOP

MIN_REAL_IMAGES = 8
"""Fewer real images than this say more about what the judge overlooks than about the claim."""

COMPLETE = "the labels predict the real images that activate the unit most"
OTHERS = "what else the real images show does not activate the unit"

MIN_SILENT_SHARE = 0.8
"""Share of what a claim leaves out that must not activate the unit."""

MAX_DRAWN = 24
"""Most pictures of what the labels leave out that one round asks for, of each subject in turn."""

PREDICTED_QUANTILE = 0.9
"""A real image is one that the claim predicts if it is predicted above this quantile of images that do not activate
the unit."""


class RealImages:
    """The answer predicts the real images that activate the unit most."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._ordinary: list[Group] = []
        self._strong: list[Group] = []

    @property
    def independent(self) -> list[Group]:
        """The measured real images on which the scale does not rest: strong ones, then those drawn at random."""
        return [group for group in self._strong[TOP:] + self._ordinary if group.probes]

    @property
    def exhausted(self) -> bool:
        """Whether no further exemplar is left."""
        return len(self._strong) >= len(self._setting.exemplars)

    def ask(self) -> None:
        """See `Kind`."""
        options = self._setting.options
        if not options.images or self.exhausted:
            return
        begin = len(self._strong)
        for number, exemplar in enumerate(self._setting.exemplars[begin : begin + options.images], begin + 1):
            image = exemplar.image.anonymous().retitled(f"real image {number}")
            group = Group("", "real, high")
            group.probes.append(Probe(condition=group.condition, activation=exemplar.activation, image=image))
            self._strong.append(group)
            self._setting.images.groups.append(group)
        drawn = self._setting.images.ordinary(max(options.images, 2 * MIN_CONDITIONS))
        self._ordinary += self._setting.images.add("real, at random", drawn)

    @property
    def usual(self) -> float:
        """The prediction above which an image counts as predicted."""
        # Groups that a round has just asked for have no images yet.
        ordinary = sorted((g for g in self._ordinary if g.probes), key=lambda g: g.mean)
        quiet = [g for g in ordinary if g.mean < self._setting.scale.level]
        reference = quiet if len(quiet) >= MIN_CONDITIONS else ordinary
        chosen = reference if quiet else reference[: max(1, len(reference) // 2)]
        predicted = self._setting.predictor.predict(chosen)
        return float(np.quantile(predicted, PREDICTED_QUANTILE)) if predicted else 0.5

    @property
    def missed(self) -> list[Group]:
        """Strong images that the answer does not predict, the strongest first."""
        strong, usual = self._above_half(), self.usual
        return [g for g, value in zip(strong, self._setting.predictor.predict(strong), strict=True) if value <= usual]

    def drafts(self) -> list[Draft]:
        """See `Kind`."""
        strong = self._above_half()
        if len(strong) < MIN_REAL_IMAGES or not any(g.probes for g in self._ordinary):
            if self._setting.options.images:
                self._setting.untested.append(
                    f"whether the labels predict real images ({len(strong)} of the {len(self._strong)} highest images "
                    f"activate the unit well above other things, and {MIN_REAL_IMAGES} are needed)"
                )
            return []
        missed = self.missed
        return [
            Draft(
                COMPLETE,
                self._setting.options.completeness,
                hits=len(strong) - len(missed),
                of=len(strong),
                chance=1 - PREDICTED_QUANTILE,
                culprits=firsts(missed),
            )
        ]

    def _above_half(self) -> list[Group]:
        scale = self._setting.scale
        return [group for group in self._strong if group.mean >= scale.base + 0.5 * (scale.top - scale.base)]


class LeftOut:
    """What else the real images show, which the answer does not predict, does not activate the unit.

    A judge overlooks things, so an image that it does not predict proves nothing. A generator therefore draws each
    subject that a describer sees in the active region of such an image by itself, with its main colour, except subjects
    that the words of the answer cover.
    """

    def __init__(self, setting: Setting, real: RealImages) -> None:
        self._setting, self._real = setting, real
        self._described: set[int] = set()
        self._sees_covered = False
        self._each = 0
        self._subjects: dict[str, None] = {}
        self._asked: list[Group] = []

    def ask(self) -> None:
        """See `Kind`."""
        setting, options = self._setting, self._setting.options
        new = [g for g in self._real.missed if id(g) not in self._described][: options.left_out]
        self._described |= {id(group) for group in new}
        shown = [group.probes[0].image.anonymous() for group in new]
        seen = setting.context.describer.describe(shown) if shown else []
        subjects = [subject for text in seen if (subject := subject_of(text, coloured=True))]
        uncovered = [subject for subject in subjects if not setting.covers(subject)]
        self._sees_covered |= len(uncovered) < len(subjects)
        self._subjects |= dict.fromkeys(uncovered)
        known = {group.text for group in self._asked}
        self._each += 2
        written = [setting.judge.write_prompts(subject, self._each) for subject in self._subjects]
        in_turn = [prompt for turn in zip_longest(*written) for prompt in turn if prompt and prompt not in known]
        fresh = [prompt for prompt in in_turn if not setting.covers(prompt)][:MAX_DRAWN]
        self._asked += setting.images.ask("left out", fresh, options.samples)

    @property
    def only_covered(self) -> bool:
        """Whether a describer sees only what the answer covers in the overlooked images, at least four."""
        return self._sees_covered and not self._subjects and len(self._described) >= MIN_CONDITIONS

    def drafts(self) -> list[Draft]:
        """See `Kind`."""
        groups = [group for group in self._asked if group.probes]
        if not groups:
            if self._asked:
                shown = ", ".join(f"'{subject}'" for subject in self._subjects)
                self._setting.untested.append(f"what else the real images show (the generator cannot show {shown})")
            return []
        usual = self._real.usual
        predicted = self._setting.predictor.predict(groups)
        others = [group for group, value in zip(groups, predicted, strict=True) if value <= usual]
        active = [group for group in others if group.mean >= self._setting.scale.level]
        return [
            Draft(
                OTHERS,
                MIN_SILENT_SHARE,
                hits=len(others) - len(active),
                of=len(others),
                culprits=firsts(sorted(active, key=lambda group: -group.mean)),
            )
        ] * bool(others)
