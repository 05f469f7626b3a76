"""Images of a data set, read and cropped in threads while the network computes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import Dataset, UnreadableImage
from maia_exemplars.prefetch import prefetched
from maia_exemplars.preprocess import Pixels, Preprocessing, stacked

WORKERS = max(2, min(16, os.cpu_count() or 1))
"""Threads that read images: one per core, like those of the network."""


class Batch(NamedTuple):
    """Some images in a row.

    Attributes:
        upto: How many of the requested images are done, this batch and skipped ones included.
        images: Numbers of the images in the data set, int64 of shape (images,).
        pixels: What the network sees of them.
        skipped: Numbers of images that cannot be read.
    """

    upto: int
    images: NDArray[np.int64]
    pixels: Pixels
    skipped: list[int]


def batches(
    dataset: Dataset,
    preprocess: Preprocessing,
    images: Sequence[int] | NDArray[np.int64],
    size: int,
    workers: int = WORKERS,
) -> Iterator[Batch]:
    """Yields the images of some numbers, in that order, in batches of at most `size`."""

    def read(image: int) -> NDArray[np.uint8] | None:
        try:
            return preprocess.crop(dataset[int(image)])
        except UnreadableImage:
            return None

    numbers: list[int] = []
    crops: list[NDArray[np.uint8]] = []
    skipped: list[int] = []
    for done, crop in enumerate(prefetched(read, images, ahead=2 * size, workers=workers), 1):
        image = int(images[done - 1])
        if crop is None:
            skipped.append(image)
        else:
            numbers.append(image)
            crops.append(crop)
        if len(crops) == size or done == len(images):
            height, width = preprocess.input
            pixels = stacked(crops) if crops else np.empty((0, height, width, 3), np.uint8)
            yield Batch(done, np.array(numbers, np.int64), pixels, skipped)
            numbers, crops, skipped = [], [], []
