"""The grammar of prompts: ordinary English about objects, their number, colour, size and place, and a background.

    prompt     = [preamble] clause*
    clause     = noun phrase | preposition noun phrase | relation noun phrase | position | negation noun phrase
    preamble   = "a photo of" | "an image showing" ...
    relation   = "to the left of" | "above" | "next to" ...
    position   = "on the left" | "in the top right corner" | "in the centre" ...
    negation   = "without" | "no" | "free of" ...
    noun phrase = word*: number, size, colour, shape and position words in any order about a name that the vocabulary
                 knows; the last name is the head. "background", "landscape" ... make a background of what they follow.

Nothing is lost in silence: every word that has no effect on the picture is in `Parsed.ignored` or `Parsed.warnings`.
"""

from __future__ import annotations

import re
from functools import lru_cache

from maia_labels.meaning import PromptMeaning
from maia_labels.parsed import Parsed
from maia_labels.phrase import PhraseReader
from maia_labels.words import (
    ARTICLES,
    CONNECTORS,
    COPULAS,
    CORNER,
    COUNTS,
    NEGATIONS,
    POSITION,
    PREPOSITIONS,
    RELATIONS,
    ZONE_WORDS,
)


@lru_cache(maxsize=1024)
def parse(prompt: str) -> Parsed:
    """Reads a prompt. The result is shared: do not change it."""
    return _PromptReader(prompt).read()


class _PromptReader(PhraseReader):
    """Reads the tokens of one prompt from left to right."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._meaning = PromptMeaning()

    def read(self) -> Parsed:
        parsed, preposition, relation, negated = self._meaning.parsed, "", "", False
        while self.at < len(self.tokens):
            word = self.tokens[self.at]
            if word in NEGATIONS or self._take(r"(?:free|devoid|empty) of(?= |$)"):
                negated, relation, preposition = True, "", ""
                self.at += word in NEGATIONS
                continue
            if (name := self._relation()) and parsed.things:
                relation, preposition = name, ""
                continue
            if name:
                preposition = "near"
                continue
            if self._position():
                continue
            if word in PREPOSITIONS:
                preposition, relation = word, ""
                self.at += 1
                continue
            if word in CONNECTORS or word in COPULAS:
                self.at += 1
                if word not in COPULAS:
                    preposition = relation = ""
                # "without dogs or cats", but not "no dogs, just a cat"
                negated = negated and (word == "or" or (word in ("and", ",") and self._bare_noun()))
                continue
            start = self.at
            phrase = self.noun_phrase()
            if self.at == start:
                self.at += 1
                continue
            self._meaning.use(phrase, preposition, relation, negated)
            preposition = relation = ""
        return self._meaning.whole()

    def _bare_noun(self) -> bool:
        following = self.tokens[self.at] if self.at < len(self.tokens) else ""
        return following not in ARTICLES and following not in COUNTS and following not in ("just", "only", "with")

    def _take(self, pattern: str) -> bool:
        if found := re.match(pattern, self._text(6)):
            self.at += len(found[0].split())
            return True
        return False

    def _relation(self) -> str:
        rest = self._text(8)
        for pattern, name in RELATIONS:
            if found := pattern.match(rest):
                self.at += len(found[0].split())
                return name
        return ""

    def _position(self) -> bool:
        rest = self._text(12)
        if found := CORNER.match(rest):
            zones = ["top", "left"]
        elif (found := POSITION.match(rest)) and not self._names_a_thing(found):
            zones = [ZONE_WORDS[w] for w in found["words"].split()]
        else:
            return False
        self.at += len(found[0].split())
        self._meaning.place(zones)
        return True

    def _names_a_thing(self, found: re.Match[str]) -> bool:
        """Tells "the left dog" from "on the left": a name follows, and no comma stands between."""
        length = len(found[0].split())
        following = self.tokens[self.at + length] if self.at + length < len(self.tokens) else ""
        if not following or following in PREPOSITIONS | CONNECTORS | COPULAS | NEGATIONS | ARTICLES:
            return False
        return not found[0].startswith(("on ", "in ", "at ", "to ", "near "))
