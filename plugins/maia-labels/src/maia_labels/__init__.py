"""Labels: one grammar of expressions, a lenient reader of what models write, and the tree of concepts they name."""

from maia_labels.expression import And, Concept, Expression, Given, Not, Or, any_of, concepts, holds, text_of
from maia_labels.lists import listed
from maia_labels.parser import parse
from maia_labels.parts import NOTHING, Parts, joined, parts_of, says_nothing
from maia_labels.strengths import MIN_MAIN, Strength, is_strength_unread, split_strength, with_strength

__all__ = [
    "MIN_MAIN",
    "NOTHING",
    "And",
    "Concept",
    "Expression",
    "Given",
    "Not",
    "Or",
    "Parts",
    "Strength",
    "any_of",
    "concepts",
    "holds",
    "is_strength_unread",
    "joined",
    "listed",
    "parse",
    "parts_of",
    "says_nothing",
    "split_strength",
    "text_of",
    "with_strength",
]
