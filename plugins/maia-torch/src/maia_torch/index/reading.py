"""Images of a data set, read and cropped in threads while the network computes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import Dataset, UnreadableImage
from maia_torch.prefetch import prefetched
from maia_torch.preprocess import Preprocessing

WORKERS = max(2, min(16, os.cpu_count() or 1))
"""Threads that read images: one a core, as the network has them."""


class Batch(NamedTuple):
    """Some images in a row.

    Attributes:
        upto: How many of the asked places are done with, this batch and what it skipped included.
        places: Places of the images, int64 of shape (images,).
        pixels: What the network sees of them, uint8 of shape (images, height, width, 3).
        skipped: Places that were passed over because their image cannot be read.
    """

    upto: int
    places: NDArray[np.int64]
    pixels: NDArray[np.uint8]
    skipped: list[int]


def batches(
    dataset: Dataset,
    preprocess: Preprocessing,
    places: Sequence[int] | NDArray[np.int64],
    size: int,
    workers: int = WORKERS,
) -> Iterator[Batch]:
    """Yields the images at some places, in that order, in batches of at most `size`."""

    def read(place: int) -> NDArray[np.uint8] | None:
        try:
            return preprocess.crop(dataset[int(place)])
        except UnreadableImage:
            return None

    held: list[int] = []
    crops: list[NDArray[np.uint8]] = []
    skipped: list[int] = []
    for done, crop in enumerate(prefetched(read, places, ahead=2 * size, workers=workers), 1):
        place = int(places[done - 1])
        if crop is None:
            skipped.append(place)
        else:
            held.append(place)
            crops.append(crop)
        if len(crops) == size or done == len(places):
            height, width = preprocess.input
            pixels = np.stack(crops) if crops else np.empty((0, height, width, 3), np.uint8)
            yield Batch(done, np.array(held, np.int64), pixels, skipped)
            held, crops, skipped = [], [], []
