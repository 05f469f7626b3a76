"""Judges: what evaluation and verification ask about labels."""

from maia_judges.parts import NOTHING, Parts, joined, parts_of, says_nothing

__all__ = ["NOTHING", "Parts", "joined", "parts_of", "says_nothing"]
