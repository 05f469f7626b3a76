"""Prompts of near misses: images that show nearly what a label says, from the concepts beside its own in the tree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest

from maia_judges.prompts import write
from maia_judges.spread import Spread, rng_of
from maia_labels.colours import COLOURS, base
from maia_labels.content import Content, content_of, shows
from maia_labels.parsed import Place, Thing
from maia_labels.parts import alternatives, cleaned, says_nothing
from maia_labels.vocabulary import PLAIN, vocabulary

FORMS = 4
"""How many of the first forms of a prompt (number, size, position, surroundings) near misses take turns with."""

MAX_SHOWN = 0.05
"""A near miss shows the label with this probability at most: a background that a prompt leaves open may be any."""

MAX_NEIGHBOURS = 12
"""Neighbours of one concept that come from one broader concept; more distant ones follow."""


def write_near(label: str, n: int, spread: Spread) -> list[str]:
    """Writes at most `n` different prompts of near misses; none for a label that the concept tree does not know.

    A near miss of a thing is another narrower concept of its nearest broader concepts, with the same attributes. Of a
    coloured thing it is also the same thing in another colour, of a background another background. Where two things
    belong together, a near miss has the other one as well. What another part of the label names is not a near miss.
    """
    ways = [] if says_nothing(label) else alternatives(label)
    turns = zip_longest(*(_near(way, at, spread) for way in ways for at in range(len(way))))
    texts = dict.fromkeys(text for turn in turns for text in turn if text)
    demands = [[content_of(cleaned(concept)) for concept in way] for way in ways]
    prompts: dict[str, None] = {}
    for number, text in enumerate(texts):
        written = write(text, FORMS, spread)
        turned = written[number % FORMS :] + written[: number % FORMS]
        prompts |= dict.fromkeys([prompt for prompt in turned if not _shown(prompt, demands)][:1])
        if len(prompts) >= n:
            break
    return list(prompts)


def _near(way: Sequence[str], at: int, spread: Spread) -> Iterator[str]:
    """Yields labels near one way to satisfy a label, which differ from it in one concept."""
    demand = content_of(cleaned(way[at]))
    for text in _neighbours(demand, spread) if demand.known else ():
        yield " AND ".join([*way[:at], text, *way[at + 1 :]])


def _shown(prompt: str, ways: list[list[Content]]) -> bool:
    shown = content_of(prompt)
    return any(all(shows(demand, shown) > MAX_SHOWN for demand in way) for way in ways)


def _neighbours(demand: Content, spread: Spread) -> Iterator[str]:
    """Yields labels near one concept, the nearest first; another colour and another thing take turns."""
    if demand.things:
        thing = demand.things[0]
        things = (_named(replace(thing, concept=name)) for name in _beside(thing.concept, spread))
        for pair in zip_longest(map(_named, _recoloured(thing, demand.text)), things):
            yield from filter(None, pair)
    elif demand.place:
        yield from _places(demand.place, spread)


def _beside(concept: str | None, spread: Spread) -> Iterator[str]:
    """Yields concepts that share a broader concept with one, those of its nearest broader concepts first."""
    inside = concept
    for broader in vocabulary().concepts.path(concept)[1:] if concept else ():
        yield from spread.things(Thing(concept=broader), f"beside {concept}", (inside or "",))[:MAX_NEIGHBOURS]
        inside = broader


def _recoloured(thing: Thing, key: str) -> Iterator[Thing]:
    """Yields the same thing in other colours."""
    named = {base(colour) for colour in thing.colours}
    others = [colour for colour in COLOURS if colour not in named] if named else []
    for number in rng_of(key, "near").permutation(len(others)):
        yield replace(thing, colours=(others[number],))


def _named(thing: Thing) -> str:
    return " ".join(filter(None, ["round" if thing.round else "", *thing.colours, thing.concept or "thing"]))


def _places(place: Place, spread: Spread) -> Iterator[str]:
    for kind in spread.kinds(None, f"beside {place.kind}"):
        if kind not in (place.kind, PLAIN):
            yield kind
