"""Judges: what evaluation and verification ask about labels."""

from maia_labels import NOTHING, Parts, joined, parts_of, says_nothing

__all__ = ["NOTHING", "Parts", "joined", "parts_of", "says_nothing"]
