"""The similarity of CLIP-Dissect: how much more a concept fits the images that activate a unit than those of others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

SCALE = 10.0
"""Factor of the scores before the softmax over concepts."""

MIN_PROBABILITY = 1e-7
"""Added to probabilities before their logarithm."""

FIRST, LAST = 0.998, 0.97
"""Probability that the unit responds to the highest image, and what that of the lowest one falls to, by rank."""

PUBLISHED_IMAGES, SHARE, MIN_IMAGES = 100, 0.02, 15
"""Images per unit: the published 100 of 50,000, or 2 % of fewer than 5,000 images, at least 15."""

CHUNK = 256
"""Concepts, and units, that are computed at once: bounds the memory."""


def highest(images: int) -> int:
    """Returns how many of a data set's images count for a unit."""
    return min(images, max(MIN_IMAGES, min(PUBLISHED_IMAGES, round(SHARE * images))))


def probabilities(scores: Floats, scale: float = SCALE) -> NDArray[np.float64]:
    """Returns the probability of each concept in each image: a softmax over concepts.

    Args:
        scores: Shape (images, concepts).
        scale: Factor of the scores.
    """
    logits = scale * np.asarray(scores, np.float64)
    logits -= logits.max(1, keepdims=True)
    exponentials = np.exp(logits)
    return np.asarray(exponentials / exponentials.sum(1, keepdims=True))


def ranked(activations: Floats, count: int) -> NDArray[np.intp]:
    """Returns the `count` highest images of each unit, ties in the order of the data set.

    Args:
        activations: Shape (images, units).
        count: How many.

    Returns:
        Shape (units, count).
    """
    return np.argsort(-np.asarray(activations), axis=0, kind="stable")[:count].T


def log_likelihood(chances: NDArray[np.float64], sets: NDArray[np.intp]) -> NDArray[np.float64]:
    """Returns log p(concept | the unit's images) for each set of images.

    The soft version of CLIP-Dissect (Oikarinen and Weng, "CLIP-Dissect: Automatic Description of Neuron Representations
    in Deep Vision Networks", ICLR 2023, section 3): the sum over images of log(1 + p(x in B) (p(t|x) - 1)), where an
    image's p(x in B) falls with its rank from 0.998 towards 0.97 as in the authors' public code.

    Args:
        chances: Probability of each concept in each image: shape (images, concepts).
        sets: Images by rank, the highest first: shape (sets, count).

    Returns:
        float64 of shape (sets, concepts).
    """
    count = sets.shape[1]
    belongs = (FIRST - np.arange(count) / count * (FIRST - LAST))[:, None]
    result = np.empty((len(sets), chances.shape[1]))
    for start in range(0, chances.shape[1], CHUNK):
        columns = chances[:, start : start + CHUNK]
        for number, images in enumerate(sets):
            result[number, start : start + CHUNK] = np.log(1 + belongs * (columns[images] - 1) + MIN_PROBABILITY).sum(0)
    return result


def log_prior(chances: NDArray[np.float64], sets: NDArray[np.intp]) -> NDArray[np.float64]:
    """Returns log p(concept): the log of the mean of p(concept | images) over the sets of all units of a layer.

    Args:
        chances: Probability of each concept in each image: shape (images, concepts).
        sets: Images of each unit by rank, the highest first: shape (units, count).

    Returns:
        float64 of shape (concepts,).
    """
    blocks = (sets[start : start + CHUNK] for start in range(0, len(sets), CHUNK))
    sums = [np.logaddexp.reduce(log_likelihood(chances, block), axis=0) for block in blocks]
    return np.asarray(np.logaddexp.reduce(sums, axis=0) - np.log(len(sets)))


def average_prior(chances: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Returns the prior for a unit without a layer: log p(concept | `count` images that each show the average)."""
    return log_likelihood(chances.mean(0, keepdims=True), np.zeros((1, count), np.intp)).squeeze(0)


def soft_wpmi(likelihood: NDArray[np.float64], prior: NDArray[np.float64], weight: float = 1.0) -> NDArray[np.float64]:
    """Returns the weighted pointwise mutual information of a unit and each concept: higher is a better fit.

    Args:
        likelihood: log p(concept | the unit's images): shape (concepts,).
        prior: log p(concept): shape (concepts,).
        weight: Weight of the prior, 1 in the authors' code.
    """
    return np.asarray(likelihood - weight * prior)
