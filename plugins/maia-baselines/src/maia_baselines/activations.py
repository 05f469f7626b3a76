"""A unit's activation on every image of the run's data set, measured once, with its whole layer where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from maia_baselines.arrays import Matrix, cached, over_images
from maia_core.plugin import Dataset, Image, Model, PluginConfig, RunContext, System
from maia_exemplars import IndexableModel, Measurer
from maia_exemplars.preprocess import stacked

Pool = Literal["max", "mean"]

COMPARED_IMAGES = 32
"""Images on which a unit is compared with its layer's columns to find its own."""


class PoolOptions(PluginConfig):
    """Options of explainers that read one number per image from a unit's map."""

    pool: Pool = "mean"
    """The number that stands for a unit's map: its `mean`, as published, or its `max`, as everywhere else in MAIA. A
    unit without a layer, or of a model that shows no maps, has its own activation only."""


@dataclass(frozen=True)
class Measured:
    """A unit's activations, without the images that cannot be read.

    Attributes:
        values: The unit's activation on each image: float32 of shape (images,).
        places: Each image's place in the data set: int64 of shape (images,), ascending.
        layer: Activations of all units of its layer on the same images: float32 of shape (images, units); None where
            the unit is not one of several in a model's layer.
        pool: The number that stands for a map: `max` where `mean` was asked for and there are no maps.
    """

    values: Matrix
    places: np.ndarray[tuple[int], np.dtype[np.int64]]
    layer: Matrix | None
    pool: Pool

    @property
    def constant(self) -> bool:
        """Whether the unit tells no two images apart: a unit that is never active."""
        return bool(self.values.max() == self.values.min())


def measure(unit: System, context: RunContext, pool: Pool) -> Measured:
    """Measures a unit on the run's data set, or reads its activations from the cache folder.

    Raises:
        UsageError: the data set holds no readable image.
    """
    dataset = context.dataset
    owner = _owner(unit)
    if owner is not None:
        layer, used = _pooled(*owner, context, pool)
        column = _column(unit, *owner, layer, used, dataset)
        if column is not None:
            places = np.flatnonzero(~np.isnan(layer[:, column])).astype(np.int64)
            return Measured(
                np.asarray(layer[places, column]), places, layer[places] if layer.shape[1] > 1 else None, used
            )
    values = _alone(unit, dataset, context)
    places = np.flatnonzero(~np.isnan(values)).astype(np.int64)
    return Measured(np.asarray(values[places]), places, None, "max")


def _owner(unit: System) -> tuple[Model, str] | None:
    """Returns the model of a unit and its layer's name, which may be derived from another (`LAYER:sae=FILE`)."""
    model = getattr(unit, "model", None)
    if not isinstance(model, Model) or unit.info.layer not in {layer.name for layer in model.layers()}:
        return None
    return model, str(getattr(getattr(unit, "layer", None), "name", unit.info.layer))


def _pooled(model: Model, name: str, context: RunContext, pool: Pool) -> tuple[Matrix, Pool]:
    """Measures a whole layer; `max` replaces `mean` where the model shows no maps of it."""
    dataset = context.dataset
    parts = [model.fingerprint, dataset.fingerprint, name]

    def maxima(images: list[Image]) -> Matrix:
        return model.activations(images, name)

    measure = maxima
    if isinstance(model, IndexableModel):
        measurer = model.measurer([name])
        parts.append(measurer.layers[0].key)
        if pool == "mean" and measurer.layers[0].has_map:
            parts.append(pool)
            measure = partial(_means, measurer)
    used: Pool = "max" if measure is maxima else "mean"
    return cached(context, "activations", tuple(parts), lambda: over_images(dataset, measure, context)), used


def _means(measurer: Measurer, images: Sequence[Image]) -> Matrix:
    """Returns the mean of each unit's map in each image: float32 of shape (images, units)."""
    units = np.arange(measurer.layers[0].units)
    rows: list[Matrix] = []

    def receive(layer: int, first: int, highest: Matrix, values: object) -> None:
        for number in range(len(highest)):  # One image at a time: the maps of an early layer are large.
            maps = measurer.maps(values, np.full(len(units), number), units)
            rows.append(maps.mean((1, 2), dtype=np.float64).astype(np.float32))

    measurer.read(stacked([measurer.preprocess.crop(image.clean or image) for image in images]), receive)
    return np.stack(rows)


def _column(unit: System, model: Model, name: str, layer: Matrix, pool: Pool, dataset: Dataset) -> int | None:
    """Finds the column of a unit: the only one that agrees with the unit's own activations on some images.

    References and columns of a layer need not agree (a class has a name, a direction is not a unit of its layer).
    """
    readable = np.flatnonzero(~np.isnan(layer[:, 0]))
    # Where the layer's units differ most there is most to tell them apart by.
    chosen = readable[np.argsort(-np.asarray(layer[readable]).std(1), kind="stable")[:COMPARED_IMAGES]]
    images = [dataset[int(place)] for place in chosen]
    columns = layer[chosen] if pool == "max" else model.activations(images, name)
    activations, _ = unit.neuron(images)
    values = np.asarray(activations, np.float32)[:, None]
    tolerance = 1e-3 * max(float(np.abs(values).max()), 1e-6)
    agreeing = np.flatnonzero((np.abs(columns - values) <= tolerance).all(0))
    index = getattr(unit, "index", None)
    if isinstance(index, int) and index in agreeing:
        return index
    return int(agreeing[0]) if len(agreeing) == 1 else None


def _alone(unit: System, dataset: Dataset, context: RunContext) -> Matrix:
    """Measures one unit, and caches the result if the unit has a fingerprint."""

    def compute() -> Matrix:
        return over_images(dataset, lambda images: np.asarray(unit.neuron(images)[0], np.float32)[:, None], context)

    fingerprint = getattr(unit, "fingerprint", None) or getattr(getattr(unit, "model", None), "fingerprint", None)
    if not fingerprint:
        return compute()[:, 0]
    return cached(context, "activations", (str(fingerprint), dataset.fingerprint, unit.info.ref), compute)[:, 0]
