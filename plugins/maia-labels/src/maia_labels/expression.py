"""Labels as expressions: concepts joined by OR, AND, NOT and `|` ("given")."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

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


def holds(expression: Expression, predicate: Callable[[str], bool]) -> bool:
    """Returns whether an expression is true where `predicate` tells which concepts are there; given reads as AND."""
    match expression:
        case Concept(text):
            return predicate(text)
        case Not(part):
            return not holds(part, predicate)
        case Or(parts):
            return any(holds(part, predicate) for part in parts)
        case And() | Given():
            return all(holds(part, predicate) for part in children(expression))


def any_of(texts: Iterable[str]) -> str:
    """Joins the texts of alternatives: `a OR b`. The texts are not read, so their own operators get no parentheses."""
    return " OR ".join(texts)


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
            own, text = 1, any_of(_text(part, 2) for part in parts)
        case And(parts):
            own, text = 2, " AND ".join(_text(part, 3) for part in parts)
        case Not(part):
            own, text = 3, f"NOT {_text(part, 3)}"
    return f"({text})" if own < outer else text


def _quoted(text: str) -> str:
    bare = all(BARE_WORD.fullmatch(word) and word.upper() not in OPERATORS for word in text.split(" "))
    return text if bare else f'"{text}"'
