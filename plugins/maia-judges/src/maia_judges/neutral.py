"""Prompts of images that show nothing of a label: controls of an evaluation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maia_judges.fit import concept_fits
from maia_judges.prompts import write
from maia_judges.spread import Spread, rng_of
from maia_labels import NOTHING, says_nothing
from maia_labels.colours import base
from maia_labels.content import content_of
from maia_labels.parts import cleaned, leaves

CANDIDATES = 10
"""Prompts of anything there are to choose from, for each one that is wanted; labels share them, and so their images."""

MIN_CANDIDATES = 200


def write_neutral(label: str, n: int, spread: Spread) -> list[str]:
    """Writes `n` different prompts that show as little of `label` as possible, in an order that depends on the label.

    The candidates are prompts of anything, the same for all labels. Those that fit no concept of the label come first,
    chosen at random: the least likely ones alone would all be of one sort.

    Raises:
        UsageError: so many cannot be written.
    """
    prompts = write(NOTHING, max(MIN_CANDIDATES, CANDIDATES * n), spread)
    concepts = [] if says_nothing(label) else leaves(label)
    fit = np.max([np.zeros(len(prompts)), *(_relation(concept, prompts, spread) for concept in concepts)], axis=0)
    shuffled = rng_of(cleaned(label), "neutral").permutation(len(prompts))
    return [prompts[i] for i in sorted(shuffled.tolist(), key=lambda i: fit[i])[:n]]


def _relation(concept: str, prompts: list[str], spread: Spread) -> NDArray[np.float64]:
    """Returns how likely each prompt shows a concept, in steps of a tenth: float64 of shape (prompts,), in [0, 1]."""
    fit = np.round(concept_fits(concept, prompts), 1)
    for thing in content_of(concept).things:
        colours = {base(colour) for colour in thing.colours}
        for number, prompt in enumerate(prompts if colours else ()):
            shown = [other for other in content_of(cleaned(prompt)).things if other.concept and not other.colours]
            if any(spread.natural(other.concept, colours) for other in shown if other.concept):
                fit[number] = 1.0
    return fit
