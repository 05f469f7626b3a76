"""Passes over batches that hand each layer's values to whoever measures them."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from maia_exemplars.measured import Measurer, NotFiniteError, Values
from maia_exemplars.preprocess import Pixels
from maia_exemplars.reading import Batch

Use = Callable[[int, NDArray[np.int64], NDArray[np.float32], Values], None]
"""Takes the number of a layer, the numbers of some images in the data set, their spatial maxima (float32 of shape
(images, units)) and their values."""


def run(measurer: Measurer, batch: Batch, use: Use) -> list[tuple[int, int]]:
    """Makes one pass over a batch; where a value is not finite, one pass per image.

    Returns:
        Pairs of a layer's number and an image's number in the data set: they were not handed to `use`, because the
        layer, or one before it, gave a value that is not finite.
    """
    left = {(layer, row) for layer in range(len(measurer.layers)) for row in range(len(batch.images))}

    def receive(layer: int, first: int, maxima: NDArray[np.float32], values: Values) -> None:
        left.difference_update((layer, first + row) for row in range(len(maxima)))
        use(layer, batch.images[first : first + len(maxima)], maxima, values)

    try:
        measurer.read(batch.pixels, receive)
    except NotFiniteError:
        for row in sorted({row for _, row in left}):

            def receive_one(
                layer: int, first: int, maxima: NDArray[np.float32], values: Values, row: int = row
            ) -> None:
                if (layer, row) in left:
                    receive(layer, row, maxima, values)

            with suppress(NotFiniteError):
                measurer.read(batch.pixels[row : row + 1], receive_one)
    return [(layer, int(batch.images[row])) for layer, row in sorted(left)]


def maxima(measurer: Measurer, batch: Batch, use: Use | None = None) -> list[NDArray[np.float32]]:
    """Makes one pass and returns each layer's spatial maxima: of shape (images, units).

    Raises:
        NotFiniteError: the model gave values that are not finite.
    """
    parts: list[list[NDArray[np.float32]]] = [[] for _ in measurer.layers]

    def receive(layer: int, first: int, highest: NDArray[np.float32], values: Values) -> None:
        if use is not None:
            use(layer, batch.images[first : first + len(highest)], highest, values)
        parts[layer].append(highest)

    measurer.read(batch.pixels, receive)
    return [np.concatenate(part) for part in parts]


def seconds(measurer: Measurer, pixels: Pixels) -> float:
    """Times a pass over one batch: the best of three."""
    times = []
    for _ in range(3):
        started = time.perf_counter()
        measurer.read(pixels, lambda *measured: None)
        times.append(time.perf_counter() - started)
    return min(times)
