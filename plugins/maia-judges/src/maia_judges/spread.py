"""Narrower concepts of a concept, spread over the tree."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np

from maia_collage.backgrounds import drawable
from maia_collage.colours import base
from maia_collage.pack import Cutout, Pack, find
from maia_collage.prompt import Thing
from maia_collage.vocabulary import Tree, vocabulary
from maia_core.plugin import UsageError, content_id


def rng_of(*texts: str) -> np.random.Generator:
    """Returns a random generator that depends on texts alone, the same in every process."""
    return np.random.default_rng(int(content_id(*(text.encode("utf-8", "replace") for text in texts)), 16))


class Spread:
    """Lists narrower concepts so that the first ones are as different as the tree allows.

    Concepts that the laboratory's pack can draw are used alone, where there is a pack and it has any.
    """

    def __init__(self, pack: Pack | None) -> None:
        self._pack = pack
        tree = vocabulary().concepts
        with_pictures = {c.concept for c in pack.members(None)} if pack else set()
        leaves = {name for name in tree if len(tree.below(name)) == 1}
        self._things = with_pictures or leaves
        kinds = vocabulary().kinds
        self._kinds = set(drawable(pack)) if pack else {name for name in kinds if len(kinds.below(name)) == 1}

    def things(self, wanted: Thing, key: str = "", excluded: Collection[str] = ()) -> list[str]:
        """Returns concepts at or below the one of `wanted` (all where it names none), the same for the same `key`.

        What is round, where that is wanted, and what has the wanted colours by nature comes first.
        """
        tree = vocabulary().concepts
        barred = {name for each in excluded for name in tree.below(each)}
        names = [name for name in _spread(tree, wanted.concept, self._things, key) if name not in barred]
        if wanted.round or wanted.colours:
            natural = [name for name in names if any(_fits(cutout, wanted) for cutout in self._own(name))]
            names = natural + [name for name in names if name not in set(natural)]
        return names

    def broader(self) -> list[str]:
        """Returns the concepts that have narrower ones: about one in thirty fits a picture of anything."""
        tree = vocabulary().concepts
        return [name for name in tree if len(tree.below(name)) > 1 and not self._things.isdisjoint(tree.below(name))]

    def kinds(self, kind: str | None, key: str = "") -> list[str]:
        """Returns kinds of background at or below `kind`."""
        return _spread(vocabulary().kinds, kind, self._kinds, key)

    def _own(self, concept: str) -> list[Cutout]:
        return [c for c in self._pack.members(concept) if c.concept == concept] if self._pack else []


def opened_pack(option: str, cache: Path) -> Pack | None:
    """Returns the laboratory's pack, or None where none was fetched and none is asked for."""
    try:
        return find(option, cache)
    except UsageError:
        if option:
            raise
        return None


def _fits(cutout: Cutout, wanted: Thing) -> bool:
    return all(cutout.has_colour(base(colour)) for colour in wanted.colours) and (cutout.round or not wanted.round)


def _spread(tree: Tree, top: str | None, usable: Collection[str], key: str) -> list[str]:
    rng = rng_of(key, top or "")
    tops = [name for name, parent in tree.parent.items() if parent is None] if top is None else [top]
    names = _interleaved([_below(tree, t, usable, rng) for t in tops])
    return names or ([] if top is None else [top])


def _below(tree: Tree, top: str, usable: Collection[str], rng: np.random.Generator) -> list[str]:
    """Returns usable concepts at or below `top`; its branches take turns, the one with most concepts first."""
    children = [name for name, parent in tree.parent.items() if parent == top]
    branches = [_below(tree, child, usable, rng) for child in children]
    branches = [branches[i] for i in rng.permutation(len(branches))]
    return [top] * (top in usable) + _interleaved(branches)


def _interleaved(branches: list[list[str]]) -> list[str]:
    ordered = sorted(filter(None, branches), key=len, reverse=True)
    turns: Iterator[tuple[str | None, ...]] = zip_longest(*ordered)
    return [name for name in chain.from_iterable(turns) if name is not None]
