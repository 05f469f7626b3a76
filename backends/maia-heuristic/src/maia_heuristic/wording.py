"""Puts rules and findings into words."""

from __future__ import annotations

import math

from maia_heuristic.hypotheses import Concept, Rule, Term
from maia_heuristic.statistics import Contrast


def label(term: Term) -> str:
    """Returns the short label of a term: "tiger", "red things", "snow", "dog given snow"."""
    return " given ".join(_name(concept) for concept in term)


def _name(concept: Concept) -> str:
    return f"{concept.name} things" if concept.aspect == "colour" else concept.name


def phrase(term: Term) -> str:
    """Returns a term in a few words that say what kind of property it is."""
    if len(term) == 2:
        return f"{phrase(term[:1])}, only where {phrase(term[1:])} is there too"
    concept = term[0]
    return {
        "thing": f"{concept.name} (the object)",
        "colour": f"{concept.name} things (any {concept.name} object)",
        "tint": f"the colour {concept.name}, on objects and on plain surfaces alike",
        "background": f"{concept.name} (as the background)",
        "pattern": f"{concept.name} as a pattern or texture",
    }[concept.aspect]


def short(rule: Rule) -> str:
    """Returns a rule on one line."""
    return " OR ".join(label(term) for term in rule) or "nothing in particular"


def effect(c: Contrast) -> str:
    """Returns a contrast as people report it."""
    d = "d > 10" if c.d > 10 or math.isinf(c.d) else f"d = {c.d:.2f}"
    return (
        f"mean activation {c.mean:.3g} (n = {c.positives}) against {c.control_mean:.3g} (n = {c.controls}); {d}, "
        f"AUC {c.auc:.2f} [{c.low:.2f}, {c.high:.2f}], p = {c.p:.2g}"
    )
