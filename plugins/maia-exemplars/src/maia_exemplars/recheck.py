"""Measures a few exemplars again: an index is used only where the model still gives its values.

A fingerprint names the weights, but code decides the values too: a hook, an attribute, a function that changed.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import Dataset
from maia_exemplars import passes
from maia_exemplars.layer import LayerIndex
from maia_exemplars.measured import Measurer, NotFiniteError
from maia_exemplars.reading import batches

CHECKED = 3
"""Exemplars of a unit that are measured again: the first, the last, and one between them."""

SPREAD, RELATIVE = 0.05, 1e-5
"""How far a value may be from the stored one: as a part of what makes it stand out, and of itself (rounding). Devices
differ by a thousandth or so, another network by more than the whole."""


def disagreement(index: LayerIndex, measurer: Measurer, dataset: Dataset, units: Iterable[int]) -> str:
    """Returns how the exemplars of some units differ from the index when they are measured again; empty: they do not.

    Args:
        index: An index of a layer on the data set.
        measurer: Measures this layer, and no other.
        dataset: The images.
        units: Numbers of the units.
    """
    stored: dict[int, list[tuple[int, float, float]]] = {}
    for number in units:
        unit = index.unit(number)
        ranks = np.unique(np.linspace(0, len(unit.values) - 1, CHECKED).astype(int))
        spread = np.sqrt(unit.row["squares"] / index.info.count)
        for image, value in zip(unit.places[ranks].tolist(), unit.values[ranks].tolist(), strict=True):
            stored.setdefault(image, []).append((number, value, max(value - float(unit.row["mean"]), float(spread))))
    measured = activations(measurer, dataset, sorted(stored))
    for image, pairs in stored.items():
        for number, value, spread in pairs:
            now = float(measured[image][number]) if image in measured else float("nan")
            if not abs(now - value) <= SPREAD * spread + RELATIVE * abs(value):
                return f"unit {number} gives {now:.4g} on {dataset.ids[image]}, and the index holds {value:.4g}"
    return ""


def activations(measurer: Measurer, dataset: Dataset, images: list[int]) -> dict[int, NDArray[np.float32]]:
    """Measures the first layer of a measurer: activations of all units by image, without those that have none."""
    by_image: dict[int, NDArray[np.float32]] = {}
    for batch in batches(dataset, measurer.preprocess, images, len(images)):
        if len(batch.images):
            try:
                maxima = passes.maxima(measurer, batch)[0]
            except NotFiniteError:
                continue
            by_image |= dict(zip(batch.images.tolist(), maxima, strict=True))
    return by_image
