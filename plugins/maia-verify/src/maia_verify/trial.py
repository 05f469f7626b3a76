"""One verification, in rounds: ask for images, make and measure them together, decide, ask for more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maia_core.plugin import NONE, Check, Judge, Prediction, Probe, RunContext
from maia_exemplars import exemplar_source
from maia_labels import NOTHING
from maia_labels.colours import COLOURS
from maia_labels.content import content_of
from maia_verify.checks import Draft, decide
from maia_verify.claims import Claims, Covers
from maia_verify.fresh import FreshImages
from maia_verify.kinds import MIN_CONDITIONS, Alone, Edits, Kind, Positives, Setting
from maia_verify.options import Options
from maia_verify.prediction import Predictor
from maia_verify.real import COMPLETE, OTHERS, LeftOut, RealImages
from maia_verify.scale import TOP, response_scale

THINGS = (
    "cup", "key", "ball", "car", "apple", "shoe", "book", "chair", "hammer", "guitar", "hat", "clock",
)  # fmt: skip
"""Ordinary things; those that the unit does not respond to replace what a claim names."""

PLACES = ("sand", "grass", "snow", "a brick wall", "wood", "water")
"""Backgrounds that one which a claim names is replaced with, likewise."""


SILENT = 0.5
"""Lower bound of the share of silent pictures from which on what the labels leave out surely is silent."""


class Trial:
    """One verification.

    Attributes:
        images: Made and measured the images.
        untested: What could not be tested, and why.
        predictions: How well the answer predicts generated images, and real ones.
        checks: What was decided.
        settled: Whether an undecided completeness check does not count: no exemplar is left, and what the judge
            overlooks in them either does not activate the unit or is covered by the answer.
    """

    def __init__(self, options: Options, judge: Judge, context: RunContext, attempt: int, claims: Claims) -> None:
        self._options, self._judge, self._context, self._claims = options, judge, context, claims
        self.images = FreshImages(context, attempt)
        self.untested: list[str] = []
        self.predictions: list[Prediction] = []
        self.checks: list[Check] = []
        self.settled = False
        self._culprits: dict[int, str] = {}

    def run(self) -> None:
        """Makes all measurements and decides."""
        images, options = self.images, self._options
        source = exemplar_source(self._context, self._context.system)
        # More than an index holds would make MAIA measure the data set again.
        exemplars, _ = source.exemplars(self._context.system, max(options.images, TOP))
        setting = Setting(
            options, self._context, self._judge, self._claims, images, Predictor(self._judge, self._claims), exemplars
        )
        setting.untested = self.untested
        controls = images.ask("control", self._control_prompts(), 1)
        positives = [Positives(setting, claim, controls) for claim in self._claims.each]
        parts: list[Kind] = [Alone(p, thing) for p in positives if len(p.claim.things) > 1 for thing in p.claim.things]
        real = RealImages(setting)
        for kind in (*positives, *parts, real):
            kind.ask()
        setting.covers = Covers(self._judge, [(p.claim, p.prompts) for p in positives])
        images.ask("near miss", near_misses(setting), 1)
        candidates = images.ask("candidate", self._candidates(setting.covers), 1)
        images.measure()
        controls[:] = [group for group in controls if group.probes]
        if len(controls) < MIN_CONDITIONS:
            self.untested.append("the generator makes no control images")
            return
        scale = response_scale(controls, exemplars)
        if scale is None:
            self.untested.append(
                "no image of the data set activates the unit more than generated pictures of other things"
            )
            return
        setting.scale = scale
        low = [group for group in candidates if group.probes and group.highest < scale.level]
        setting.stand_ins = tuple(group.text for group in sorted(low, key=lambda group: group.highest))
        second: list[Kind] = [Edits(p) for p in positives if has(self._context, "editor") and options.edits]
        left_out = LeftOut(setting, real)
        second += [left_out] * bool(has(self._context, "describer") and options.left_out)
        tested = [p for p in positives if p.groups]
        for kind in second:
            kind.ask()
        images.measure()
        self._decide([*positives, *parts, *second[:-1], real, *second[-1:]])
        self.settled = real.exhausted and (self._silent or left_out.only_covered)
        if tested:
            self._predict(setting, real)

    def _decide(self, kinds: Sequence[Kind]) -> None:
        """Decides, and takes more pictures of what is undecided, as often as the options allow."""
        looks = self._options.rounds
        for look in range(looks):
            self.untested.clear()
            drafted: list[tuple[Kind, Draft]] = [(kind, draft) for kind in kinds for draft in kind.drafts()]
            drafts = [draft for _, draft in drafted]
            self.checks = decide(drafts, looks, self.images.seed)
            open_ = [kind for (kind, _), check in zip(drafted, self.checks, strict=True) if check.undecided]
            if self._unsettled:
                # Pictures of what the labels leave out can settle the completeness check, if there are enough of them.
                open_ += [kind for kind in kinds if isinstance(kind, LeftOut)]
            if not open_ or look == looks - 1:
                break
            for kind in dict.fromkeys(open_):
                kind.ask()
            self.images.measure()
        for draft, check in zip(drafts, self.checks, strict=True):
            if not check.passed:
                self._culprits = {id(probe): check.claim for probe in draft.culprits} | self._culprits

    def _predict(self, setting: Setting, real: RealImages) -> None:
        """Says how well the answer predicts all generated images, and all real ones."""
        level, seed = setting.scale.level, self.images.seed
        generated = [g for g in self.images.groups if g.original is None and not g.condition.startswith("real")]
        for on, groups in (("generated", generated), ("real", real.independent)):
            if not groups:
                continue
            made = setting.predictor.prediction(on, groups, level, seed)
            self.predictions += [made] if made else []
            if not made:
                self.untested.append(f"how well the answer predicts {on} images (their activations do not vary)")

    @property
    def _silent(self) -> bool:
        """Whether what the labels leave out surely does not activate the unit."""
        return any(check.claim == OTHERS and check.passed and check.low > SILENT for check in self.checks)

    @property
    def _unsettled(self) -> bool:
        return not self._silent and any(check.claim == COMPLETE and check.undecided for check in self.checks)

    @property
    def holds(self) -> bool:
        """Whether every check that counts holds."""
        return all(check.passed for check in self.checks if check not in self.excused)

    @property
    def excused(self) -> list[Check]:
        """The checks that stay undecided because their evidence is used up, where other evidence settles them."""
        return [check for check in self.checks if self.settled and check.undecided and check.claim == COMPLETE]

    @property
    def probes(self) -> tuple[Probe, ...]:
        """Every measured image; those that made a check fail say so."""
        return tuple(self._marked(probe) for group in self.images.groups for probe in group.probes)

    def _marked(self, probe: Probe) -> Probe:
        claim = self._culprits.get(id(probe))
        return probe.model_copy(update={"missed": True, "contradicts": claim}) if claim else probe

    def _control_prompts(self) -> list[str]:
        """Returns prompts of things that no part of the answer names."""
        written = self._judge.write_prompts(NOTHING, 4 * self._options.controls)
        prompts = list(dict.fromkeys(written))
        unlike = set(range(len(prompts)))
        for claim in self._claims.each:
            for thing in claim.things:
                ranked = self._judge.select(thing, prompts)
                unlike -= set(ranked[: len(ranked) // (2 * len(self._claims.each) + 1)])
        # Any of the rest: the least likely ones alone would all be of one sort.
        chosen = np.random.default_rng(self.images.seed).permutation(sorted(unlike))[: self._options.controls]
        return [prompts[n] for n in sorted(chosen.tolist())]

    def _candidates(self, covers: Covers) -> list[str]:
        """Returns things and backgrounds that the answer does not cover, in colours that it does not name."""
        named = [colour for claim in self._claims.each for thing in claim.things for colour in _colours(thing)]
        free = [colour for colour in ("blue", "green", "brown", "yellow", "red", "purple") if colour not in named]
        things = [
            f"a {free[n % len(free)]} {thing}" if named else f"{_article(thing)} {thing}"
            for n, thing in enumerate(THINGS)
        ]
        return [text for text in (*things, *PLACES) if not covers(text)]


def near_misses(setting: Setting) -> list[str]:
    """Returns prompts that show nearly what the answer says: they fill the middle of the range of activations."""
    write = getattr(setting.judge, "write_near", None)
    count = setting.options.near
    written = write(setting.claims.label, 2 * count) if write and count else []
    return [prompt for prompt in written if not setting.covers(prompt)][:count]


def has(context: RunContext, engine: str) -> bool:
    """Says whether the run has an engine: a check that needs one is left out without it."""
    return bool(getattr(context.config, engine).name != NONE)


def _colours(thing: str) -> list[str]:
    content = content_of(thing)
    named = [colour for each in content.things for colour in each.colours]
    named += content.place.colours if content.place else ()
    return [colour for colour in named if colour in COLOURS]


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"
