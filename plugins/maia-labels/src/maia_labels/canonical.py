"""The same claim in other words gets one text: "anything white", "white objects" and "pictures of white things"."""

from __future__ import annotations

import re

from maia_labels.content import Content, content_of
from maia_labels.parts import cleaned
from maia_labels.vocabulary import PLAIN
from maia_labels.words import BARE_PLURAL

_PICTURES = re.compile(
    r"^(?:(?:any|all|the|an?|various|different|many|some) )*(?:kinds?|types?|images?|pictures?|photos?|photographs?)"
    r" (?:of|showing|with) ",
    re.IGNORECASE,
)
_ANYTHING = r"(?:anything|something|everything|(?:(?:all|any|the) )?(?:things?|objects?|items?|stuff|surfaces?|ones?))"
_BEFORE = re.compile(rf"^{_ANYTHING}(?: (?:that|which) (?:is|are))? (.+?)(?: in colou?r)?$", re.IGNORECASE)
_BEHIND = re.compile(rf"^(?:(?:all|any|the) )?(.+?)(?:[ -]colou?red)? {_ANYTHING}$", re.IGNORECASE)
_ARTICLE = re.compile(r"^(?:an?|the|any|all|some) ", re.IGNORECASE)
_NUMBER = re.compile(r"\b(?:three|3|few)\b")


def canonical(label: str) -> str:
    """Returns the one text of all labels of a single concept that make the same claim."""
    text = _PICTURES.sub("", cleaned(label))
    for form in (_BEFORE, _BEHIND):
        if (found := form.match(text)) and (colours := _colours_of(found[1])):
            return f"{colours} things"
    bare = _ARTICLE.sub("", text)
    content = content_of(bare)
    if not content.known or content.excluded:
        return bare
    if not content.things and content.place and content.place.kind == PLAIN and content.place.colours:
        return " and ".join(content.place.colours)
    [thing, *others] = content.things or (None,)
    if thing is None or others or content.place or thing.concept is None or thing.word or thing.zones:
        return bare
    if thing.count not in (1, BARE_PLURAL) or _NUMBER.search(bare):
        return bare
    words = (thing.size, "round" if thing.round else "", " and ".join(thing.colours), thing.concept)
    return " ".join(filter(None, words))


def understood(label: str) -> str:
    """Returns in words how MAIA reads the text of one concept, for people who wonder about a verdict."""
    content = content_of(canonical(label))
    if not content.known:
        return "these words, which the tree of concepts does not know"
    return " with ".join([*(_thing(content, n) for n in range(len(content.things))), *_place(content)])


def _colours_of(text: str) -> str:
    """Returns a text if all of it names colours, else nothing."""
    content = content_of(f"{text} things")
    named = content.things[0] if content.known and len(content.things) == 1 and content.place is None else None
    pure = named is not None and named.concept is None and named.colours and not (named.size or named.round)
    return " and ".join(named.colours) if named is not None and pure else ""


def _thing(content: Content, number: int) -> str:
    thing = content.things[number]
    colours = " and ".join(thing.colours)
    if thing.concept is None:
        return f"any {colours} object" if colours else "any object"
    return f"the concept '{thing.concept}'" + (f", {colours}" if colours else "")


def _place(content: Content) -> list[str]:
    place = content.place
    if place is None:
        return []
    if place.kind == PLAIN and place.colours and not content.things:
        return [f"the colour {' and '.join(place.colours)}, of objects and of plain backgrounds"]
    return [f"the background '{' '.join((*place.colours, place.kind or 'of any kind'))}'"]
