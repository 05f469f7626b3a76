"""Draws a benchmark list over what the collage laboratory holds. `data/collage.json` is the one of seed 0.

The rules, all of them; none looks at whether a neuron is easy to explain:

1. The pool is every concept of the laboratory at every level: *things* (tiger), *kinds* of things (cat family, mammal,
   animal), *colours* (red thing), *backgrounds* and their kinds (snow, water). What the data set never shows by itself
   (a leash, which comes with a dog) is not in it.
2. A concept stays if it is in at least `MIN_COLLAGES` of the 1,200 collages of the default data set and missing in at
   least `MIN_COLLAGES`, and if it is not in exactly the same collages as a narrower one: no experiment tells these
   apart.
3. Half of the neurons have one concept, a quarter is A OR B, a quarter A given B, as in the paper. A group of concepts
   is drawn by its share (`SHARES`), a concept of it evenly.
4. Of a pair each concept must be without the other in at least `MIN_COLLAGES` collages, so that none goes without
   saying; of A given B both must be together in at least `MIN_COLLAGES`.
5. A given B takes no colours: a colour is mostly a property of the first thing in the picture, not a second thing.
6. No neuron comes twice.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import RunContext, UsageError
from maia_synthetic.collages import presence

if TYPE_CHECKING:
    from maia_collage.dataset import CollageDataset

ONE, EITHER, GIVEN = 32, 16, 16
MIN_COLLAGES = 5
SHARES = {"things": 0.35, "kinds": 0.35, "colours": 0.1, "backgrounds": 0.2}
TRIES = 200_000
"""A pair that is not found in so many draws is not there."""

Bits = NDArray[np.bool_]


def draw(seed: int, context: RunContext) -> dict[str, Any]:
    """Draws a list.

    Args:
        seed: Which.
        context: Where the laboratory's pack is found.

    Returns:
        The list in the form of the data files.

    Raises:
        UsageError: there is no pack, or it holds too little.
    """
    dataset = _dataset(context)
    groups, presences = _pool(dataset)
    rng = np.random.default_rng([seed, 4])

    def concepts() -> Iterator[str]:
        for group in rng.choice(list(SHARES), TRIES, p=list(SHARES.values())):
            if groups[group]:
                yield groups[group][rng.integers(len(groups[group]))]

    def pairs(together: bool) -> Iterator[tuple[str, str]]:
        some = concepts()
        for a, b in zip(some, some, strict=False):
            one, other = presences[a], presences[b]
            if min(np.sum(one & ~other), np.sum(other & ~one)) < MIN_COLLAGES:
                continue
            if not together or (np.sum(one & other) >= MIN_COLLAGES and not {a, b} & set(groups["colours"])):
                yield a, b

    def first(count: int, candidates: Iterator[Any], same: Callable[[Any], Hashable] = lambda it: it) -> list[Any]:
        found: dict[Hashable, Any] = {}
        for candidate in candidates:
            found.setdefault(same(candidate), candidate)
            if len(found) == count:
                return list(found.values())
        raise UsageError("the collage pack holds too few different concepts for a list; fetch the photographs")

    return {
        "source": f"drawn by `maia synthetic draw --seed {seed}`; the rules are in maia_synthetic/draw.py",
        "seed": seed,
        "dataset": dataset.fingerprint,
        "monosemantic": first(ONE, concepts()),
        "polysemantic_or": first(EITHER, pairs(together=False), same=frozenset),
        "conditional_a_given_b": first(GIVEN, pairs(together=True)),
    }


def _dataset(context: RunContext) -> CollageDataset:
    dataset: CollageDataset = context.build("dataset", "collage")
    return dataset


@lru_cache(maxsize=1)
def _pool(dataset: CollageDataset) -> tuple[dict[str, list[str]], dict[str, Bits]]:
    """Returns the concepts that rules 1 and 2 leave, by group, and in which collages each is."""
    from maia_collage.colours import RGB
    from maia_collage.dataset import COMPANIONS
    from maia_labels.vocabulary import vocabulary

    words = vocabulary()
    grouped: list[tuple[str, str]] = []
    # Narrower concepts come first: of two that are in the same collages the first stays.
    for concept in sorted({*words.concepts} - {*COMPANIONS}, key=lambda name: (-len(words.concepts.path(name)), name)):
        shown = {cutout.concept for cutout in dataset.pack.members(concept)}
        grouped.append(("kinds" if shown - {concept} else "things", concept))
    grouped += [("colours", f"{colour} thing") for colour in RGB]
    for background in sorted(words.kinds, key=lambda name: (-len(words.kinds.path(name)), name)):
        grouped.append(("backgrounds", background))

    groups: dict[str, list[str]] = {group: [] for group in SHARES}
    presences: dict[str, Bits] = {}
    seen: set[bytes] = set()
    for group, concept in grouped:
        there = presence(dataset, concept) > 0
        if MIN_COLLAGES <= there.sum() <= there.size - MIN_COLLAGES and there.tobytes() not in seen:
            seen.add(there.tobytes())
            groups[group].append(concept)
            presences[concept] = there
    return groups, presences
