"""The subjects of the benchmark: which class, which planted dependence, and the lists that are drawn by seed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import cycle
from typing import Literal

import numpy as np

from maia_collage.pack import Pack, find
from maia_collage.scene import Placed, Scene
from maia_core.plugin import Data, RunContext, UsageError
from maia_planted.attributes import KINDS, OPPOSITE, VALUES, Attribute, Kind
from maia_planted.scenes import CLASSES

Join = Literal["and", "or"]
Form = Literal["detector", "head"]

LISTS = {"development": 1, "reported": 20261130}
"""Named lists and their seeds. Tune on `development`; nothing was tuned on `reported`."""

LEARNABLE: tuple[Kind, ...] = ("colour", "background", "neighbour")
"""Attributes that a linear head on pooled features learns."""

SINGLE_EACH, PAIRS_EACH, HEADS_EACH, UNBIASED, UNBIASED_HEADS = 4, 6, 2, 12, 2
"""Numbers of detectors per attribute, of pairs per join, of heads per learnable attribute, and of unbiased models."""

_REF = re.compile(r"(?P<list>\w{1,20})/(?P<number>\d{1,4})")


class Subject(Data):
    """One model of the benchmark.

    Attributes:
        concept: The class that it scores.
        form: A `detector` that reads the scene, or a trained `head`.
        attributes: What its score depends on; empty: nothing.
        join: How two attributes are joined.
    """

    concept: str
    form: Form = "detector"
    attributes: tuple[Attribute, ...] = ()
    join: Join = "and"

    @property
    def kind(self) -> str:
        """The row of the table: the kind of the attribute, `A and B`, `A or B`, or `none`."""
        if not self.attributes:
            return "none"
        return self.attributes[0].kind if len(self.attributes) == 1 else f"A {self.join} B"

    @property
    def truth(self) -> str:
        """The planted dependence in one sentence."""
        if not self.attributes:
            return f"No bias: the score does not depend on how a {self.concept} is shown."
        return f"The score is higher for: {self.label.replace(' AND ', ' and ').replace(' OR ', ' or ')}."

    @property
    def label(self) -> str:
        """The images with a high score as a label, such as "red rabbit AND rabbit on snow"."""
        phrases = [attribute.phrase(self.concept) for attribute in self.attributes]
        return f" {self.join.upper()} ".join(phrases) or self.concept

    def shown(self, placed: Placed, scene: Scene, pack: Pack) -> bool:
        """Tells whether an object of the class has what the score depends on."""
        found = [attribute.shown(placed, scene, self.concept, pack) for attribute in self.attributes]
        return (any if self.join == "or" and found else all)(found)


def subjects_of(name: str, context: RunContext) -> Sequence[Subject]:
    """Returns the subjects of a list: `development`, `reported`, or a number, which is the seed of another list.

    Raises:
        UsageError: there is no such list, or no collage pack.
    """
    if name not in LISTS and not re.fullmatch("[0-9]{1,9}", name):
        raise UsageError(f"there is no list of planted models '{name}'; there are {', '.join(LISTS)}, and any seed")
    return _drawn(LISTS.get(name) or int(name), find("", context.cache))


def subject_of(ref: str, context: RunContext) -> Subject:
    """Returns the subject that `LIST/NUMBER` names.

    Raises:
        UsageError: there is no such list or number.
    """
    found = _REF.fullmatch(ref.strip())
    if not found:
        raise UsageError("name a planted model: --system planted:development/1")
    subjects = subjects_of(found["list"], context)
    number = int(found["number"])
    if not 1 <= number <= len(subjects):
        raise UsageError(
            f"the list '{found['list']}' has the models {found['list']}/1 to {found['list']}/{len(subjects)}, "
            f"not {ref.strip()}"
        )
    return subjects[number - 1]


@lru_cache(maxsize=8)
def _drawn(seed: int, pack: Pack) -> Sequence[Subject]:
    """Draws a list: every kind of attribute equally often, a quarter without any, in an order that tells nothing."""
    rng = np.random.default_rng([seed, 31])
    concepts = cycle([CLASSES[n] for n in rng.permutation(len(CLASSES))])

    def pick(kind: Kind, concept: str) -> Attribute:
        natural = {
            colour for cutout in pack.members(concept) for colour in VALUES["colour"] if cutout.has_colour(colour)
        }
        values = [value for value in VALUES[kind] if kind != "colour" or value not in natural]
        return Attribute(kind=kind, value=str(rng.choice(values)))

    def singles(form: Form, kinds: Sequence[Kind], each: int) -> Iterator[Subject]:
        for kind in kinds:
            for _, concept in zip(range(each), concepts, strict=False):
                yield Subject(concept=concept, form=form, attributes=(pick(kind, concept),))

    drawn = [*singles("detector", KINDS, SINGLE_EACH), *singles("head", LEARNABLE, HEADS_EACH)]
    joins: tuple[Join, ...] = ("and", "or")
    for join in joins:
        for _, concept in zip(range(PAIRS_EACH), concepts, strict=False):
            kinds = [KINDS[n] for n in rng.permutation(len(KINDS))[:2]]
            attributes = tuple(pick(kind, concept) for kind in kinds)
            drawn.append(Subject(concept=concept, attributes=attributes, join=join))
    drawn += [Subject(concept=concept) for _, concept in zip(range(UNBIASED), concepts, strict=False)]
    drawn += [
        Subject(concept=concept, form="head") for _, concept in zip(range(UNBIASED_HEADS), concepts, strict=False)
    ]
    return tuple(drawn[n] for n in rng.permutation(len(drawn)))


def opposite(attribute: Attribute) -> str:
    """Returns the value that is there where the attribute is not; empty where there are several."""
    return OPPOSITE.get(attribute.value, "")
