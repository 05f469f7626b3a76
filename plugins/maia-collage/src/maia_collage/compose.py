"""From what a prompt says to a scene: chooses cut-outs, colours, sizes and places by seed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np

from maia_collage import colours
from maia_collage.backgrounds import Background, drawable
from maia_collage.dataset import filled, random_background
from maia_collage.layout import Link, Want, arrange
from maia_collage.nearest import Nearest
from maia_collage.pack import Cutout, Pack
from maia_collage.scene import Placed, Scene
from maia_core.plugin import content_id
from maia_labels.minilm import installed
from maia_labels.parsed import Parsed, Place, Thing
from maia_labels.prompt import parse
from maia_labels.vocabulary import PLAIN, vocabulary
from maia_labels.words import MAX_OBJECTS

SCALES = {"tiny": 0.16, "small": 0.24, "large": 0.66, "huge": 0.9}
"""Scale of an object that is alone, by size word."""

UNDERSTOOD = 'objects, their number, colour, size and position, and a background, such as "two red apples on grass"'


MAX_FAMILY = 12
"""Concepts below the next broader one, up to which they may stand for each other: a fox for a wolf (dog family, 6).

Broader kinds hold more (mammal 84, food 78, vehicle 38): an eggplant does not stand for an egg.
"""


class Composed(NamedTuple):
    """A scene, what the reader must know about it (empty: nothing), and the things that it lacks."""

    scene: Scene
    warning: str
    missing: Sequence[str] = ()


class Chosen(NamedTuple):
    """A cut-out, and what it is painted in (empty: its own colours)."""

    cutout: Cutout
    colour: str


def generator(seed: int, *texts: str) -> np.random.Generator:
    """Returns a random generator that depends on a seed and texts, the same in every process."""
    name = content_id(str(seed).encode(), *(text.encode("utf-8", "replace") for text in texts))
    return np.random.default_rng(int(name, 16))


def compose(prompt: str, seed: int, pack: Pack) -> Composed:
    """Makes the scene that a prompt asks for.

    What the prompt leaves open is drawn by seed: cut-out, size, position, flip and, where no background is named, any
    reviewed background, so that replicates average it out.
    """
    parsed = parse(prompt)
    rng = generator(seed, prompt)
    warnings, missing = list(parsed.warnings), []
    chosen: list[tuple[Chosen, Thing]] = []
    first: list[int | None] = []
    """For each thing the place of its first object; None for a thing that was left out."""
    room = MAX_OBJECTS
    for thing in parsed.things:
        cutouts = choose(thing, pack, rng, parsed.excluded, warnings)[:room]
        first.append(len(chosen) if cutouts else None)
        if not cutouts and room:
            missing.append(thing.word or thing.concept or "")
        chosen += [(one, thing) for one in cutouts]
        room -= len(cutouts)
        if room <= 0 and thing is not parsed.things[-1]:
            warnings.append(f"drew the first {MAX_OBJECTS} objects only")
            break
    background, said = _background(parsed, pack, rng, bool(chosen))
    warnings += said
    if not (parsed.understood or chosen or background):
        warnings = [f"nothing to draw in '{prompt[:80]}'; drew a plain grey background. Understood are {UNDERSTOOD}"]
    elif parsed.ignored:
        warnings.append(f"cannot show {', '.join(repr(w) for w in dict.fromkeys(parsed.ignored))}")
    links = _links(parsed, first, chosen)
    objects = _placed(chosen, links, rng, warnings)
    scene = Scene(background=background or Background(kind=PLAIN, seed=0, colour="grey"), objects=objects)
    return Composed(scene, "; ".join(dict.fromkeys(warnings)), missing)


def choose(
    thing: Thing, pack: Pack, rng: np.random.Generator, excluded: Sequence[str | None], warnings: list[str]
) -> list[Chosen]:
    """Chooses the cut-outs for a thing; says in `warnings` what they stand in for."""
    concept, word = thing.concept, thing.word
    if not thing.known:
        concept = _nearest_name()(word)
        if concept is None:
            warnings.append(_missing(word, pack))
            return []
    if concept is not None and not pack.members(concept):
        word = word or concept
        concept = _relative(concept, pack)
        if concept is None:
            warnings.append(_missing(word, pack))
            return []
    barred = {name for other in excluded if other for name in vocabulary().concepts.below(other)}
    members = [c for c in pack.members(concept) if c.concept not in barred] or list(pack.members(concept))
    if thing.round:
        if round_ones := [c for c in members if c.round]:
            members = round_ones
        else:
            warnings.append(f"no round '{concept or 'thing'}' is in the collage pack")
    coloured, paint = _coloured(members, thing.colours, warnings)
    picked = _varied(coloured, thing.count, rng)
    if word:
        drawn = sorted({c.concept for c in picked})
        warnings.append(f"'{word}' is not in the collage pack; drew {', '.join(map(repr, drawn))} instead")
    return [Chosen(cutout, paint or _single_colour(cutout, thing.colours)) for cutout in picked]


def _single_colour(cutout: Cutout, names: Sequence[str]) -> str:
    """Returns the one colour asked for, to paint a cut-out that has another beside it; nothing for any other."""
    return names[0] if len(names) == 1 and len(cutout.natural_colours) > 1 else ""


def _missing(word: str, pack: Pack) -> str:
    hint = "" if installed() else " (pip install 'maia-collage[semantic]' to compare meanings)"
    nearest = ", ".join(_nearest_in(pack).listed(word))
    return f"'{word}' is not in the collage pack and nothing is near enough; left it out; nearest are {nearest}{hint}"


def _coloured(members: Sequence[Cutout], names: Sequence[str], warnings: list[str]) -> tuple[Sequence[Cutout], str]:
    """Returns the members that have the colours, or all of them and the colour to paint them in."""
    if not names:
        return members, ""
    bases = [colours.base(name) for name in names]
    if len(bases) == 1 and (natural := [c for c in members if c.has_colour(bases[0])]):
        # A shade is looked for in paint only: what is measured has no shades.
        return (natural, "") if " " not in names[0] else (natural, names[0])
    if len(bases) > 1:
        if both := [c for c in members if all(c.colours.get(b, 0) >= 0.15 for b in bases)]:
            return both, ""
        warnings.append(f"an object is painted in one colour only: {names[0]}")
    return members, names[0]


def _varied(members: Sequence[Cutout], count: int, rng: np.random.Generator) -> list[Cutout]:
    """Draws cut-outs, every concept with the same chance, none twice before all were drawn."""
    by_concept: dict[str, list[Cutout]] = {}
    for cutout in members:
        by_concept.setdefault(cutout.concept, []).append(cutout)
    picked: list[Cutout] = []
    while len(picked) < count:
        names = list(by_concept)
        for i in rng.permutation(len(names)):
            options = by_concept[names[i]]
            fresh = [c for c in options if c not in picked] or options
            picked.append(fresh[int(rng.integers(len(fresh)))])
            if len(picked) == count:
                break
    return picked


def _relative(concept: str, pack: Pack) -> str | None:
    """Returns what a pack has in place of a concept: one of the same narrow family, else one that means the same."""
    broader = vocabulary().concepts.parent[concept]
    family = vocabulary().concepts.below(broader)[1:] if broader else []
    if broader and len(family) <= MAX_FAMILY and any(map(pack.members, family)):
        return _nearest_below(pack, broader).listed(concept)[0]
    return _nearest_in(pack)(concept)


@lru_cache(maxsize=64)
def _nearest_below(pack: Pack, broader: str) -> Nearest:
    return Nearest([name for name in vocabulary().concepts.below(broader)[1:] if pack.members(name)])


@cache
def _nearest_name() -> Nearest:
    """Finds the nearest of all concepts, also of those that a pack lacks: a wolfhound is a wolf, and so a dog."""
    return Nearest(list(vocabulary().concepts))


@lru_cache(maxsize=4)
def _nearest_in(pack: Pack) -> Nearest:
    return Nearest([name for name in vocabulary().concepts if pack.members(name)])


@lru_cache(maxsize=4)
def _nearest_kind(pack: Pack) -> Nearest:
    return Nearest(drawable(pack))


def background_for(place: Place, pack: Pack, rng: np.random.Generator) -> tuple[Background | None, list[str]]:
    """Makes the background that a prompt or an instruction names; None if nothing is near it."""
    kind, word = place.kind, place.word
    warnings = []
    if not place.known:
        kind = _nearest_kind(pack)(word)
        if kind is None:
            return None, [f"no background like '{word}' is in the collage pack"]
    assert kind is not None
    kinds = drawable(pack, kind)
    if not kinds:
        word = word or kind
        for broader in vocabulary().kinds.path(kind)[1:]:
            kinds = kinds or drawable(pack, broader)
        kinds = kinds or [PLAIN]
        kind = kinds[int(rng.integers(len(kinds)))]
    elif kind not in kinds:
        kind = kinds[int(rng.integers(len(kinds)))]
    if word:
        warnings.append(f"there is no background '{word}'; drew '{kind}' instead")
    named = [*place.colours, "", ""]
    return filled(kind, rng, named[0], named[1]), warnings


def _background(
    parsed: Parsed, pack: Pack, rng: np.random.Generator, objects: bool
) -> tuple[Background | None, list[str]]:
    """Returns the background, None where nothing decides it, and warnings about it."""
    warnings: list[str] = []
    if parsed.place is not None:
        background, warnings = background_for(parsed.place, pack, rng)
        if background is not None:
            return background, warnings
    if objects:
        return random_background(pack, rng, patterns=False), warnings
    # "nothing", "an empty picture": understood, and blank
    return (filled(PLAIN, rng, "white") if parsed.understood and not parsed.things else None), warnings


def _links(parsed: Parsed, first: Sequence[int | None], chosen: Sequence[tuple[Chosen, Thing]]) -> list[Link]:
    """Turns relations between things into relations between their objects."""
    links = []
    for a, relation, b in parsed.links:
        if max(a, b) < len(first) and first[a] is not None and first[b] is not None:
            ones, others = ([i for i, (_, t) in enumerate(chosen) if t is parsed.things[k]] for k in (a, b))
            links += [(i, relation, j) for i in ones for j in (others[:1] if relation == "near" else others)]
    return links


def _placed(
    chosen: Sequence[tuple[Chosen, Thing]], links: Sequence[Link], rng: np.random.Generator, warnings: list[str]
) -> tuple[Placed, ...]:
    if not chosen:
        return ()
    share = 1 / len(chosen) ** 0.5
    wants = []
    for (cutout, _), thing in chosen:
        usual = rng.uniform(0.44, 0.68) if len(chosen) == 1 else rng.uniform(0.5, 0.62) * share
        scale = SCALES.get(thing.size, usual)
        if thing.size in ("large", "huge"):
            scale *= max(share, 0.55)
        wants.append(Want(cutout.aspect, scale, thing.zones))
    spots = arrange(wants, links, rng)
    if spots is None:
        warnings.append("the positions cannot be had together; placed the objects anywhere")
        spots = arrange([want._replace(zones=()) for want in wants], (), rng)
    flips = rng.random(len(chosen)) < 0.5
    return tuple(
        Placed(
            cutout=cutout.id, x=round(spot.x, 4), y=round(spot.y, 4), scale=round(spot.scale, 4), flip=bool(flip),
            colour=colour,
        )
        for ((cutout, colour), _), spot, flip in zip(chosen, spots or (), flips, strict=False)
    )  # fmt: skip
