"""Concept scores of images: what each image shows of every concept, background and colour that the library knows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import Image, Mask, Model, Pixels
from maia_nearest import background, colours, confidence
from maia_nearest.background import Backgrounds
from maia_nearest.findings import ALSO, CHUNK
from maia_nearest.image_parts import CROPS, ImageParts, image_parts
from maia_nearest.library import NEIGHBOURS, SHARPNESS, Library, features
from maia_nearest.memory import Memory
from maia_nearest.phrases import Joined, Meaning, Not

REGIONS = 1 + ALSO
"""Most objects that count in one image."""

Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Seen:
    """What one image shows; rows for regions that it does not have are zero.

    Attributes:
        things: Probability of each object concept in each region: float32 of shape (`REGIONS`, things).
        colours: Share of each colour in each region: float32 of shape (`REGIONS`, 12).
        grounds: Score of each background, in [0, 1]: float32 of shape (grounds,).
        around: Share of each colour in what is around the objects: float32 of shape (12,).
    """

    things: Scores
    colours: Scores
    grounds: Scores
    around: Scores


class _Measured(NamedTuple):
    """What is known of an image before the model sees it: `CROPS` crops of each region, and the rest of `Seen`."""

    crops: list[Pixels]
    colours: Scores
    grounds: Scores
    around: Scores


class Scorer:
    """Scores the concepts of a library of named objects and backgrounds.

    Attributes:
        things: Names of the object concepts: of the objects themselves, and broader ones.
        grounds: Names of the backgrounds, and broader ones.
    """

    def __init__(self, memory: Memory, model: Model, layer: str) -> None:
        self._memory, self._model, self._layer = memory, model, layer
        library: Library = memory.library
        self.things = list(dict.fromkeys(name for names in library.concepts for name in names))
        self.grounds = list(dict.fromkeys(name for names in memory.backgrounds.concepts for name in names))
        self._own, self._broader = _membership(library.concepts, self.things)
        own, broader = _membership(memory.backgrounds.concepts, self.grounds)
        self._shown = own + broader

    def see(self, images: Sequence[Image]) -> list[Seen]:
        """Measures each image; the result for one does not depend on the others.

        Threads look at the next images, cut their regions out and measure colours, while the model sees the last ones.
        """
        seen: list[Seen] = []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            waiting = [pool.submit(self._measure, image) for image in images[:CHUNK]]
            for start in range(CHUNK, len(images) + CHUNK, CHUNK):
                measured = [each.result() for each in waiting]
                waiting = [pool.submit(self._measure, image) for image in images[start : start + CHUNK]]
                seen += self._seen(measured)
        return seen

    def _measure(self, image: Image) -> _Measured:
        """Measures what needs no model."""
        seen = image_parts(image)
        regions = [] if seen.empty else [seen, *_others(seen)]
        shares = np.zeros((REGIONS, len(colours.NAMES)), np.float32)
        for row, region in enumerate(regions):
            shares[row] = _shares(region, region.region)
        return _Measured([crop for region in regions for crop in region.crops()], shares, *self._grounds(seen))

    def _seen(self, measured: Sequence[_Measured]) -> list[Seen]:
        """Adds what the model says: one call for all regions of several images."""
        regions = np.cumsum([len(each.crops) // CROPS for each in measured])
        found = np.zeros((0, len(self.things)), np.float32)
        if regions[-1]:
            crops = [crop for each in measured for crop in each.crops]
            found = self._things(features(self._model, self._layer, crops, fast=True).reshape(regions[-1], CROPS, -1))
        seen = []
        for each, rows in zip(measured, np.split(found, regions[:-1]), strict=True):
            things = np.zeros((REGIONS, len(self.things)), np.float32)
            things[: len(rows)] = rows
            seen.append(Seen(things, each.colours, each.grounds, each.around))
        return seen

    def _things(self, vectors: NDArray[np.float32]) -> Scores:
        """Returns the probability of each object concept, of shape (regions, things).

        A name has its calibrated probability; a broader concept what the describer gives it (`Library.kinds`), and at
        least that of the likeliest name below it.
        """
        library = self._memory.library
        scores = np.zeros((len(vectors), len(self.things)), np.float32)
        for row, similarity in zip(scores, library.similarities(vectors), strict=True):
            chances = self._chances(similarity)
            first = np.argsort(-chances, kind="stable")[: confidence.FIRST]
            rest = max(0.0, 1 - float(chances[first].sum()))
            nearest = np.argsort(-similarity, kind="stable")[:NEIGHBOURS]
            weights = np.exp(SHARPNESS * (similarity[nearest] - similarity[nearest[0]]))
            votes = chances[first] @ (self._own + self._broader)[first]
            votes += rest * (weights / weights.sum()) @ self._broader[nearest]
            likeliest = (chances[:, None] * (self._own + self._broader)).max(0)
            row[:] = np.maximum(votes, likeliest).clip(0, 1)
        return scores

    def _chances(self, similarity: NDArray[np.float32]) -> NDArray[np.float64]:
        """Returns the probability of each object's name, given to the most similar object of that name."""
        library = self._memory.library
        best: dict[str, int] = {}
        for index in np.argsort(-similarity, kind="stable").tolist():
            best.setdefault(library.concepts[index][0], index)
        order = list(best.values())
        chances = np.zeros(len(similarity))
        chances[order] = confidence.probabilities(self._memory.coefficients, similarity[order], len(order))
        return chances

    def _grounds(self, seen: ImageParts) -> tuple[Scores, Scores]:
        """Returns the score of each background, and the colours of what is around the objects."""
        scores = np.zeros(len(self.grounds), np.float32)
        bright = seen.region if seen.masked else np.ones_like(seen.region)
        # Where no object is found, everything is background, as far as anybody can tell.
        place = bright & seen.outside() if seen.contrast else seen.region
        if place.mean() < background.MIN_SHARE:
            return scores, np.zeros(len(colours.NAMES), np.float32)
        grounds: Backgrounds = self._memory.backgrounds
        if grounds.concepts:
            similarity, votes = grounds.votes(seen.pixels, place)
            near = 1 / (1 + np.exp(-background.SHARPNESS * (similarity - background.NEAR)))
            scores = np.asarray(
                (votes[:, None] * self._shown).sum(0) * (near[:, None] * self._shown).max(0), np.float32
            )
        return scores.clip(0, 1), _shares(seen, place)


