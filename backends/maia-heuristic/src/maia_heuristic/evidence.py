"""What the measurements say: activations on one scale, what the exemplars suggest, and the hypotheses in order."""

from __future__ import annotations

import itertools
import re
import statistics as stdlib_statistics
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from maia_heuristic.describing import Description
from maia_heuristic.hypotheses import PLAIN_KIND, Concept, Data, Fit, Rule, Term, Vector, candidate_terms
from maia_heuristic.knowledge import Knowledge
from maia_heuristic.reading import Notebook, Trial, missing_names
from maia_heuristic.scenes import Scene

BORDER = 0.5
"""An active region that holds this share of a picture's border is taken for its background."""


@dataclass
class Evidence:
    """The state of the inquiry, derived from the notebook.

    Attributes:
        notebook: What was read.
        support: How strongly the active regions of the exemplars suggest a concept.
        around: How strongly what surrounds them does.
        base: The usual activation.
        top: The activation of an ordinary exemplar.
        data: The usable trials as numbers.
        terms: The terms that were fitted.
        best: The best rule.
        missing: Names that the generator cannot show.
    """

    notebook: Notebook
    support: dict[Concept, float]
    around: dict[Concept, float]
    base: float
    top: float
    data: Data
    terms: list[Term]
    best: Fit
    missing: frozenset[str]

    def respond(self, activations: Iterable[float]) -> Vector:
        """Puts activations on the scale of the exemplars: 0 is usual, 1 is an exemplar's."""
        return normalised(np.array(list(activations), dtype=np.float64), self.base, self.top)

    def strength(self, term: Term) -> float:
        """Returns the mean response to scenes where a term surely holds; 0 if there is none."""
        sure = self.data.degree(term) >= 0.9
        return float(self.data.response[sure].mean()) if sure.any() else 0.0


def weigh(notebook: Notebook) -> Evidence:
    """Derives the evidence from the notebook."""
    knowledge = notebook.knowledge
    support = concept_support([(e.region, e.border) for e in notebook.exemplars], knowledge)
    around = concept_support([(e.rest, 1.0) for e in notebook.exemplars], knowledge)
    trials = usable(notebook)
    base, top = scale(notebook, [trial.activation for trial in trials])
    response = normalised(np.array([t.activation for t in trials], dtype=np.float64), base, top)
    data = Data(trials, response, knowledge, support)
    terms = candidate_terms(data)
    best = data.best(terms) if trials else Fit((), 0.0, 0.0, 0.0, 0.0)
    return Evidence(notebook, support, around, base, top, data, terms, best, missing_names(notebook))


_INSTEAD = re.compile(r"'([^']+)'[^;']*;\s*(?:drew|showing|shows?|used|using)\s+(?:an? )?'([^']+)' instead")


def usable(notebook: Notebook) -> list[Trial]:
    """Takes the trials as what they show: a stand-in that a note names counts, other noted trials are left out."""
    kept = []
    for trial in notebook.trials:
        if trial.original in notebook.notes:
            continue
        note = notebook.notes.get(trial.prompt)
        scene = trial.scene if note is None else stand_in(trial.scene, note)
        if scene is not None:
            kept.append(trial if scene is trial.scene else replace(trial, scene=scene))
    return kept


def stand_in(scene: Scene, note: str) -> Scene | None:
    """Returns the scene that a note says was made instead, None if it does not say so in so many words."""
    if note.count("'") != 4 or not (match := _INSTEAD.search(note)):
        return None
    asked, made = match.groups()
    if asked == scene.background and scene.things:
        return replace(scene, background=made)
    if asked in [name for name, _ in scene.things]:
        return replace(scene, things=tuple((made if name == asked else name, paint) for name, paint in scene.things))
    return None


def scale(notebook: Notebook, measured: list[float]) -> tuple[float, float]:
    """Returns the activations that count as usual and as an exemplar's."""
    exemplars = [exemplar.activation for exemplar in notebook.exemplars]
    top = stdlib_statistics.median(exemplars) if exemplars else max(measured, default=1.0)
    usual = notebook.quantiles.get(0.5, stdlib_statistics.median(measured) if measured else 0.0)
    lowest = min(measured, default=usual)
    if top - usual < 0.2 * (top - lowest):
        # A unit that most images activate: what is usual says little, the lowest responses are the contrast.
        usual = lowest
    return (usual, top) if top > usual else (usual, usual + max(1e-9, abs(usual)))


