"""How well labels name what a synthetic neuron of the collage laboratory responds to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

from maia_core.plugin import UsageError
from maia_labels.expression import And, Concept, Expression, Given, Not, Or, concepts
from maia_labels.parser import parse

Verdict = Literal["right", "near", "wrong"]


class Key(NamedTuple):
    """What a text names in the laboratory: equal for "tiger" and "tigers", for "red thing" and "red things"."""

    tree: str
    name: str
    colours: frozenset[str] = frozenset()
    round: bool = False


def verdict(truth: Expression, labels: Iterable[str]) -> Verdict:
    """Judges the labels of an explanation; each names a concept to which the neuron responds.

    Returns:
        `right` if they name exactly the concepts of the truth, joined as there (`A given B` in this order; the order in
        A OR B does not matter); `near` if each concept that they name is one of the truth's, or a broader or narrower
        one, but something is missing, too much, or on another level; else `wrong`.
    """
    claim = claimed(labels)
    if _form(claim) == _form(truth):
        return "right"
    true = [key(text) for text in concepts(truth)]
    return "near" if all(any(_related(key(text), t) for t in true) for text in concepts(claim)) else "wrong"


def claimed(labels: Iterable[str]) -> Expression:
    """Reads labels as one expression: an OR of all. A label that does not parse counts as a concept."""
    parts = [_claim(label) for label in labels if label.strip()]
    if not parts:
        return Concept("")
    return parts[0] if len(parts) == 1 else Or(tuple(parts))


def key(text: str) -> Key:
    """Returns what a text names; one that the laboratory does not know names itself."""
    from maia_collage.colours import base
    from maia_collage.detector import query

    try:
        phrase = query(text)
    except UsageError:
        return Key("unknown", text)
    colours = frozenset(map(base, phrase.colours))
    if phrase.entry:
        return Key("backgrounds" if phrase.entry.background else "things", phrase.entry.name, colours, phrase.round)
    return Key("things" if phrase.wildcard else "backgrounds" if phrase.generic else "any", "", colours, phrase.round)


def _claim(label: str) -> Expression:
    try:
        return parse(label)
    except UsageError:
        return Concept(" ".join(label.lower().split()))


def _form(expression: Expression) -> Any:
    """Returns an expression in a form in which order and repetition in OR and AND do not matter."""
    match expression:
        case Concept(text):
            return key(text)
        case Not(part):
            return ("not", _form(part))
        case Given(part, condition):
            return ("given", _form(part), _form(condition))
        case Or() | And():
            parts = frozenset(_leaves(expression, type(expression)))
            return (type(expression).__name__, parts) if len(parts) > 1 else next(iter(parts))


def _leaves(expression: Expression, joined: type[Or] | type[And]) -> Iterator[Any]:
    if isinstance(expression, joined):
        for part in expression.parts:
            yield from _leaves(part, joined)
    else:
        yield _form(expression)


def _related(one: Key, other: Key) -> bool:
    if one == other:
        return True
    if one.tree != other.tree or not (one.name and other.name) or one.tree == "unknown":
        return False
    from maia_labels.vocabulary import vocabulary

    tree = vocabulary().kinds if one.tree == "backgrounds" else vocabulary().concepts
    return one.name in tree.path(other.name) or other.name in tree.path(one.name)
