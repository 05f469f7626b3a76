"""From a similarity, whose scale is its own, to a prediction between 0 and 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import Dataset, Image, ImageTextSimilarity, UnreadableImage, UsageError

LOW, HIGH = 0.5, 0.99
"""Quantiles of the similarities between reference images and reference texts that become 0 and 1."""


class Scale(NamedTuple):
    """The similarity that is predicted as 0, and the one that is predicted as 1."""

    low: float
    high: float

    def __call__(self, similarity: NDArray[np.floating]) -> NDArray[np.float64]:
        """Maps similarities of any shape linearly, and cuts at 0 and 1."""
        return np.clip((np.asarray(similarity, np.float64) - self.low) / (self.high - self.low), 0, 1)


def measured(similarity: ImageTextSimilarity, images: Sequence[Image], texts: Sequence[str]) -> Scale:
    """Finds the scale of a similarity from images and texts, each of which a few of the images show.

    0 is the median over all pairs, what a text that does not fit gets; 1 the 99th percentile, what one that fits gets.

    Raises:
        UsageError: the similarity is the same for all pairs, so it tells nothing.
    """
    scores = similarity.similarity([image.anonymous() for image in images], list(texts))
    low, high = (float(value) for value in np.quantile(scores, (LOW, HIGH)))
    if high <= low:
        high = float(np.max(scores))
    if not np.isfinite([low, high]).all() or high <= low:
        raise UsageError("the similarity gives every image and text the same score; choose another: -o similarity=NAME")
    return Scale(low, high)


def sample(dataset: Dataset, count: int) -> list[Image]:
    """Returns readable images spread evenly over a data set.

    Raises:
        UsageError: there is none.
    """
    images = []
    for index in np.unique(np.linspace(0, max(0, len(dataset) - 1), min(count, max(1, len(dataset))), dtype=int)):
        try:
            images.append(dataset[int(index)])
        except (UnreadableImage, IndexError):
            continue
    if not images:
        raise UsageError(f"the data set {dataset.name} holds no readable image to scale predictions by")
    return images
