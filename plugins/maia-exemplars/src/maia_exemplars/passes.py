"""Passes over batches that hand each layer's values to whoever measures them."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from maia_exemplars.measured import Measurer, Values
from maia_exemplars.reading import Batch

Use = Callable[[int, NDArray[np.int64], NDArray[np.float32], Values], None]
"""Takes the number of a layer, the numbers of some images in the data set, their spatial maxima (float32 of shape
(images, units)) and their values."""


def run(measurer: Measurer, batch: Batch, use: Use) -> None:
    """Makes one pass over a batch.

    Raises:
        RunError: the model gave values that are not finite.
    """

    def receive(layer: int, first: int, maxima: NDArray[np.float32], values: Values) -> None:
        use(layer, batch.images[first : first + len(maxima)], maxima, values)

    measurer.read(batch.pixels, receive)


def maxima(measurer: Measurer, batch: Batch, use: Use) -> list[NDArray[np.float32]]:
    """Makes one pass, and also returns each layer's spatial maxima: of shape (images, units)."""
    parts: list[list[NDArray[np.float32]]] = [[] for _ in measurer.layers]

    def keep(layer: int, images: NDArray[np.int64], highest: NDArray[np.float32], values: Values) -> None:
        use(layer, images, highest, values)
        parts[layer].append(highest)

    run(measurer, batch, keep)
    return [np.concatenate(part) for part in parts]


def seconds(measurer: Measurer, pixels: NDArray[np.uint8]) -> float:
    """Times a pass over one batch: the best of three."""
    times = []
    for _ in range(3):
        started = time.perf_counter()
        measurer.read(pixels, lambda *measured: None)
        times.append(time.perf_counter() - started)
    return min(times)
