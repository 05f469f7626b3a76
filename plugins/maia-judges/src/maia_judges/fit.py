"""How well a prompt shows what a label says, and how well two labels agree: concept tree first, then embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from maia_judges.meaning import nearness
from maia_labels.content import Content, content_of, related, shows
from maia_labels.parts import Form, Parts, cleaned, leaves, parts_of, says_nothing

TREE = 0.8
"""Weight of what the concept tree says of a text that the laboratory understands; the rest is the embedding's."""

TOGETHER = 0.1
"""How much one part of a conjunction counts without the others: it only orders what shows not all."""

Floats = NDArray[np.float64]


def fits(label: str, prompts: Sequence[str]) -> Floats:
    """Returns how likely images of each prompt show what `label` says: float64 of shape (prompts,), in [0, 1].

    A prompt of a narrower concept fits in full. A OR B is as good as the better one, A given B and A AND B as the worse
    one. A label that says nothing fits every prompt alike.
    """
    if says_nothing(label):
        return np.full(len(prompts), 0.5)
    parts = parts_of(label)
    if parts.form == "one":
        return concept_fits(parts.parts[0], prompts)
    each = np.array([fits(part, prompts) for part in parts.parts]).reshape(len(parts.parts), len(prompts))
    if parts.strengths:
        each *= np.array(parts.strengths)[:, None]
    if parts.form == "either":
        return np.asarray(each.max(0))
    return np.asarray((1 - TOGETHER) * each.min(0) + TOGETHER * each.mean(0))


def concept_fits(text: str, prompts: Sequence[str]) -> Floats:
    """Returns how likely images of each prompt show one concept: float64 of shape (prompts,), in [0, 1]."""
    near = nearness(text, prompts)
    demand = content_of(text)
    if not demand.known:
        return near
    tree = np.array([shows(demand, _pictured(prompt)) for prompt in prompts])
    return TREE * tree + (1 - TREE) * near


def _pictured(prompt: str) -> Content:
    return content_of(cleaned(prompt))


def agreement(truth: str, label: str) -> float:
    """Returns how well a label agrees with the truth, in [0, 1].

    Each concept of either side is compared with the nearest of the other, so that one that is missing costs as much as
    one too many; the same concepts joined otherwise lose a tenth.
    """
    if says_nothing(label):
        return 0.0
    true, claimed = leaves(truth), leaves(label)
    near = np.array([[_alike(one, other) for other in claimed] for one in true])
    covered = (near.max(1).mean() + near.max(0).mean()) / 2
    return float(covered * (1.0 if form(truth) == form(label) else 0.9))


def form(label: str) -> Form:
    """Returns how a label joins its concepts; order and "given" or "and" set apart forms as the pictures do."""
    parts: Parts = parts_of(label)
    return parts.form


def _alike(one: str, other: str) -> float:
    if cleaned(one).lower() == cleaned(other).lower():
        return 1.0
    near = float(nearness(one, [other])[0])
    a, b = content_of(one), content_of(other)
    if not (a.known and b.known):
        return 0.95 * near
    tree = related(a, b)
    return 1.0 if tree == 1 else 0.95 * (0.7 * tree + 0.3 * near)
