"""What a synthetic neuron responds to: concepts joined by OR, AND, NOT and `|` ("given"), and what such a text means.

One concept responds to an image by the score of its detector (0 where it is not found) and the mask of what was found.
From these every expression has a value in [0, 1] and a place; it is *there* where its value is above 0.

    expression          value                                          place
    A OR B              mean of those that are there, 0 if none is     theirs together
    A | B (A given B)   that of A if B is there, else 0                that of A
    A AND B             the smallest, 0 unless all are there           theirs together
    NOT A               1 if A is not there, else 0                    nothing in particular

OR and given are the paper's (appendix C4). AND is the smallest value because the image is no surer to show all of them
than to show the least sure one; this leaves `A AND NOT B` ("A but not B") the value and the place of A, as given does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import Mask

Vector = NDArray[np.float64]

OPERATORS = ("AND", "OR", "NOT", "BUT", "GIVEN")
BARE_WORD = re.compile(r"[\w'’.-]+")
"""A word of a concept that needs no quotes."""


@dataclass(frozen=True)
class Concept:
    """What a detector is asked for: lower case, single spaces."""

    text: str


@dataclass(frozen=True)
class Not:
    """Where something is not there."""

    part: Expression


@dataclass(frozen=True)
class And:
    """Where all of two or more are there."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class Or:
    """Where at least one of two or more is there."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class Given:
    """Something, where a condition is there too."""

    part: Expression
    condition: Expression


Expression = Concept | Not | And | Or | Given


def children(expression: Expression) -> tuple[Expression, ...]:
    """Returns the expressions that an expression is made of, in the order of its text."""
    match expression:
        case Concept():
            return ()
        case Not(part):
            return (part,)
        case And(parts) | Or(parts):
            return parts
        case Given(part, condition):
            return (part, condition)


def concepts(expression: Expression) -> list[str]:
    """Returns the concepts of an expression, each once, in the order of its text."""

    def walk(node: Expression) -> Iterator[str]:
        if isinstance(node, Concept):
            yield node.text
        for child in children(node):
            yield from walk(child)

    return list(dict.fromkeys(walk(expression)))


def kind(expression: Expression) -> str:
    """Returns the form of a neuron: `one concept`, `A OR B`, `A given B` (the paper's), or one of ours."""
    match expression:
        case Concept():
            return "one concept"
        case Or((Concept(), Concept())):
            return "A OR B"
        case Given(Concept(), Concept()):
            return "A given B"
        case And((Concept(), Concept())):
            return "A AND B"
        case And((Concept(), Not(Concept()))) | Given(Concept(), Not(Concept())):
            return "A but not B"
    return "compound"


def values(expression: Expression, scores: Mapping[str, Vector]) -> Vector:
    """Returns the value of an expression in each of n images.

    Args:
        expression: The expression.
        scores: For each of its concepts, float64 of shape (n,): the detector's best score in [0, 1], 0 where it found
            nothing, NaN where the image could not be read.

    Returns:
        float64 of shape (n,), values in [0, 1]; NaN where an image could not be read.
    """
    match expression:
        case Concept(text):
            return scores[text]
        case Not(part):
            inner = values(part, scores)
            return np.where(np.isnan(inner), inner, inner == 0)
        case And(parts):
            return np.asarray(np.min([values(part, scores) for part in parts], axis=0))
        case Or(parts):
            stacked = np.array([values(part, scores) for part in parts])
            return np.asarray(stacked.sum(axis=0) / np.maximum((stacked != 0).sum(axis=0), 1))
        case Given(part, condition):
            inner, present = values(part, scores), values(condition, scores)
            return np.where(present == 0, 0.0, inner)


def place(expression: Expression, scores: Mapping[str, float], masks: Mapping[str, Mask]) -> Mask | None:
    """Returns where in one image an expression is there.

    Args:
        expression: The expression.
        scores: For each of its concepts the detector's best score, 0 where it found nothing.
        masks: For each of its concepts everything that was found, bool of shape (height, width).

    Returns:
        A mask, or None where the expression is not there or points at nothing in particular (`NOT A`).
    """
    at = {text: np.array([score]) for text, score in scores.items()}
    if values(expression, at)[0] == 0:
        return None
    match expression:
        case Concept(text):
            return masks[text]
        case Not():
            return None
        case And(parts) | Or(parts):
            found = [mask for part in parts if (mask := place(part, scores, masks)) is not None]
            return np.logical_or.reduce(found) if found else None
        case Given(part, _):
            return place(part, scores, masks)


def text_of(expression: Expression) -> str:
    """Returns an expression as a text that reads back as the same, with no more parentheses and quotes than needed."""
    return _text(expression, 0)


def _text(expression: Expression, outer: int) -> str:
    """Writes an expression in parentheses where it binds less than what stands around it (`outer`: 0 to 3)."""
    match expression:
        case Concept(text):
            return _quoted(text)
        case Given(part, condition):
            own, text = 0, f"{_text(part, 0)} | {_text(condition, 1)}"
        case Or(parts):
            own, text = 1, " OR ".join(_text(part, 2) for part in parts)
        case And(parts):
            own, text = 2, " AND ".join(_text(part, 3) for part in parts)
        case Not(part):
            own, text = 3, f"NOT {_text(part, 3)}"
    return f"({text})" if own < outer else text


def _quoted(text: str) -> str:
    bare = all(BARE_WORD.fullmatch(word) and word.upper() not in OPERATORS for word in text.split(" "))
    return text if bare else f'"{text}"'
