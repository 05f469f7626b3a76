"""The named things that images are compared with: their views as a model sees them, computed once and cached."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import Image, LabelledDataset, Model, Pixels, UnreadableImage, UsageError
from maia_nearest.crops import NEUTRAL, SIDE
from maia_nearest.noise import paste, surface
from maia_nearest.whitening import Whitening

BATCH = 64
"""Crops that the model sees in one call."""

NEIGHBOURS = 8
"""Library objects that vote on the broader concepts."""

SHARPNESS = 10.0
"""Weight of a neighbour: exp(SHARPNESS * similarity)."""


@dataclass(frozen=True)
class Cutout:
    """One library object: the pixels of its box and their opacity, both uint8."""

    pixels: Pixels
    alpha: NDArray[np.uint8]

    def on(self, rng: np.random.Generator, background: Pixels, smallest: float) -> tuple[Pixels, NDArray[np.uint8]]:
        """Lays the object on a background at a random place, side and size (`smallest` to 0.95 of the background)."""
        size, x, y, flip = rng.uniform(smallest, 0.95), rng.uniform(), rng.uniform(), rng.uniform() < 0.5
        return paste(background, self.pixels, self.alpha, size, (x, y), flip)


def cutout(image: Image) -> Cutout:
    """Takes the object out of a library image: what its mask keeps, or everything."""
    pixels, mask = (image.clean or image).pixels(), image.mask()
    if mask is None or not mask.any():
        return Cutout(pixels, np.full(pixels.shape[:2], 255, np.uint8))
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Cutout(pixels[box], mask[box].astype(np.uint8) * 255)


def cutouts(dataset: LabelledDataset, warn: Callable[[str], None]) -> tuple[list[Cutout], list[tuple[str, ...]]]:
    """Reads every object of a library and its names; what cannot be read or has no name is counted and skipped.

    Raises:
        UsageError: nothing is left.
    """
    objects: list[Cutout] = []
    names: list[tuple[str, ...]] = []
    skipped: list[str] = []
    for index in range(len(dataset)):
        concepts = tuple(dataset.concepts(index))
        try:
            taken = cutout(dataset[index])
        except UnreadableImage:
            skipped.append(dataset.ids[index])
            continue
        if concepts:
            objects.append(taken)
            names.append(concepts)
    if skipped:
        warn(f"{len(skipped)} images of {dataset.name} cannot be read and were skipped: {', '.join(skipped[:5])}")
    if not objects:
        raise UsageError(f"the describer's library {dataset.name} holds no readable image with a name; choose another")
    return objects, names


def views(objects: Sequence[Cutout], seed: int) -> list[Pixels]:
    """Makes the views of each object: alone on grey, then small and mirrored at random on a random surface."""
    rng = np.random.default_rng(seed)
    grey = np.full((SIDE, SIDE, 3), NEUTRAL, np.uint8)
    made = []
    for item in objects:
        made.append(paste(grey, item.pixels, item.alpha, 0.9, (0.5, 0.5), False)[0])
        made.append(item.on(rng, surface(rng, SIDE), 0.5)[0])
    return made


def features(
    model: Model,
    layer: str,
    pictures: Sequence[Pixels],
    fast: bool = False,
    seen: Callable[[int], None] = lambda pictures: None,
) -> NDArray[np.float32]:
    """Returns the model's features of pictures, shape (pictures, units); batched, so memory stays bounded.

    A torch model computes them with a folded copy; if `fast`, also rounded, which scores of concepts bear. `seen` gets
    the number of pictures of each batch.
    """
    parts = []
    folded = getattr(model, "folded_activations", None)
    activations = model.activations if folded is None else partial(folded, fast=fast)
    for start in range(0, len(pictures), BATCH):
        images = [Image.from_pixels(picture) for picture in pictures[start : start + BATCH]]
        parts.append(np.asarray(activations(images, layer), np.float32))
        seen(len(images))
    return np.concatenate(parts)


def choose_layer(model: Model) -> str:
    """Returns the last main layer with a spatial map: the one nearest to concepts that still sees where things are."""
    layers = model.layers()
    if not layers:
        raise UsageError(f"the model {model.name} has no layers; choose another for the describer")
    main = [layer for layer in layers if layer.kind != "inner"] or layers
    return next((layer.name for layer in reversed(main) if len(layer.shape) == 3), main[-1].name)


@dataclass(frozen=True)
class Library:
    """Named objects, each as several whitened views.

    Attributes:
        concepts: Names of each object, the most specific first, then broader ones.
        whitening: The space that views are compared in.
        views: Unit vectors, shape (objects, views, units).
    """

    concepts: list[tuple[str, ...]]
    whitening: Whitening
    views: NDArray[np.float32]

    def similarities(self, seen: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compares images with every object.

        Args:
            seen: Features of shape (images, crops, units).

        Returns:
            Cosine similarity to the nearest view of each object, mean over crops: shape (images, objects).
        """
        vectors = self.whitening(seen)
        count, crops, units = vectors.shape
        flat = vectors.reshape(-1, units) @ self.views.reshape(-1, units).T
        return np.asarray(flat.reshape(count, crops, *self.views.shape[:2]).max(-1).mean(1), np.float32)

    def names(self, similarity: NDArray[np.float32]) -> tuple[list[str], NDArray[np.float32]]:
        """Returns every name by the similarity of its nearest object, the nearest first, and these similarities."""
        best: dict[str, float] = {}
        for index in np.argsort(-similarity, kind="stable"):
            best.setdefault(self.concepts[index][0], float(similarity[index]))
        return list(best), np.asarray(list(best.values()), np.float32)

    def kinds(self, similarity: NDArray[np.float32], chances: Mapping[str, float]) -> dict[str, float]:
        """Says how likely each broader concept is.

        Each name's probability goes to its broader concepts; what remains (the object is none of these) goes to the
        broader concepts of the nearest objects, by their similarity.

        Args:
            similarity: Similarity of each object.
            chances: Probability of the first names, together at most 1.
        """
        nearest = np.argsort(-similarity, kind="stable")
        votes: dict[str, float] = {}

        def vote(index: int, weight: float) -> None:
            for concept in self.concepts[index][1:]:
                votes[concept] = votes.get(concept, 0.0) + weight

        for name, chance in chances.items():
            vote(next(int(i) for i in nearest if self.concepts[i][0] == name), chance)
        weights = np.exp(SHARPNESS * (similarity[nearest] - similarity[nearest[0]]))[:NEIGHBOURS]
        rest = max(0.0, 1 - sum(chances.values()))
        for index, weight in zip(nearest, weights / weights.sum(), strict=False):
            vote(int(index), rest * float(weight))
        return votes
