"""A unit's activations on every image of the run's data set: measured once, a whole layer at a time where that goes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maia_baselines.arrays import Matrix, kept, over_images
from maia_core.plugin import Dataset, Model, RunContext, System

COMPARED = 32
"""Images on which a unit is compared with its layer's columns to find its own."""


@dataclass(frozen=True)
class Measured:
    """What was measured; images that cannot be read are left out.

    Attributes:
        values: The unit's activation on each image: float32 of shape (images,).
        places: Each image's place in the data set: int64 of shape (images,), ascending.
        layer: Activations of all units of its layer on the same images: float32 of shape (images, units); None where
            the unit is not one of a model's layer.
    """

    values: Matrix
    places: np.ndarray[tuple[int], np.dtype[np.int64]]
    layer: Matrix | None

    @property
    def constant(self) -> bool:
        """Whether the unit tells no two images apart: a unit that is never active."""
        return bool(self.values.max() == self.values.min())


def measure(unit: System, context: RunContext) -> Measured:
    """Measures a unit on the run's data set, or reads from the cache folder what was measured before.

    Raises:
        UsageError: the data set holds no readable image.
    """
    dataset = context.dataset
    layer = _layer(unit, dataset, context)
    column = _column(unit, layer, dataset) if layer is not None else None
    if layer is None or column is None:
        values = _alone(unit, dataset, context)
        layer = None
    else:
        values = np.asarray(layer[:, column])
    places = np.flatnonzero(~np.isnan(values)).astype(np.int64)
    return Measured(np.asarray(values[places]), places, None if layer is None else layer[places])


def _layer(unit: System, dataset: Dataset, context: RunContext) -> Matrix | None:
    """Measures the unit's whole layer, if the unit says which model it is of."""
    model = getattr(unit, "model", None)
    name = unit.info.layer
    if not isinstance(model, Model) or name not in {layer.name for layer in model.layers()}:
        return None
    found: Model = model
    return kept(
        context,
        "activations",
        (found.fingerprint, dataset.fingerprint, name),
        lambda: over_images(dataset, lambda images: found.activations(images, name), context),
    )


def _column(unit: System, layer: Matrix, dataset: Dataset) -> int | None:
    """Finds the column of a unit: the only one that agrees with what the unit itself says of some images.

    References and columns of a layer need not agree (a class has a name, a direction is not a unit of its layer).
    """
    readable = np.flatnonzero(~np.isnan(layer[:, 0]))
    # Where the layer's units differ most there is most to tell them apart by.
    some = readable[np.argsort(-np.asarray(layer[readable]).std(1), kind="stable")[:COMPARED]]
    activations, _ = unit.neuron([dataset[int(place)] for place in some])
    values = np.asarray(activations, np.float32)[:, None]
    tolerance = 1e-3 * max(float(np.abs(values).max()), 1e-6)
    agreeing = np.flatnonzero((np.abs(layer[some] - values) <= tolerance).all(0))
    index = getattr(unit, "index", None)
    if isinstance(index, int) and index in agreeing:
        return index
    return int(agreeing[0]) if len(agreeing) == 1 else None


def _alone(unit: System, dataset: Dataset, context: RunContext) -> Matrix:
    """Measures one unit, and keeps the result if the unit has a name of its own."""

    def compute() -> Matrix:
        return over_images(dataset, lambda images: np.asarray(unit.neuron(images)[0], np.float32)[:, None], context)

    of = getattr(unit, "fingerprint", None) or getattr(getattr(unit, "model", None), "fingerprint", None)
    if not of:
        return compute()[:, 0]
    return kept(context, "activations", (str(of), dataset.fingerprint, unit.info.ref), compute)[:, 0]
