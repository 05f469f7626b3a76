"""Writes prompts that show what a label says, in plain English that the prompt reader of maia-labels understands fully.

What the label leaves open varies: which narrower concept, how many, how large, where, before which background. So a
claim that is too broad meets the narrower things that the unit does not respond to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import reduce
from itertools import cycle, islice, product

from maia_core.plugin import UsageError
from maia_judges.spread import Spread, rng_of
from maia_labels.content import Content, content_of
from maia_labels.parsed import Place, Thing
from maia_labels.parts import alternatives, cleaned, says_nothing
from maia_labels.vocabulary import PATTERNS, PLAIN, article, plural
from maia_labels.words import BARE_PLURAL

PLACES = (
    "on grass", "in the snow", "on sand", "on a plain white background", "on asphalt", "in a forest", "on rocks",
    "against a brick wall", "against a blue sky", "on a plain grey background", "on wood", "on fallen leaves",
    "on gravel", "on a plain blue background",
)  # fmt: skip
"""Surroundings of an object; each is understood by the collage laboratory and by a diffusion model."""

PREPOSITIONS = {"snow": "in the", "forest": "in a", "sky": "against the", "night sky": "against the", "dusk": "at"}
"""How an object stands before a kind of background, where it is not "on"."""

FORMS = (
    (1, "", ""), (1, "large", ""), (2, "", ""), (1, "small", ""), (1, "", "on the left"), (3, "", ""),
    (1, "", "on the right"), (2, "large", ""), (4, "", ""), (1, "", "in the centre"), (3, "small", ""),
    (1, "", "at the top"), (1, "", "at the bottom"),
)  # fmt: skip
"""Number, size and position of an object."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TRIES = 20_000
"""Prompts that are written at most in search of different ones."""

STYLES = ("", "a photo of ", "a picture of ", "a photograph of ", "an image of ")

