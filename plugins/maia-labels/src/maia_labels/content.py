"""What a label or a prompt asks to be in a picture, as far as the words of the collage laboratory tell."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from maia_labels.colours import base
from maia_labels.parsed import Place, Thing
from maia_labels.prompt import parse
from maia_labels.vocabulary import Tree, vocabulary


@dataclass(frozen=True)
class Content:
    """What a text asks for.

    Attributes:
        text: The text.
        things: Objects.
        place: The background; None where it is open.
        excluded: Concepts that must not be there.
        known: Whether all of the text is understood; else the rest of this says only a part of it.
    """

    text: str
    things: tuple[Thing, ...] = ()
    place: Place | None = None
    excluded: tuple[str, ...] = ()
    known: bool = False

    def with_(self, other: Content) -> Content:
        """Returns what shows both; not `known` where two backgrounds are asked for."""
        return Content(
            f"{self.text} with {other.text}",
            (*self.things, *other.things),
            self.place or other.place,
            (*self.excluded, *other.excluded),
            self.known and other.known and not (self.place and other.place),
        )


@lru_cache(maxsize=4096)
def content_of(text: str) -> Content:
    """Reads a text without operators."""
    parsed = parse(text)
    things, place = tuple(parsed.things), parsed.place
    lost = bool(parsed.ignored or parsed.warnings) or not parsed.understood
    unknown = any(not thing.known or thing.word for thing in things) or (place is not None and not place.known)
    excluded = tuple(name for name in parsed.excluded if name)
    return Content(text, things, place, excluded, not (lost or unknown) and bool(things or place))


def shows(demand: Content, picture: Content) -> float:
    """Returns about how likely a picture drawn from `picture` shows all of `demand`, in [0, 1].

    A narrower concept counts in full; a broader one by the share of its concepts that are meant.
    """
    if any(_related(name, thing.concept) for name in demand.excluded for thing in picture.things):
        return 0.0
    likely = 1.0
    for thing in demand.things:
        likely *= max((_is(thing, other) for other in picture.things), default=0.0)
    if demand.place is not None:
        likely *= _at(demand, picture)
    return likely


def related(a: Content, b: Content) -> float:
    """Returns how near two understood texts are in the trees, in [0, 1]: Wu and Palmer (1994), colours included."""
    pairs = [
        (vocabulary().concepts, [t.concept for t in a.things], [t.concept for t in b.things]),
        (vocabulary().kinds, [a.place.kind] if a.place else [], [b.place.kind] if b.place else []),
    ]
    values: list[float] = []
    for tree, ours, theirs in pairs:
        for one, others in (*((x, theirs) for x in ours), *((x, ours) for x in theirs)):
            values.append(max((_wu_palmer(tree, one, other) for other in others), default=0.0))
    similarity = sum(values) / len(values) if values else 0.0
    ours_, theirs_ = _colours(a), _colours(b)
    if ours_ or theirs_:
        similarity = (similarity + len(ours_ & theirs_) / len(ours_ | theirs_)) / 2
    return similarity


def _is(wanted: Thing, shown: Thing) -> float:
    share = 1.0 if wanted.concept is None else _share(vocabulary().concepts, wanted.concept, shown.concept)
    return share * _coloured(wanted.colours, shown.colours)


def _at(demand: Content, picture: Content) -> float:
    assert demand.place is not None
    if picture.place is None:
        return 0.05 if picture.things else 0.0
    demanded, shown = demand.place, picture.place
    share = 1.0 if demanded.kind is None else _share(vocabulary().kinds, demanded.kind, shown.kind)
    return share * _coloured(demanded.colours, shown.colours)


def _coloured(wanted: tuple[str, ...], shown: tuple[str, ...]) -> float:
    if not wanted:
        return 1.0
    return 1.0 if {*map(base, wanted)} <= {*map(base, shown)} else 0.0 if shown else 0.1


def _share(tree: Tree, wanted: str, shown: str | None) -> float:
    if shown is None:
        return len(tree.below(wanted)) / len(tree.parent)
    if wanted in tree.path(shown):
        return 1.0
    return len(tree.below(wanted)) / len(tree.below(shown)) if shown in tree.path(wanted) else 0.0


def _related(name: str, other: str | None) -> bool:
    return other is not None and name in vocabulary().concepts.path(other)


def _wu_palmer(tree: Tree, a: str | None, b: str | None) -> float:
    """Twice the depth of the nearest common concept over the depths of both; the root of all counts as one level."""
    one, other = ([] if name is None else tree.path(name) for name in (a, b))
    common = len(set(one) & set(other))
    return 2 * (common + 0.5) / (len(one) + len(other) + 1) if common or one == other else 0.0


def _colours(content: Content) -> set[str]:
    named = [c for thing in content.things for c in thing.colours] + list(
        content.place.colours if content.place else ()
    )
    return set(map(base, named))
