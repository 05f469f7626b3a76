"""What a noun phrase means where it stands in a prompt: a thing, a background, a colour of the last thing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from maia_labels.parsed import Parsed, Place, Thing
from maia_labels.phrase import Phrase
from maia_labels.vocabulary import vocabulary
from maia_labels.words import BARE_PLURAL, MAX_OBJECTS


class PromptMeaning:
    """Collects what a prompt asks for from its phrases, in their order.

    Attributes:
        parsed: What the prompt asks for, so far.
    """

    def __init__(self) -> None:
        self.parsed = Parsed()
        self._zones: list[str] = []
        """Positions named before anything that they could be the position of."""

    def place(self, zones: Sequence[str]) -> None:
        """Takes a position in: that of the last thing, or of the first one to come."""
        if self.parsed.things:
            last = self.parsed.things[-1]
            self.parsed.things[-1] = replace(last, zones=(*last.zones, *zones))
        else:
            self._zones += zones

    def whole(self) -> Parsed:
        """Returns what the whole prompt asks for; a position that no phrase took is that of the first thing."""
        if self._zones and self.parsed.things:
            self.parsed.things[0] = replace(self.parsed.things[0], zones=tuple(self._zones))
        return self.parsed

    def use(self, phrase: Phrase, preposition: str, relation: str, negated: bool) -> None:
        """Takes a noun phrase in, by what stands before it: a preposition, a relation or a negation."""
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
        elif not former.known:
            # "in a hazmat suit on grass": clothes are not a background.
            parsed.place = place
            parsed.ignored.append(former.word)
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
            if self.parsed.place is None:
                self.parsed.place = Place(None, tuple(phrase.colours), word, known=False)
            else:
                self.parsed.ignored.append(word)
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
        if self._zones:
            thing = replace(thing, zones=(*self._zones, *thing.zones))
            self._zones = []
        if parsed.things and not relation and preposition in ("on", "onto", "upon"):
            relation = "above"
        parsed.things.append(thing)
        if relation and len(parsed.things) > 1:
            parsed.links.append((len(parsed.things) - 2, relation, len(parsed.things) - 1))


def _word(phrase: Phrase) -> str:
    """Returns the name as written where something else stands in for it, else nothing."""
    return phrase.head if phrase.entry and not phrase.entry.exact else ""
