"""Forward passes that hand each layer's values to whoever measures them, while the pass runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from maia_core.plugin import RunError
from maia_torch.engine import Engine, Take
from maia_torch.index.reading import Batch
from maia_torch.layers import Layer

Use = Callable[[Layer, NDArray[np.int64], NDArray[np.float32], Tensor], None]
"""Takes a layer, the places of some images of the batch, in order, their spatial maxima (float32 of shape (images,
units)) and their values: (images, units, rows, columns) or (images, units), in the network's floating point type."""


def run(engine: Engine, batch: Batch, layers: Sequence[Layer], use: Use) -> None:
    """Makes one pass over a batch.

    Raises:
        RunError: the network gave values that are not finite.
    """
    engine.read(batch.pixels, {layer: _take(layer, batch.places, use) for layer in layers})


def maxima(engine: Engine, batch: Batch, layers: Sequence[Layer], use: Use) -> dict[Layer, NDArray[np.float32]]:
    """Makes one pass, and also returns the spatial maxima of all units: of shape (images, units)."""
    found: dict[Layer, list[NDArray[np.float32]]] = {layer: [] for layer in layers}

    def keep(layer: Layer, places: NDArray[np.int64], highest: NDArray[np.float32], values: Tensor) -> None:
        use(layer, places, highest, values)
        found[layer].append(highest)

    run(engine, batch, layers, keep)
    return {layer: np.concatenate(parts) for layer, parts in found.items()}


def _take(layer: Layer, places: NDArray[np.int64], use: Use) -> Take:
    done = 0  # a layer with very many units comes some images at a time

    def take(values: Tensor) -> Sequence[Tensor]:
        nonlocal done
        part, done = places[done : done + len(values)], done + len(values)
        highest = (values.amax((2, 3)) if values.ndim == 4 else values).float().cpu().numpy()
        if not np.isfinite(highest).all():
            raise RunError(f"layer {layer.name} gave values that are not finite: check the weights and the images")
        use(layer, part, highest, values)
        return []

    return take
