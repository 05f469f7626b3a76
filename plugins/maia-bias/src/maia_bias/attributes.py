"""Attributes of a subgroup, read from words: what images with it, and without it, differ in."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from maia_labels.parsed import Parsed, Thing
from maia_labels.prompt import parse
from maia_labels.vocabulary import PLAIN, article

Kind = Literal["background", "colour", "size", "position", "neighbour", "count"]


class Feature(NamedTuple):
    """One attribute of an image of the class.

    Attributes:
        kind: What it is an attribute of.
        value: In words, as prompts say it: "snow", "red", "small", "on the left", "a ball" (empty: any other thing),
            "2".
        negated: Whether the subgroup is the images without it.
    """

    kind: Kind
    value: str
    negated: bool = False

    @property
    def words(self) -> str:
        """The attribute as people say it."""
        said = f"on {self.value}" if self.kind == "background" else self.value
        if self.kind == "neighbour":
            said = f"next to {self.value or 'another thing'}"
        elif self.kind == "count":
            said = "single" if self.value == "1" else f"{self.value} at once"
        return f"not {said}" if self.negated else said


_NOT = re.compile(
    r"^(?:not|without|no|never|outside(?: of)?|away from|anything but|other than|except)\s+", re.IGNORECASE
)
_OR = re.compile(r"\s+or\s+|;\s*|\s+/\s+", re.IGNORECASE)
_SAID: tuple[tuple[re.Pattern[str], Feature], ...] = tuple(
    (re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE), feature)
    for pattern, feature in (
        (r"alone|by itself|isolated|on its own", Feature("neighbour", "", negated=True)),
        (r"(?:together )?with other (?:things|objects)|beside other (?:things|objects)", Feature("neighbour", "")),
        (r"single|solitary|lone|just one|only one", Feature("count", "1")),
        (r"in groups?|in pairs?|more than one|with others of its kind|several at once", Feature("count", "2")),
        (r"far away|distant|in the distance", Feature("size", "small")),
        (r"close ?-?up|up close|filling the (?:image|picture|frame)", Feature("size", "huge")),
    )
)
_COUNTED = re.compile(
    r"\b(?:two|three|four|five|six|several|many|multiple|both|group|herd|flock|pair|[2-9])\b", re.IGNORECASE
)


def read_attribute(subject: str, subgroup: str) -> list[tuple[Feature, ...]]:
    """Returns the attributes that a subgroup names: alternatives (joined by "or"), each with all that it needs.

    Args:
        subject: Name of the class, such as "penguin".
        subgroup: In words, such as "small and on snow", "next to a ball or a cup", "penguins without a hat".

    Returns:
        Empty where the words, or a part of them, are not in the vocabulary of things that can be drawn.
    """
    alternatives = []
    for text in _OR.split(" ".join(subgroup.split())):
        if not (features := _features(subject, text)):
            return []
        alternatives.append(features)
    return alternatives


def _features(subject: str, text: str) -> tuple[Feature, ...]:
    found: list[Feature] = []
    for pattern, feature in _SAID:
        text, count = pattern.subn(" ", text)
        found += [feature] if count else []
    negated = bool(_NOT.match(text.strip()))
    rest = re.sub(r"^(?:and|but|,)\s+|\s+(?:and|but|,)$", "", _NOT.sub("", text.strip())).strip(" ,.")
    if rest and not _same(rest, subject):
        read = next((r for candidate in _candidates(subject, rest) if (r := _read(subject, candidate))), None)
        if read is None:
            return ()
        found += [feature._replace(negated=feature.negated != negated) for feature in read]
    return tuple(dict.fromkeys(found))


def _candidates(subject: str, text: str) -> list[str]:
    whole = [text] if any(thing.concept == _concept(subject) for thing in parse(text).things) else []
    return [*whole, f"a {subject} {text}", f"a {text} {subject}", f"{text} {subject}", f"a {subject} that is {text}"]


def _read(subject: str, text: str) -> tuple[Feature, ...]:
    """Returns the features of a prompt that shows the class; nothing where a part of it is not understood."""
    parsed = parse(text)
    own = [thing for thing in parsed.things if thing.concept == _concept(subject)]
    if not own or not _understood(parsed):
        return ()
    features = _own(own[0], bool(_COUNTED.search(text)))
    for thing in parsed.things:
        if thing is not own[0]:
            features.append(Feature("neighbour", _noun_phrase(thing)))
    features += [Feature("neighbour", article(name) if name else "", negated=True) for name in parsed.excluded]
    if parsed.place is not None and parsed.place.kind:
        kind, colours = parsed.place.kind, " and ".join(parsed.place.colours)
        plain = kind == PLAIN
        features.append(
            Feature("background", f"a plain {colours} background" if plain else f"{colours} {kind}".strip())
        )
    return tuple(features)


def _own(thing: Thing, counted: bool) -> list[Feature]:
    features: list[Feature] = []
    if thing.colours:
        features.append(Feature("colour", " and ".join(thing.colours)))
    if thing.size:
        features.append(Feature("size", thing.size))
    if thing.zones:
        features.append(Feature("position", position(thing.zones)))
    if counted and thing.count > 1:
        features.append(Feature("count", str(thing.count)))
    return features


def position(zones: tuple[str, ...]) -> str:
    """Returns words for position words of a prompt: "on the left", "in the top right corner", "in the centre"."""
    upright = [zone for zone in zones if zone in ("top", "bottom")]
    across = [zone for zone in zones if zone in ("left", "right")]
    if upright and across:
        return f"in the {upright[0]} {across[0]} corner"
    if upright or across:
        return f"{'on' if across else 'at'} the {(upright or across)[0]}"
    return "in the centre"


def _understood(parsed: Parsed) -> bool:
    unknown = any(not thing.known or thing.word or thing.round for thing in parsed.things)
    place = parsed.place
    return not (parsed.ignored or parsed.warnings or unknown or (place is not None and (not place.known or place.word)))


def _noun_phrase(thing: Thing) -> str:
    return article(" ".join((*thing.colours, thing.concept))) if thing.concept else ""


def _concept(subject: str) -> str | None:
    things = parse(subject).things
    return things[0].concept if things else None


def _same(text: str, subject: str) -> bool:
    """Says whether a text is the class alone, in the singular or plural."""
    bare = re.sub(r"^(?:an?|the|all)\s+", "", text.casefold())
    return bare.rstrip("s") == subject.casefold().rstrip("s")
