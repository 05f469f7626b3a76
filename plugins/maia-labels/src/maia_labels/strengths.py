"""How strongly a concept of a label drives a unit, as models write it: "dogs (80 %)", "snow (weak)"."""

from __future__ import annotations

import re
from typing import NamedTuple

SHARES = {"main": 1.0, "weak": 0.4}
"""The share of the exemplars' activation that a word stands for where no number stands beside it."""

MIN_MAIN = 0.5
"""A concept that drives less than this share is weak, not main."""

_WORD = r"main|weak"
_NUMBER = r"(?:about |around |~|≈)?([+−-]?\d+(?:[.,]\d+)?) ?(?:%|per ?cent)"
_STRENGTH = re.compile(
    rf"^(.*?)\s*(?:[(\[]\s*(?:({_WORD})(?:[,:;]?\s+{_NUMBER})?|{_NUMBER}(?:[,:;]?\s+({_WORD}))?)\s*[)\]]"
    rf"|[,:–—]\s*{_NUMBER}|\s-\s*{_NUMBER})[.\s]*$",
    re.IGNORECASE | re.DOTALL,
)

_DEGREE = r"main(?:ly)?|weak(?:ly|est)?|strong(?:ly|est)?|medium|moderate(?:ly)?|minor|major|primary|secondary"
_UNREAD = re.compile(
    rf"(?:[(\[][^()\[\]]*(?:%|per ?cent)\s*[)\]]|\d\s*%"
    rf"|[(\[]\s*(?:0?[.,]\d+|\d+\s*/\s*\d+|(?:\w+ )?(?:{_DEGREE}))\s*[)\]])[.\s]*$",
    re.IGNORECASE,
)


class Strength(NamedTuple):
    """How strongly a concept drives a unit.

    Attributes:
        word: `main`, `weak` or nothing.
        share: Share of the exemplars' activation as it is written, so perhaps outside of [0, 1].
    """

    word: str
    share: float


def split_strength(text: str) -> tuple[str, Strength | None]:
    """Returns a text without the strength at its end, and the strength; None where the text ends with none."""
    found = _STRENGTH.match(text)
    if found is None:
        return text, None
    word = (found[2] or found[5] or "").lower()
    number = next((group for group in found.group(3, 4, 6, 7) if group), None)
    return found[1], Strength(word, SHARES[word] if number is None else _number(number) / 100)


def is_strength_unread(text: str) -> bool:
    """Returns whether a label without its strength still ends like one: "dog (very strong)", "dog 40 %"."""
    return _UNREAD.search(text) is not None


def _number(text: str) -> float:
    return float(text.replace(",", ".").replace("−", "-"))


def with_strength(text: str, share: float) -> str:
    """Returns a text with a strength below 100 % behind it; a full strength is not written."""
    return text if share >= 1 else f"{text} ({share:.0%})"
