"""Reading texts: which concepts, backgrounds and colours a text asks for, and how it joins them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from maia_nearest.colours import NAMES

SPELLING = 0.8
"""Least `difflib` ratio of a word that is taken for a known name misspelt."""

GENERIC = frozenset(["thing", "object", "item", "something", "anything", "subject"])
"""Nouns for an object of any kind: "red things"."""

ARTICLES = frozenset(["a", "an", "the", "colour", "color"])
"""Words beside a colour that say nothing of where it is."""

GROUND = frozenset(["background", "backdrop", "scene", "scenery", "surroundings"])
"""Nouns for what is around objects: "a red background"."""

SPELLINGS = {
    "gray": "grey", "people": "person", "mice": "mouse", "geese": "goose", "oxen": "ox", "men": "man",
    "women": "woman", "children": "child", "leaves": "leaves",
}  # fmt: skip

OR = re.compile(
    r"\s+or\s+|[;/|()\[\]:]|,(?!\s*(?:on|in|with|given|against|at|near|without|but)\b)"
    r"|\bsuch as\b|\bincluding\b|\bespecially\b"
)
"""Joins alternatives: the best of them counts."""

AND = re.compile(
    r"\s+(?:and|given|with|plus|when|if|while|where|on|in|at|against|before|behind|near|by|beside|next to|over|under"
    r"|among|around|in front of)\s+"
)
"""Joins what must be there together: the worst counts."""

WITHOUT = re.compile(r"\s+(?:without|but not|and not|except for|except|excluding)\s+")

LEADING = re.compile(r"^(?:and|on|in|with|at|given|when|if|against)\s+")

WORD = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True)
class Phrase:
    """One thing that a text asks for.

    Attributes:
        thing: Index of the object concept; None: none is named.
        ground: Index of the background concept; None: none is named.
        colours: Indices of the colours that it has.
        where: What the colours are asked of where nothing is named: an object, what is around it, or either.
    """

    thing: int | None = None
    ground: int | None = None
    colours: tuple[int, ...] = ()
    where: Literal["object", "ground", "either"] = "either"


@dataclass(frozen=True)
class Joined:
    """Several meanings, of which `any` or `all` must be there."""

    how: Literal["any", "all"]
    parts: tuple[Meaning, ...]


@dataclass(frozen=True)
class Not:
    """What must not be there."""

    part: Meaning


Meaning = Phrase | Joined | Not


class Reader:
    """Reads texts with the names of a library.

    Attributes:
        things: Names of object concepts.
        grounds: Names of backgrounds.
    """

    def __init__(self, things: Sequence[str], grounds: Sequence[str]) -> None:
        self.things, self.grounds = tuple(things), tuple(grounds)
        self._things = _index(things)
        self._grounds = _index(grounds)
        self._known = self._things.keys() | self._grounds.keys()
        self._longest = max((name.count(" ") + 1 for name in self._known), default=0)

    def read(self, text: str) -> Meaning | None:
        """Returns what a text asks for, or None where it names nothing that the library knows.

        "A OR B" (also a comma) takes either, "A AND B", "A given B" and "A on B" both, "A without B" the one alone.
        A part that names nothing known is left out.
        """
        parts = [self._all(part) for part in OR.split(f" {text.lower()} ")]
        return _join("any", parts)

    def _all(self, text: str) -> Meaning | None:
        wanted, *unwanted = WITHOUT.split(f" {text.strip()} ")
        # "A on B in C" shares its blanks between two joints, so each joint gets blanks of its own.
        pieces = AND.split(re.sub(r"\s+", "  ", f" {LEADING.sub('', wanted.strip())} "))
        parts: list[Meaning | None] = [self.phrase(piece) for piece in pieces]
        for each in unwanted:
            meaning = self.phrase(each)
            parts.append(Not(meaning) if meaning else None)
        return _join("all", parts)

    def phrase(self, text: str) -> Phrase | None:
        """Returns what a noun phrase asks for: its longest (of equal ones the last) known name, and its colours."""
        words = [SPELLINGS.get(word, word) for word in WORD.findall(text)]
        start, stop, name = self._name(words)
        colours = [NAMES.index(w) for i, w in enumerate(words) if w in NAMES and not start <= i < stop]
        if name:
            thing, ground = self._things.get(name), self._grounds.get(name)
            return Phrase(thing, ground, tuple(colours), "either")
        if colours:
            rest = {form for word in words for form in _forms(word) if word not in ARTICLES.union(NAMES)}
            where: Literal["object", "ground", "either"] = "either"
            if rest:
                where = "ground" if rest & GROUND else "object"
            return Phrase(colours=tuple(colours), where=where)
        return None

    def _name(self, words: Sequence[str]) -> tuple[int, int, str]:
        for length in range(min(self._longest, len(words)), 0, -1):
            for start in range(len(words) - length, -1, -1):
                for name in self._forms(words[start : start + length]):
                    # "orange things" are of a colour, "orange" may be the fruit.
                    if name in self._known and (name not in NAMES or start + length == len(words)):
                        return start, start + length, name
        for start in range(len(words)):
            phrase = " ".join(words[start:])
            if len(phrase) < 4 or phrase in GENERIC | GROUND | {*NAMES}:
                continue
            if close := difflib.get_close_matches(phrase, self._known, n=1, cutoff=SPELLING):
                return start, len(words), close[0]
        return 0, 0, ""

    def _forms(self, words: Sequence[str]) -> Iterator[str]:
        for last in _forms(words[-1]):
            yield " ".join((*words[:-1], last))


def _index(names: Sequence[str]) -> Mapping[str, int]:
    return {" ".join(WORD.findall(name.lower())): index for index, name in enumerate(names)}


def _join(how: Literal["any", "all"], parts: Sequence[Meaning | None]) -> Meaning | None:
    present = tuple(part for part in parts if part is not None)
    return present[0] if len(present) == 1 else Joined(how, present) if present else None


def _forms(word: str) -> list[str]:
    """Returns a word and what it may be a plural or an adjective of: tigers, foxes, cherries, striped, snowy."""
    forms = [word]
    for ending, replacements in (
        ("ies", ("y",)),
        ("ves", ("f", "fe")),
        ("es", ("", "e")),
        ("s", ("",)),
        ("ed", ("", "es", "s")),
        ("y", ("", "s")),
        ("en", ("",)),
    ):
        stem = word.removesuffix(ending)
        if stem != word and len(stem) >= 3:
            forms += [stem + replacement for replacement in replacements]
    return forms
