"""Held-out real images, and the activations of units on them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import Dataset, Image, Model, System, UnreadableImage

BATCH = 16
"""Images that a unit gets at once."""


def measured(system: System, images: Sequence[Image]) -> NDArray[np.float64]:
    """Returns the unit's activation on each image: float64 of shape (images,)."""
    values: list[float] = []
    for start in range(0, len(images), BATCH):
        values += system.neuron(images[start : start + BATCH])[0]
    return np.array(values, np.float64)


class HeldOutImages:
    """Held-out real images, with the activations of whole layers measured once for all their units."""

    def __init__(self, dataset: Dataset, count: int) -> None:
        self.dataset = dataset
        self.images: list[Image] = []
        self.skipped = 0
        for index in np.unique(np.linspace(0, max(0, len(dataset) - 1), min(count, len(dataset)), dtype=int)):
            try:
                self.images.append(dataset[int(index)])
            except UnreadableImage:
                self.skipped += 1
        self._layers: dict[tuple[str, str], NDArray[np.float32]] = {}

    def activations(self, system: System) -> NDArray[np.float64]:
        """Returns a unit's activation on each image, from its whole layer where that is known to be the same."""
        model, index = getattr(system, "model", None), getattr(system, "index", None)
        if isinstance(model, Model) and isinstance(index, int) and system.info.layer:
            key = (model.fingerprint, system.info.layer)
            if key not in self._layers:
                batches = (self.images[i : i + BATCH] for i in range(0, len(self.images), BATCH))
                self._layers[key] = np.concatenate([model.activations(batch, system.info.layer) for batch in batches])
            layer = self._layers[key]
            some = slice(0, 8)
            if index < layer.shape[1] and np.allclose(
                layer[some, index], measured(system, self.images[some]), rtol=1e-3, atol=1e-4
            ):
                return np.asarray(layer[:, index], np.float64)
        return measured(system, self.images)
