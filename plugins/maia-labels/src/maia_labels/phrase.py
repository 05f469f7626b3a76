"""The grammar of noun phrases: number, size, colour, shape and position words about a name of the vocabulary."""

from __future__ import annotations

from dataclasses import dataclass, field

from maia_labels.colours import NAMES, SHADES
from maia_labels.vocabulary import Entry, vocabulary
from maia_labels.words import (
    ARTICLES,
    CONNECTORS,
    CONTAINERS,
    COPULAS,
    COUNTS,
    EMPTY,
    GENERIC,
    HARMLESS,
    NEGATIONS,
    PREAMBLE,
    PREPOSITIONS,
    ROUND,
    SIZES,
    STRONGER,
    TOKEN,
    WILDCARDS,
    ZONE_WORDS,
)


@dataclass
class Phrase:
    """A noun phrase as it was read."""

    entry: Entry | None = None
    head: str = ""
    count: int | None = None
    plural: bool = False
    article: bool = False
    colours: list[str] = field(default_factory=list)
    size: str = ""
    zones: list[str] = field(default_factory=list)
    round: bool = False
    generic: bool = False
    wildcard: bool = False
    empty: bool = False
    unknown: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    """Unknown words behind the head: what the object does."""

    @property
    def blank(self) -> bool:
        """Nothing in it names a thing or a background."""
        return not (self.entry or self.generic or self.wildcard or self.empty or self.unknown or self.after)


def tokens(text: str) -> list[str]:
    """Splits a text into lower-case words and punctuation; hyphens part words."""
    text = text.lower().replace("’", "'").replace("-", " ")
    return [t.removesuffix("'s") for t in TOKEN.findall(text)]


class PhraseReader:
    """Reads noun phrases from the tokens of a text, from left to right."""

    def __init__(self, text: str) -> None:
        words = " ".join(tokens(text)[:400])
        self.tokens = PREAMBLE.sub("", words + " ", count=1).split()
        self.at = 0

    def noun_phrase(self) -> Phrase:
        """Reads words until one that cannot belong to the same noun phrase."""
        phrase = Phrase()
        shade = ""
        while self.at < len(self.tokens):
            word = self.tokens[self.at]
            entry, length = self._entry()
            following = self.tokens[self.at + 1] if self.at + 1 < len(self.tokens) else ""
            named = phrase.entry or phrase.generic or phrase.wildcard
            if named and not phrase.entry and phrase.generic and word == "of":
                # "a background of grass"
                self.at += 1
                continue
            if word == "and" and phrase.colours and not named and following in NAMES:
                self.at += 1
                continue
            if word in NAMES and length == 1 and not (entry and self._is_head(phrase)):
                phrase.colours.append(_shaded(NAMES[word], shade))
                shade = ""
            elif word in SHADES and (following in NAMES):
                shade = SHADES[word]
            elif entry and not (length == 1 and (word in SIZES or self._contains(word, following))):
                self._head(phrase, entry, self._text(length))
                self.at += length
                continue
            elif self._contains(word, following) and not named:
                phrase.unknown.append(word)
                self.at += 1
            elif self._count(phrase, word, following):
                pass
            elif word in ARTICLES:
                if named or phrase.unknown:
                    break
                phrase.article = True
            elif word in SIZES:
                phrase.size = SIZES[word]
            elif word == "very" and following in SIZES:
                phrase.size = STRONGER[SIZES[following]]
                self.at += 1
            elif word in ROUND:
                phrase.round = True
            elif word in ZONE_WORDS and following != "of":
                phrase.zones.append(ZONE_WORDS[word])
            elif word in GENERIC:
                phrase.generic = True
            elif word.rstrip("s") in WILDCARDS and not phrase.entry:
                phrase.wildcard = True
                phrase.plural = phrase.plural or (word.endswith("s") and word not in WILDCARDS)
            elif word in EMPTY:
                phrase.empty = True
            elif word in PREPOSITIONS or word in CONNECTORS or word in COPULAS or word in NEGATIONS:
                break
            elif word in HARMLESS:
                pass
            elif named:
                phrase.after.append(word)
            else:
                phrase.unknown.append(word)
            self.at += 1
        return phrase

    @staticmethod
    def _contains(word: str, following: str) -> bool:
        return following == "of" and word.rstrip("s") in CONTAINERS

    def _head(self, phrase: Phrase, entry: Entry, text: str) -> None:
        """Takes a name as the head; an earlier one becomes a word before it, unless it says the same more precisely."""
        if (
            phrase.entry
            and entry.background == phrase.entry.background
            and entry.name in vocabulary().path(phrase.entry)
        ):
            phrase.plural = phrase.plural or entry.plural
            return
        if phrase.entry and not phrase.generic:
            phrase.unknown += [phrase.head, *phrase.after]
            phrase.after = []
        phrase.entry, phrase.head, phrase.plural = entry, text, entry.plural or phrase.plural

    def _is_head(self, phrase: Phrase) -> bool:
        """Tells whether a word that is both a colour and a thing ("orange") is the thing: nothing follows it."""
        following = self.tokens[self.at + 1] if self.at + 1 < len(self.tokens) else ""
        ends = not following or following in PREPOSITIONS | CONNECTORS | COPULAS | NEGATIONS
        # "anything orange" is a colour.
        return ends and not phrase.wildcard and (phrase.article or phrase.count is not None or not phrase.colours)

    def _count(self, phrase: Phrase, word: str, following: str) -> bool:
        if phrase.entry or phrase.wildcard:
            return False
        if word.isdigit():
            phrase.count = int(word[:4])
            return True
        if word not in COUNTS or (word in ("pack", "row", "lot", "pile") and following != "of"):
            return False
        if not (word in ("pair", "dozen") and phrase.count):
            phrase.count = COUNTS[word] or None
        elif word == "dozen":
            phrase.count = 12 * (phrase.count or 1)
        if following == "of":
            self.at += 1
        phrase.plural = phrase.plural or COUNTS[word] > 1
        return True

    def _entry(self) -> tuple[Entry | None, int]:
        """Returns the longest name that starts here, and its length in tokens."""
        words = vocabulary()
        for length in range(min(words.longest, len(self.tokens) - self.at), 0, -1):
            if entry := words.find(self._text(length)):
                return entry, length
        return None, 1

    def _text(self, length: int) -> str:
        return " ".join(self.tokens[self.at : self.at + length])


def parse_phrase(text: str) -> Phrase:
    """Reads a text as one noun phrase, as in an instruction or a detector's query."""
    return PhraseReader(text).noun_phrase()


def _shaded(colour: str, shade: str) -> str:
    return f"{shade} {colour}" if shade and " " not in colour else colour
