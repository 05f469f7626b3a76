"""Finds the scales of histograms on a few images: centres of streams that are large everywhere and vary little."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import Dataset
from maia_exemplars import passes
from maia_exemplars.histogram import SHIFT, scales
from maia_exemplars.measured import Measurer, Values
from maia_exemplars.reading import batches
from maia_exemplars.sampling import drawn_positions, sample_images

IMAGES = 16
"""Images that decide: evenly spread over the uniform sample, so the same for all shards of an index."""

POSITIONS = 64
"""Positions of each image's map that are looked at."""

FAR = 8.0
"""How many times as far from zero as from its median a stream lies that is counted from a centre."""

WIDE = 256.0
"""How many times as large as its spread the largest magnitude of a stream is that has more octaves."""

Scales = dict[str, NDArray[np.void]]
"""Scales of a layer's histograms, by their names: of the values of maps, and of activations."""


def usual(units: int) -> Scales:
    """Returns the scales of a layer whose units all lie around zero."""
    return {"map": scales(units), "activation": scales(units)}


def find_scales(measurer: Measurer, dataset: Dataset) -> list[Scales]:
    """Measures a few images, and returns the scales for each layer of the measurer."""
    sample = sample_images(dataset.fingerprint, len(dataset))
    images = np.unique(sample[np.linspace(0, len(sample) - 1, IMAGES).astype(np.int64)])
    seen: list[dict[str, list[NDArray[np.float32]]]] = [{"map": [], "activation": []} for _ in measurer.layers]

    def use(layer: int, places: NDArray[np.int64], highest: NDArray[np.float32], values: Values) -> None:
        described = measurer.layers[layer]
        seen[layer]["activation"].append(highest.T)
        if described.has_map:
            drawn = drawn_positions(places, described.positions, min(POSITIONS, described.positions))
            units = np.arange(described.units)
            for row, positions in enumerate(drawn):
                maps = measurer.maps(values, np.full(described.units, row), units)
                seen[layer]["map"].append(maps.reshape(described.units, -1)[:, positions])

    for batch in batches(dataset, measurer.preprocess, images, IMAGES):
        if len(batch.images):
            passes.run(measurer, batch, use)
    return [
        {
            name: scales_of(np.concatenate(parts, axis=1)) if parts else scales(layer.units)
            for name, parts in found.items()
        }
        for layer, found in zip(measurer.layers, seen, strict=True)
    ]


def scales_of(values: NDArray[np.float32]) -> NDArray[np.void]:
    """Returns the scales for streams of which some values are known: float32 of shape (streams, n)."""
    unit_scales = scales(len(values))
    low, left, middle, right, high = np.quantile(values.astype(np.float64), (0.05, 0.16, 0.5, 0.84, 0.95), axis=1)
    spread = np.maximum(high - middle, middle - low)
    # Rounded to a part of the spread, so that the last digits of another machine do not decide.
    step = np.exp2(np.floor(np.log2(np.where(spread > 0, spread, 1.0))))
    centre = np.where(spread > 0, np.rint(middle / step) * step, middle)
    unit_scales["centre"] = np.where(np.abs(middle) > FAR * spread, centre, 0)
    usual_spread = np.maximum(right - middle, middle - left)
    largest = np.abs(values - unit_scales["centre"][:, None]).max(axis=1)
    unit_scales["shift"] = np.where((usual_spread > 0) & (largest > WIDE * usual_spread), SHIFT + 1, SHIFT)
    return unit_scales