class Table:
    """What several images show, stacked so that one text is scored on all of them at once."""

    def __init__(self, seen: Sequence[Seen]) -> None:
        self._things = np.stack([each.things for each in seen], axis=-1)
        self._colours = np.stack([each.colours for each in seen], axis=-1)
        self._grounds = np.stack([each.grounds for each in seen], axis=-1)
        self._around = np.stack([each.around for each in seen], axis=-1)

    def score(self, meaning: Meaning) -> Scores:
        """Returns how well each image fits, float32 of shape (images,), in [0, 1]."""
        if isinstance(meaning, Not):
            return np.asarray(1 - self.score(meaning.part), np.float32)
        if isinstance(meaning, Joined):
            choose = np.maximum if meaning.how == "any" else np.minimum
            return reduce(choose, map(self.score, meaning.parts))
        best = np.zeros(self._things.shape[-1], np.float32)
        nothing = meaning.thing is None and meaning.ground is None
        colours_asked = list(meaning.colours)
        if meaning.thing is not None or (nothing and meaning.where != "ground"):
            asked = self._colours[:, colours_asked]
            if meaning.thing is not None:
                asked = np.concatenate([asked, self._things[:, [meaning.thing]]], axis=1)
            best = asked.min(1).max(0)
        if meaning.ground is not None or (nothing and meaning.where != "object"):
            asked = self._around[colours_asked]
            if meaning.ground is not None:
                asked = np.concatenate([asked, self._grounds[[meaning.ground]]])
            best = np.maximum(best, asked.min(0))
        return best


def _others(seen: ImageParts) -> list[ImageParts]:
    return [seen.at(other.mask, other.contrast) for other in seen.others[:ALSO]]


def _shares(seen: ImageParts, place: Mask) -> Scores:
    found = colours.shares(seen.pixels, place)
    return np.asarray([found.get(name, 0.0) for name in colours.NAMES], np.float32)


def _membership(concepts: Sequence[tuple[str, ...]], names: Sequence[str]) -> tuple[Scores, Scores]:
    """Returns which name each entry has, and which broader ones: two arrays of 0 and 1, shape (entries, names)."""
    place = {name: index for index, name in enumerate(names)}
    own, broader = np.zeros((2, len(concepts), len(names)), np.float32)
    for row, (name, *above) in enumerate(concepts):
        own[row, place[name]] = 1
        broader[row, [place[each] for each in above]] = 1
    return own, broader
