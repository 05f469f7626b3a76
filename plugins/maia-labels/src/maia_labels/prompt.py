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
from dataclasses import dataclass, field, replace
from functools import lru_cache

from maia_labels.phrase import Phrase, PhraseReader
from maia_labels.vocabulary import vocabulary
from maia_labels.words import (
    ARTICLES,
    BARE_PLURAL,
    CONNECTORS,
    COPULAS,
    CORNER,
    COUNTS,
    MAX_OBJECTS,
    NEGATIONS,
    POSITION,
    PREPOSITIONS,
    RELATIONS,
    ZONE_WORDS,
)


@dataclass(frozen=True)
class Thing:
    """Objects of one kind that a prompt asks for.

    Attributes:
        concept: What it is; None: anything.
        word: The name as it was written, where `concept` stands in for it or nothing is known of it.
        known: False for a name that the vocabulary lacks: `concept` is then to be found.
        count: How many.
        colours: Colour names, each with an optional shade.
        size: tiny, small, large, huge or nothing.
        zones: Position words of `layout.ZONES`.
        round: Whether it must be round.
    """

    concept: str | None = None
    word: str = ""
    known: bool = True
    count: int = 1
    colours: tuple[str, ...] = ()
    size: str = ""
    zones: tuple[str, ...] = ()
    round: bool = False


@dataclass(frozen=True)
class Place:
    """The background that a prompt asks for: a kind (None: any), its colours, and the word that it stands in for."""

    kind: str | None = None
    colours: tuple[str, ...] = ()
    word: str = ""
    known: bool = True


@dataclass
class Parsed:
    """What a prompt says.

    Attributes:
        things: What to draw, in the order of the prompt.
        place: The background; None where the prompt names none.
        links: Relations: index of a thing, relation, index of another.
        excluded: Concepts that must not be drawn; None in it stands for every object.
        ignored: Words without effect.
        warnings: What else the reader must know.
        understood: Whether anything was.
    """

    things: list[Thing] = field(default_factory=list)
    place: Place | None = None
    links: list[tuple[int, str, int]] = field(default_factory=list)
    excluded: list[str | None] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    understood: bool = False


@lru_cache(maxsize=1024)
def parse(prompt: str) -> Parsed:
    """Reads a prompt. The result is shared: do not change it."""
    return _PromptReader(prompt).read()


