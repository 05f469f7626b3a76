"""Hypotheses as rules over scenes, and how well each rule explains what was measured.

A rule is an OR of terms, a term is one concept or two that must be there together. A rule predicts one level of
activation where it holds and another where it does not; rules are compared by how much variance that leaves, with a
price for every term (a Bayesian information criterion with a floor under the noise).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maia_heuristic.knowledge import Knowledge
from maia_heuristic.reading import Trial, object_colours
from maia_heuristic.scenes import ANYTHING, Scene

Vector = NDArray[np.float64]

NOISE_FLOOR = 0.02
"""Variance, in units of the exemplars' response, that no rule is asked to explain."""
NARROWER = 8
"""Of what is narrower than a term, so many are tried two by two: those that alone explain most."""

PLAIN_KIND = "plain background"
_TREES = ("thing", "background")


class Concept(NamedTuple):
    """One property of a scene.

    `aspect` is "thing" (an object or a kind of objects), "colour" (of an object), "background", "pattern", or "tint" (a
    colour wherever it is: on objects, backgrounds, patterns).
    """

    aspect: str
    name: str


Term = tuple[Concept, ...]
Rule = tuple[Term, ...]


class Fit(NamedTuple):
    """A rule and how it does.

    Attributes:
        rule: The rule.
        score: Higher is better; differences of a few units are nothing, of ten and more are evidence.
        low: Normalised activation where the rule does not hold.
        high: Normalised activation where it does.
        r2: Share of the variance that it explains.
    """

    rule: Rule
    score: float
    low: float
    high: float
    r2: float