def normalised(activations: Vector, base: float, top: float) -> Vector:
    """Maps `base` to 0 and `top` to 1; cut off at -0.5 and 1.5, so that single images do not rule."""
    return np.clip((activations - base) / (top - base), -0.5, 1.5)


def concept_support(views: Iterable[tuple[Description, float]], knowledge: Knowledge) -> dict[Concept, float]:
    """Adds up over exemplars how strongly each concept is seen; `views` are descriptions and border shares."""
    support: dict[Concept, float] = {}

    def add(aspect: str, name: str, weight: float) -> None:
        concept = Concept(aspect, name)
        support[concept] = support.get(concept, 0.0) + weight

    for seen, border in views:
        # Confident names count in full, however near the runner-up; a guess counts as one.
        strongest = max([0.3, *(weight for _, weight in seen.names)])
        kinds: dict[str, float] = {}
        for name, weight in [(n, w) for n, w in seen.names[:4] if w >= 0.02]:
            add("thing", name, weight / strongest)
            for kind in knowledge.above(name):
                kinds[kind] = max(kinds.get(kind, 0.0), 0.5 * weight / strongest)
        for kind in seen.kinds:
            kinds[kind] = 1.0
        for kind, weight in kinds.items():
            add("thing", kind, weight)
        for colour, share in seen.colours[:3]:
            add("colour", colour, min(1.0, 2 * share))
        for texture in seen.textures:
            if texture in knowledge.patterns:
                add("pattern", texture, 1.0)
        for background in seen.backgrounds:
            for name in [background, *knowledge.above(background)]:
                add("background", name, 1.0 if border >= BORDER else 0.5)
    return support


def alternatives(evidence: Evidence, most: int = 12, within: float = 18.0) -> list[Fit]:
    """Returns the best rule and the rules near it that fit almost as well, best first.

    Near means: one term left out, added, or with one concept made broader or narrower.
    """
    data, knowledge = evidence.data, evidence.notebook.knowledge
    rules: set[Rule] = {evidence.best.rule}
    doubts: set[Rule] = set()  # Whether each term is needed is always worth a test.
    for place, term in enumerate(evidence.best.rule):
        others = evidence.best.rule[:place] + evidence.best.rule[place + 1 :]
        doubts.add(others)
        for spot, concept in enumerate(term):
            for near in related(concept, evidence.terms, knowledge):
                rules.add((*others, (*term[:spot], near, *term[spot + 1 :])))
        for single in term if len(term) > 1 else ():
            rules.add((*others, (single,)))
    if len(evidence.best.rule) < 3:
        rules |= {(*evidence.best.rule, term) for term in evidence.terms if term not in evidence.best.rule}
    fits = sorted((data.fit(rule) for rule in rules - doubts), key=lambda fit: (-fit.score, fit.rule))
    close = [fit for fit in fits if fit.score > evidence.best.score - within][:most]
    shorter = sorted((data.fit(rule) for rule in doubts if rule), key=lambda fit: (-fit.score, fit.rule))
    return close + shorter


def related(concept: Concept, terms: Iterable[Term], knowledge: Knowledge) -> list[Concept]:
    """Returns the broader concepts of one, and the narrower ones as far as they were fitted."""
    fitted = {c for term in terms for c in term if c.aspect == concept.aspect}
    near = {c for c in fitted if knowledge.is_a(c.name, concept.name) or knowledge.is_a(concept.name, c.name)}
    if concept.aspect in ("thing", "background"):
        near |= {Concept(concept.aspect, name) for name in knowledge.above(concept.name)}
    if concept.aspect in ("colour", "tint"):
        near |= {Concept("colour", concept.name), Concept("tint", concept.name)}
    return sorted(near - {concept})


def implies(term: Term, other: Term, knowledge: Knowledge) -> bool:
    """Says whether `other` holds wherever `term` does: its concepts are those of `term`, or broader."""
    return all(any(_narrower(a, b, knowledge) for a in term) for b in other)


def _narrower(a: Concept, b: Concept, knowledge: Knowledge) -> bool:
    if a.aspect == b.aspect == "background" and b.name == PLAIN_KIND:
        return a.name.startswith("plain ")
    if (a.aspect, b.aspect) == ("colour", "tint"):
        return a.name == b.name
    return a.aspect == b.aspect and knowledge.is_a(a.name, b.name)


def redundant(rule: Rule, knowledge: Knowledge) -> bool:
    """Says whether a term of the rule adds nothing in words: it implies another ("tiger OR cat family")."""
    return any(implies(one, other, knowledge) for one, other in itertools.permutations(rule, 2))
