"""Labels: one grammar of expressions, a lenient reader of what models write, and the tree of concepts they name."""

from maia_labels.expression import And, Concept, Expression, Given, Not, Or, any_of, concepts, holds, text_of
from maia_labels.parser import parse
from maia_labels.parts import NOTHING, Parts, joined, parts_of, says_nothing

__all__ = [
    "NOTHING",
    "And",
    "Concept",
    "Expression",
    "Given",
    "Not",
    "Or",
    "Parts",
    "any_of",
    "concepts",
    "holds",
    "joined",
    "parse",
    "parts_of",
    "says_nothing",
    "text_of",
]