class Data:
    """The trials as numbers: normalised activations, and to what degree each concept is in each scene."""

    def __init__(
        self, trials: Sequence[Trial], response: Vector, knowledge: Knowledge, support: dict[Concept, float]
    ) -> None:
        """Takes the trials.

        Args:
            trials: What was measured, n of it.
            response: Shape (n,): 0 for the usual activation, 1 for that of the exemplars.
            knowledge: What is a kind of what.
            support: How strongly the exemplars suggest a concept, from 0; decides between equals.
        """
        self.trials = trials
        self.response = response
        self.knowledge = knowledge
        self.support = support
        self._degrees: dict[Term, Vector] = {}
        self._prices: dict[Term, float] = {}

    def degree(self, term: Term) -> Vector:
        """Returns for each trial to what degree the term holds: shape (n,), values in [0, 1]."""
        if term not in self._degrees:
            if len(term) > 1 and not _two_things(term):
                self._degrees[term] = np.prod([self.degree((concept,)) for concept in term], axis=0)
            else:
                values = [term_degree(term, trial.scene, trial, self.knowledge) for trial in self.trials]
                self._degrees[term] = np.array(values, dtype=np.float64)
        return self._degrees[term]

    def holds(self, rule: Rule) -> Vector:
        """Returns for each trial to what degree the rule holds."""
        misses = np.ones(len(self.trials))
        for term in rule:
            misses = misses * (1 - self.degree(term))
        return 1 - misses

    def fit(self, rule: Rule) -> Fit:
        """Fits the two levels of a rule to the trials."""
        return self._fits([rule], self.holds(rule)[None])[0]

    def _fits(self, rules: Sequence[Rule], holds: Vector) -> list[Fit]:
        """Fits many rules at once; `holds` has shape (rules, n)."""
        n = len(self.response)
        if not n:
            return [Fit(rule, -self._price(rule), 0.0, 0.0, 0.0) for rule in rules]
        y = self.response
        x_mean, y_mean = holds.mean(axis=1), y.mean()
        x_var = holds.var(axis=1)
        covariance = (holds @ y) / n - x_mean * y_mean
        # A rule must raise the activation; one that holds everywhere or nowhere explains nothing.
        slope = np.where((x_var > 1e-9) & (covariance > 0), covariance / np.maximum(x_var, 1e-9), 0.0)
        left = y.var() - slope * covariance
        score = -n / 2 * np.log(left + NOISE_FLOOR)
        low = y_mean - slope * x_mean
        r2 = slope * covariance / max(float(y.var()), 1e-12)  # 0, not 1, where all activations are the same.
        return [
            Fit(rule, float(s) - self._price(rule), float(lo), float(lo + k), float(r))
            for rule, s, lo, k, r in zip(rules, score, low, slope, r2, strict=True)
        ]

    def _price(self, rule: Rule) -> float:
        return sum(self._price_of(term) for term in rule)

    def _price_of(self, term: Term) -> float:
        if term not in self._prices:
            price = 4.0 + 4.0 * len(term)
            # Of two concepts that explain the same the narrower one says more.
            price += sum(self._breadth(c.name) for c in term if c.aspect in _TREES)
            price -= sum(0.5 * float(np.log1p(self.support.get(concept, 0.0))) for concept in term)
            self._prices[term] = price
        return self._prices[term]

    def _breadth(self, name: str) -> float:
        members = self.knowledge.members(name)
        return float(self.knowledge.is_kind(name)) + 0.2 * float(np.log(len(members)))

    def nothing(self) -> Fit:
        """Returns the fit of the rule that predicts the same everywhere."""
        return self.fit(())

    def best(self, terms: Sequence[Term], most: int = 3) -> Fit:
        """Searches the best rule of up to `most` of the given terms.

        Adds, drops and exchanges one at a time, or one place for two narrower ones, each of which alone may be worse
        (of the sky, dusk and sunset).
        """
        matrix = np.array([self.degree(term) for term in terms]).reshape(len(terms), len(self.trials))
        best = self.nothing()
        for _ in range(2 * most + 2):
            starts = [best.rule, *(best.rule[:i] + best.rule[i + 1 :] for i in range(len(best.rule)))]
            found = best
            for start in starts:
                candidates = [self.fit(start)]
                if len(start) < most and len(terms):
                    holds = 1 - (1 - self.holds(start))[None] * (1 - matrix)
                    fits = self._fits([(*start, term) for term in terms], holds)
                    candidates += [fit for fit in fits if fit.rule[-1] not in start]
                found = max(found, *candidates, key=lambda fit: fit.score)
            for place, term in enumerate(best.rule):
                rest = best.rule[:place] + best.rule[place + 1 :]
                if len(rest) + 2 <= most:
                    narrower = [self.fit((other,)) for other in terms if self._narrower(other, term)]
                    nearest = sorted(narrower, key=lambda fit: -fit.score)[:NARROWER]
                    pairs = [(*one.rule, *other.rule) for one, other in itertools.combinations(nearest, 2)]
                    parts = [(*rest, *pair) for pair in pairs if self._too_broad(term, pair)]
                    found = max([found, *map(self.fit, parts)], key=lambda fit: fit.score)
            if found.score <= best.score + 1e-9:
                return best
            best = found
        return best

    def _too_broad(self, term: Term, parts: Rule) -> bool:
        """Tells whether what a term covers beside these parts of it was seen not to respond."""
        beside = (self.degree(term) > 0.9) & (self.holds(parts) < 0.1)
        return bool(beside.sum() >= 2) and float(self.response[beside].mean()) < 0.3

    def _narrower(self, one: Term, other: Term) -> bool:
        """Tells whether a term is another one in a narrower place.

        Only places, whose names overlap: who draws one scene for dusk and sunset lets neither of them explain it alone.
        """
        if len(one) != len(other) or one == other:
            return False
        return all(
            a == b or (a.aspect == b.aspect == "background" and self.knowledge.is_a(a.name, b.name))
            for a, b in zip(one, other, strict=True)
        )


def term_degree(term: Term, scene: Scene, trial: Trial | None, knowledge: Knowledge) -> float:
    """Returns to what degree a scene (of a trial, where there is one) satisfies a term."""
    if _two_things(term):
        # One thing cannot be both.
        degrees = [[_thing(name, c.name, scene, trial, knowledge) for name, _ in scene.things] for c in term]
        pairs = itertools.permutations(range(len(scene.things)), 2)
        return max((degrees[0][i] * degrees[1][j] for i, j in pairs), default=0.0)
    product = 1.0
    for concept in term:
        product *= concept_degree(concept, scene, trial, knowledge)
    return product


def _two_things(term: Term) -> bool:
    return len(term) == 2 and term[0].aspect == term[1].aspect == "thing"


def concept_degree(concept: Concept, scene: Scene, trial: Trial | None, knowledge: Knowledge) -> float:
    """Returns to what degree a scene shows one concept, in [0, 1]."""
    aspect, wanted = concept
    if aspect == "thing":
        return max((_thing(name, wanted, scene, trial, knowledge) for name, _ in scene.things), default=0.0)
    if aspect == "colour":
        return max((_colour(n, paint, wanted, scene, trial, knowledge) for n, paint in scene.things), default=0.0)
    if aspect == "tint":
        if wanted in (scene.tint, scene.background.removeprefix("plain ")):
            return 1.0
        return concept_degree(Concept("colour", wanted), scene, trial, knowledge)
    if aspect == "background":
        if not scene.background:
            return 0.1 if scene.things else 0.0
        if scene.background.startswith("plain "):
            return float(wanted in (PLAIN_KIND, scene.background))
        return knowledge.share(scene.background, wanted)
    surface = scene.pattern or scene.background
    if surface in knowledge.patterns:
        return knowledge.share(surface, wanted)
    return 0.5 if trial and trial.seen and wanted in trial.seen.textures and scene.things else 0.0


