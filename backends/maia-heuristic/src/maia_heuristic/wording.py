"""Puts rules and findings into words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

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


WEAK = 0.5
"""Below this share of an exemplar's activation a label is weak."""


def sentence(shares: Mapping[str, float]) -> str:
    """Returns one sentence for people that unites labels, the weak ones last; `shares` are how strongly each drives."""
    ordered = sorted(shares, key=lambda name: -shares[name])
    strong = [name for name in ordered if shares[name] >= WEAK] or ordered[:1]
    weak = [name for name in ordered if name not in strong]
    also = f"; also, more weakly, to {_listed(weak)}" if weak else ""
    return f"The unit responds to {_listed(strong)}{also}."


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def effect(c: Contrast) -> str:
    """Returns a contrast as people report it."""
    d = "d > 10" if c.d > 10 or math.isinf(c.d) else f"d = {c.d:.2f}"
    return (
        f"mean activation {c.mean:.3g} (n = {c.positives}) against {c.control_mean:.3g} (n = {c.controls}); {d}, "
        f"AUC {c.auc:.2f} [{c.low:.2f}, {c.high:.2f}], p = {c.p:.2g}"
    )