class _PromptReader(PhraseReader):
    """Reads the tokens of one prompt from left to right."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.parsed = Parsed()
        self.zones: list[str] = []
        """Positions named before anything that they could be the position of."""

    def read(self) -> Parsed:
        parsed, preposition, relation, negated = self.parsed, "", "", False
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
            self._use(phrase, preposition, relation, negated)
            preposition = relation = ""
        if self.zones and parsed.things:
            parsed.things[0] = replace(parsed.things[0], zones=tuple(self.zones))
        return parsed

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
        if self.parsed.things:
            last = self.parsed.things[-1]
            self.parsed.things[-1] = replace(last, zones=(*last.zones, *zones))
        else:
            self.zones += zones
        return True

    def _names_a_thing(self, found: re.Match[str]) -> bool:
        """Tells "the left dog" from "on the left": a name follows, and no comma stands between."""
        length = len(found[0].split())
        following = self.tokens[self.at + length] if self.at + length < len(self.tokens) else ""
        if not following or following in PREPOSITIONS | CONNECTORS | COPULAS | NEGATIONS | ARTICLES:
            return False
        return not found[0].startswith(("on ", "in ", "at ", "to ", "near "))

    # What a noun phrase means where it stands.

    def _use(self, phrase: Phrase, preposition: str, relation: str, negated: bool) -> None:
        parsed = self.parsed
        if phrase.blank and not phrase.colours:
            if (phrase.size or phrase.zones or phrase.round) and parsed.things:
                last = parsed.things[-1]
                parsed.things[-1] = replace(
                    last,
                    size=phrase.size or last.size,
                    zones=(*last.zones, *phrase.zones),
                    round=last.round or phrase.round,
                )
            return
        parsed.ignored += phrase.after
        if negated:
            self._exclude(phrase)
        elif phrase.empty:
            parsed.understood = True
            parsed.excluded.append(None)
            if phrase.generic or phrase.entry:
                self._background(phrase)
        elif phrase.entry and not phrase.entry.background and not phrase.generic:
            self._thing(phrase, relation, preposition)
        elif phrase.entry or phrase.generic:
            self._background(phrase)
        elif phrase.wildcard:
            self._thing(phrase, relation, preposition)
        elif phrase.unknown:
            self._unknown(phrase, relation, preposition)
        elif parsed.things and not preposition:
            last = parsed.things[-1]
            parsed.things[-1] = replace(last, colours=(*last.colours, *phrase.colours))
        else:
            phrase.generic = True
            self._background(phrase)

    def _exclude(self, phrase: Phrase) -> None:
        self.parsed.understood = True
        if phrase.generic and not phrase.entry:
            self.parsed.place = self.parsed.place or Place("plain background", ("white",))
        elif phrase.wildcard or phrase.empty:
            self.parsed.excluded.append(None)
        elif phrase.entry and not phrase.entry.background:
            self.parsed.excluded.append(phrase.entry.name)
        elif not phrase.entry:
            self.parsed.ignored += phrase.unknown

    def _background(self, phrase: Phrase) -> None:
        parsed = self.parsed
        parsed.ignored += phrase.unknown
        parsed.understood = True
        entry = phrase.entry if phrase.entry and phrase.entry.background else None
        if phrase.entry and entry is None:
            # "a tiger background" holds a tiger.
            parsed.things.append(Thing(phrase.entry.name, _word(phrase)))
            return
        if entry is None and not phrase.colours:
            return
        kind = entry.name if entry else "plain background"
        colours = tuple(c for c in phrase.colours if vocabulary().natural.get(kind) != c)
        place = Place(kind, colours, _word(phrase) if entry else "")
        former = parsed.place
        if former is None or former == Place("plain background"):
            parsed.place = place
        elif former.kind in vocabulary().kinds.path(kind):
            # "a pattern of blue dots", "a plain background that is red"
            parsed.place = replace(place, colours=colours or former.colours)
        elif kind not in (former.kind, "plain background") or colours not in ((), former.colours):
            parsed.warnings.append(f"there can be one background only; left out '{phrase.head or ' '.join(colours)}'")

    def _thing(self, phrase: Phrase, relation: str, preposition: str) -> None:
        entry = phrase.entry
        self.parsed.ignored += phrase.unknown
        count = phrase.count if phrase.count is not None else (BARE_PLURAL if phrase.plural else 1)
        if count == 0:
            self.parsed.understood = True
            self.parsed.excluded.append(entry.name if entry else None)
            return
        if count > MAX_OBJECTS:
            self.parsed.warnings.append(f"drew {MAX_OBJECTS} objects instead of {count}")
        self._add(
            Thing(
                entry.name if entry else None,
                _word(phrase),
                count=min(count, MAX_OBJECTS),
                colours=tuple(phrase.colours),
                size=phrase.size,
                zones=tuple(phrase.zones),
                round=phrase.round,
            ),
            relation,
            preposition,
        )

    def _unknown(self, phrase: Phrase, relation: str, preposition: str) -> None:
        word = " ".join(phrase.unknown)
        if preposition in ("on", "in", "at", "against", "onto", "within", "across", "through", "inside"):
            self.parsed.place = self.parsed.place or Place(None, tuple(phrase.colours), word, known=False)
            return
        count = min(phrase.count or 1, MAX_OBJECTS)
        self._add(
            Thing(
                None, word, False, count, tuple(phrase.colours), phrase.size, tuple(phrase.zones), phrase.round
            ),
            relation,
            preposition,
        )  # fmt: skip

    def _add(self, thing: Thing, relation: str, preposition: str) -> None:
        parsed = self.parsed
        parsed.understood = parsed.understood or thing.known
        if self.zones:
            thing = replace(thing, zones=(*self.zones, *thing.zones))
            self.zones = []
        if parsed.things and not relation and preposition in ("on", "onto", "upon"):
            relation = "above"
        parsed.things.append(thing)
        if relation and len(parsed.things) > 1:
            parsed.links.append((len(parsed.things) - 2, relation, len(parsed.things) - 1))


def _word(phrase: Phrase) -> str:
    """Returns the name as written where something else stands in for it, else nothing."""
    return phrase.head if phrase.entry and not phrase.entry.exact else ""