def _thing(name: str, wanted: str, scene: Scene, trial: Trial | None, knowledge: Knowledge) -> float:
    if name != ANYTHING:
        return knowledge.share(name, wanted)
    if trial and trial.seen and trial.seen.names:
        return 0.7 * knowledge.share(trial.seen.names[0][0], wanted)
    return 0.05


def _colour(name: str, paint: str, wanted: str, scene: Scene, trial: Trial | None, knowledge: Knowledge) -> float:
    if paint:
        return float(paint == wanted)
    usual = knowledge.natural(name, wanted)
    if trial and trial.seen and len(scene.things) == 1 and scene.background.startswith("plain "):
        # What this very image shows counts beside what such things usually show: a describer errs.
        return (object_colours(trial).get(wanted, 0.0) + usual) / 2
    return usual


def concepts_in(scene: Scene, knowledge: Knowledge) -> set[Concept]:
    """Returns every concept that a scene names, at every level, and the usual colours of its objects."""
    found: set[Concept] = set()
    for name, paint in scene.things:
        if name != ANYTHING:
            found |= {Concept("thing", n) for n in [name, *knowledge.above(name)]}
        usual = [colour for colour in knowledge.colours if knowledge.natural(name, colour) > 0.3]
        colours = [paint] if paint else usual
        found |= {Concept(aspect, colour) for colour in colours for aspect in ("colour", "tint")}
    if scene.background.startswith("plain "):
        colour = scene.background.removeprefix("plain ")
        found |= {Concept("background", PLAIN_KIND), Concept("background", scene.background), Concept("tint", colour)}
    elif scene.background in knowledge.patterns:
        found |= {Concept("pattern", n) for n in [scene.background, *knowledge.above(scene.background)]}
    elif scene.background:
        found |= {Concept("background", n) for n in [scene.background, *knowledge.above(scene.background)]}
    if scene.pattern:
        found |= {Concept("pattern", n) for n in [scene.pattern, *knowledge.above(scene.pattern)]}
    if scene.tint:
        found.add(Concept("tint", scene.tint))
    return found


def candidate_terms(data: Data) -> list[Term]:
    """Returns the terms worth fitting: every concept that was tried, and pairs of concepts in the strongest scenes."""
    known: set[Concept] = set()
    for trial in data.trials:
        known |= concepts_in(trial.scene, data.knowledge)
    strongest = sorted(range(len(data.trials)), key=lambda i: -data.response[i])[:16]
    pairs: set[Term] = set()
    for index in strongest:
        if data.response[index] < 0.3:
            break
        pairs |= _pairs(data.trials[index].scene, data.knowledge)
    return [(concept,) for concept in sorted(known)] + sorted(pairs)


def _pairs(scene: Scene, knowledge: Knowledge) -> set[Term]:
    """Returns the pairs of concepts that two different parts of a scene show, each at every level."""
    parts = [concepts_in(Scene((thing,)), knowledge) for thing in scene.things]
    parts.append(concepts_in(Scene(background=scene.background), knowledge))
    found: set[Term] = set()
    for one, other in itertools.combinations(parts, 2):
        found |= {_ordered(a, b) for a in one for b in other}
    for name, paint in scene.things:
        if paint and name != ANYTHING:
            found |= {_ordered(Concept("thing", n), Concept("colour", paint)) for n in [name, *knowledge.above(name)]}
    return {pair for pair in found if _sensible(pair, knowledge)}


def _ordered(a: Concept, b: Concept) -> Term:
    return (a, b) if a < b else (b, a)


def _sensible(pair: Iterable[Concept], knowledge: Knowledge) -> bool:
    a, b = pair
    if "tint" in (a.aspect, b.aspect) or "pattern" in (a.aspect, b.aspect):
        return False
    if a.aspect == b.aspect == "thing":
        return not knowledge.is_a(a.name, b.name) and not knowledge.is_a(b.name, a.name)
    plain = any(c.aspect == "background" and c.name.startswith("plain") for c in (a, b))
    return not plain and (a.aspect, b.aspect) != ("colour", "colour")