NUMBERS = ("", "", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")

COLOURS = ("red", "blue", "green", "black", "yellow", "purple")
"""Colours of a pattern or a plain background whose colour is open."""

BARE = _words(
    "grapes scissors pliers binoculars trousers glasses earth jupiter mars mercury neptune pluto saturn uranus venus"
)
"""Names before which no article stands: plurals, and planets by name."""

ADJECTIVES = ("realistic", "clear", "sharp", "detailed", "real", "high quality")
"""Adjectives that vary a photograph of a text that the judge cannot parse."""


def write(label: str, n: int, spread: Spread) -> list[str]:
    """Writes `n` different prompts; the first prompts of a longer list are those of a shorter one.

    Raises:
        UsageError: so many cannot be written.
    """
    prompts: list[str] = []
    seen: set[str] = set()
    for prompt in islice(_written(label, spread), TRIES):
        if len(prompts) == n:
            break
        if prompt not in seen:
            seen.add(prompt)
            prompts.append(prompt)
    if len(prompts) < n:
        raise UsageError(f"the judge can write {len(prompts)} different prompts for '{cleaned(label)[:60]}', not {n}")
    return prompts


def _written(label: str, spread: Spread) -> Iterator[str]:
    if says_nothing(label):
        return _objects(Content(label, (Thing(),), known=True), spread)
    return _in_turn([_together(way, spread) for way in alternatives(label)])


def _together(texts: Sequence[str], spread: Spread) -> Iterator[str]:
    contents = [content_of(text) for text in texts]
    content = _open(reduce(Content.with_, contents))
    if not content.known:
        return _opaque(content)
    if content.things:
        return _objects(content, spread)
    assert content.place is not None
    backgrounds = _backgrounds(content, spread)
    if content.place.kind == PLAIN and content.place.colours and "background" not in content.text:
        # A colour alone is that of things as well.
        coloured = Content(content.text, (Thing(colours=content.place.colours),), known=True)
        return _in_turn([_objects(coloured, spread), backgrounds])
    return backgrounds


def _open(content: Content) -> Content:
    """Leaves the number open where a plural alone was read as one: "cats" does not claim a number."""
    if re.search(r"\b(?:three|3|few)\b", content.text):
        return content
    things = [replace(t, count=1) if t.count == BARE_PLURAL else t for t in content.things]
    return replace(content, things=tuple(things))


def _in_turn(writers: list[Iterator[str]]) -> Iterator[str]:
    for prompts in zip(*writers, strict=False):
        yield from prompts


def _objects(content: Content, spread: Spread) -> Iterator[str]:
    """Objects, each time other narrower ones, other surroundings and another form, as far as these are open."""
    nouns = [
        cycle(spread.things(thing, f"{content.text}/{number}", content.excluded) or ["object"])
        for number, thing in enumerate(content.things)
    ]
    places = cycle(_behind(content.place, spread, content.text)) if content.place else None
    open_places = (*PLACES[:2], "", *PLACES[2:])
    turned = int(rng_of(content.text).integers(len(open_places)))
    surroundings = open_places[turned:] + open_places[:turned]
    combinations = [
        (style, FORMS[(i + shift) % len(FORMS)], surroundings[i])
        for style, shift, i in product(STYLES, range(len(FORMS)), range(len(surroundings)))
    ]
    for style, form, surrounding in cycle(combinations):
        phrases = [
            _phrase(thing, next(noun), form, alone=len(nouns) == 1)
            for thing, noun in zip(content.things, nouns, strict=True)
        ]
        place = next(places) if places else surrounding
        position = form[2] if len(nouns) == 1 and not content.things[0].zones else ""
        said = f"{style}{' and '.join(phrases)}"
        yield " ".join(filter(None, [said, position, place]))


def _phrase(thing: Thing, noun: str, form: tuple[int, str, str], alone: bool) -> str:
    """Returns a noun phrase: what the label fixes, and of the rest what `form` says."""
    count, size, _ = form
    if thing.count > 1 or not alone or noun in BARE:
        count = thing.count
    if thing.size or not alone:
        size = thing.size
    shape = "round" if thing.round else ""
    words = " ".join(filter(None, [size, shape, *thing.colours, noun]))
    where = f" on the {thing.zones[0]}" if thing.zones else ""
    if count > 1:
        return f"{NUMBERS[count]} {plural(words)}{where}"
    return (words if noun in BARE else article(words)) + where


def _behind(place: Place, spread: Spread, key: str) -> list[str]:
    return [f"{_before(kind)} {said}" for kind, said in _kinds(place, spread, key)]


def _before(kind: str) -> str:
    return "on a" if kind == PLAIN else PREPOSITIONS.get(kind, "on")


def _kinds(place: Place, spread: Spread, key: str) -> list[tuple[str, str]]:
    """Returns kinds of background with the text that names each, colours included."""
    named = []
    for kind in spread.kinds(place.kind, key):
        name = kind if kind != PLAIN else "plain {} background"
        fixed = place.colours or kind not in (PLAIN, *PATTERNS)
        colours = [" and ".join(place.colours)] if fixed else list(COLOURS)
        for colour in colours:
            named.append((kind, name.format(colour) if "{}" in name else f"{colour} {name}".strip()))
    # The kinds take turns before a second colour of any comes.
    kinds = list(dict.fromkeys(kind for kind, _ in named))
    by_kind = [[said for other, said in named if other == kind] for kind in kinds]
    rounds = range(max(map(len, by_kind), default=0))
    return [(k, said[i]) for i in rounds for k, said in zip(kinds, by_kind, strict=True) if i < len(said)]


def _backgrounds(content: Content, spread: Spread) -> Iterator[str]:
    """Backgrounds by themselves, and as often behind objects, which differ each time."""
    assert content.place is not None
    kinds = _kinds(content.place, spread, content.text)
    behind = cycle(_behind(content.place, spread, content.text))
    nouns = cycle(spread.things(Thing(), content.text, content.excluded) or ["object"])
    bare = cycle([f"{style}{said}" for style in STYLES for _, said in kinds])
    while True:
        yield next(bare)
        noun = next(nouns)
        yield f"{noun if noun in BARE else article(noun)} {next(behind)}"


def _opaque(content: Content) -> Iterator[str]:
    """A text that the laboratory does not understand, in its own words, in various surroundings."""
    placed = content.place is not None
    for style, place in product(STYLES, ("",) if placed else ("", *PLACES)):
        yield f"{style}{content.text} {place}".strip()
    for adjective, (style, place) in product(ADJECTIVES, product(STYLES[1:], ("",) if placed else ("", *PLACES))):
        what = style.removeprefix("an ").removeprefix("a ")
        yield f"{article(adjective)} {what}{content.text} {place}".strip()
