"""Scenes that are cases of a rule or of its concepts, their relatives, and whether a rule holds for them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maia_heuristic.evidence import Evidence
from maia_heuristic.hypotheses import PLAIN_KIND, Concept, Rule, Term, term_degree
from maia_heuristic.knowledge import Knowledge
from maia_heuristic.scenes import ANYTHING, PLAIN, Scene


def possible(scene: Scene, evidence: Evidence) -> bool:
    """Says whether the generator was not seen to fail at a part of the scene."""
    return evidence.missing.isdisjoint([name for name, _ in scene.things] + [scene.background])


def holds(rule: Rule, scene: Scene, knowledge: Knowledge) -> float:
    """Returns how far a rule holds for a scene, from 0 to 1."""
    misses = 1.0
    for term in rule:
        misses *= 1 - term_degree(term, scene, None, knowledge)
    return 1 - misses


def variants(concept: Concept, knowledge: Knowledge) -> list[Concept]:
    """Returns concepts to compare one with: under it, beside it, above it."""
    aspect, name = concept
    if aspect in ("thing", "background"):
        above = knowledge.above(name)
        family = {member for kind in [name, *above] for member in knowledge.members(kind)}
        return [Concept(aspect, other) for other in sorted(family | {name, *above})]
    if aspect in ("colour", "tint"):
        return [Concept(a, colour) for colour in knowledge.colours for a in ("colour", "tint")]
    return [Concept(aspect, other) for other in sorted(knowledge.patterns | {name})]


def compose(concepts: Sequence[Concept]) -> Scene:
    """Builds a scene that shows the given concepts and nothing else that matters."""
    things: list[tuple[str, str]] = []
    background, pattern, tint = "", "", ""
    for aspect, name in concepts:
        if aspect == "thing":
            things.append((name, ""))
        elif aspect == "colour":
            things.append((ANYTHING, name))
        elif aspect == "background":
            background = name if name != PLAIN_KIND else PLAIN
        elif aspect == "tint":
            background = background or f"plain {name}"
        else:
            pattern = name
    if pattern and not things:
        return Scene(pattern=pattern, tint=tint)
    return Scene(tuple(things), background or PLAIN)


def examples(term: Term, evidence: Evidence, most: int) -> list[tuple[Concept, ...]]:
    """Returns concrete cases of a term: for a kind its members, those measured highest first."""
    knowledge = evidence.notebook.knowledge
    heights: dict[str, list[float]] = {}
    for trial, response in zip(evidence.data.trials, evidence.data.response, strict=True):
        if len(trial.scene.things) == 1:
            heights.setdefault(trial.scene.things[0][0], []).append(float(response))

    def cases(concept: Concept) -> list[Concept]:
        if concept.aspect not in ("thing", "background"):
            return [concept]
        # A case that the generator is known to be able to show comes first.
        members = knowledge.members(concept.name)
        tried = [name for name in members if name in heights]
        if len(term) == 1:
            tried.sort(key=lambda name: (-float(np.mean(heights[name])), name))
        return [Concept(concept.aspect, name) for name in (tried or [concept.name])[:most]]

    options = [[c for c in cases(concept) if c.name not in evidence.missing] or [concept] for concept in term]
    count = max(len(option) for option in options)
    return [tuple(option[i % len(option)] for option in options) for i in range(min(count, most))]


def sample_neighbours(name: str, knowledge: Knowledge) -> list[str]:
    """Returns the nearest things that are something else, from the narrowest kind outwards."""
    near: list[str] = []
    for kind in knowledge.above(name):
        near += [other for other in knowledge.members(kind) if other != name and other not in near]
    return near
