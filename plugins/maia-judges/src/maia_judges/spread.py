"""Narrower concepts of a concept, spread over the tree."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import chain, zip_longest

import numpy as np

from maia_core.plugin import content_id
from maia_labels.colours import base
from maia_labels.parsed import Thing
from maia_labels.pictured import Pictured
from maia_labels.vocabulary import Tree, vocabulary


def rng_of(*texts: str) -> np.random.Generator:
    """Returns a random generator that depends on texts alone, the same in every process."""
    return np.random.default_rng(int(content_id(*(text.encode("utf-8", "replace") for text in texts)), 16))


class Spread:
    """Lists narrower concepts so that the first ones are as different as the tree allows.

    Where there are pictures of any concepts, only concepts with a picture are used.
    """

    def __init__(self, pictures: Pictured | None) -> None:
        self._pictures = pictures
        tree = vocabulary().concepts
        leaves = {name for name in tree if len(tree.below(name)) == 1}
        self._things = (pictures.things if pictures else None) or leaves
        kinds = vocabulary().kinds
        self._kinds = pictures.backgrounds if pictures else {name for name in kinds if len(kinds.below(name)) == 1}

    def things(self, wanted: Thing, key: str = "", excluded: Collection[str] = ()) -> list[str]:
        """Returns concepts at or below the one of `wanted` (all where it names none), the same for the same `key`.

        What is round, where that is wanted, and what has the wanted colours by nature comes first.
        """
        tree = vocabulary().concepts
        barred = {name for each in excluded for name in tree.below(each)}
        names = [name for name in _spread(tree, wanted.concept, self._things, key) if name not in barred]
        if self._pictures and (wanted.round or wanted.colours):
            colours = {base(colour) for colour in wanted.colours}
            natural = [name for name in names if self._pictures.looks(name, colours, wanted.round)]
            names = natural + [name for name in names if name not in set(natural)]
        return names

    def natural(self, concept: str, colours: Collection[str]) -> bool:
        """Tells whether pictures of a concept have these basic colours by nature; False where there are no pictures."""
        return self._pictures is not None and self._pictures.looks(concept, colours, False)

    def broader(self) -> list[str]:
        """Returns the concepts that have narrower ones: about one in thirty fits a picture of anything."""
        tree = vocabulary().concepts
        return [name for name in tree if len(tree.below(name)) > 1 and not self._things.isdisjoint(tree.below(name))]

    def kinds(self, kind: str | None, key: str = "") -> list[str]:
        """Returns kinds of background at or below `kind`."""
        return _spread(vocabulary().kinds, kind, self._kinds, key)


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
