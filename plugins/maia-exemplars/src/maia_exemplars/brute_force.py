"""Exemplars of any system by brute force: measure every image, keep the highest."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator

import numpy as np

from maia_core.plugin import (
    QUANTILES,
    Dataset,
    Exemplar,
    ExemplarSource,
    HasExemplars,
    Image,
    RunContext,
    System,
    UnitStatistics,
    UnreadableImage,
    UsageError,
)

BATCH = 32


class BruteForce:
    """Measures a system on every image of a data set. Memory: one batch, `k` exemplars and one float per image."""

    def __init__(self, dataset: Dataset, warn: Callable[[str], None] = lambda line: None) -> None:
        self.dataset = dataset
        self.warn = warn

    def exemplars(self, system: System, k: int) -> tuple[list[Exemplar], UnitStatistics]:
        """See `ExemplarSource`."""
        best: list[tuple[float, int, Image]] = []
        values: list[float] = []
        skipped: list[str] = []
        measured = 0
        for indices, images in _batches(self.dataset, skipped):
            activations, masked = system.neuron(images)
            measured += len(images)
            for activation, index, image in zip(activations, indices, masked, strict=True):
                if math.isfinite(activation):
                    values.append(activation)
                    best.append((-activation, index, image))
                else:
                    skipped.append(self.dataset.ids[index])
            best = heapq.nsmallest(k, best, key=lambda entry: entry[:2])
        if not values:
            fault = "holds no image on which the system is finite" if measured else "holds no readable image"
            raise UsageError(f"the data set {self.dataset.name} {fault}")
        if skipped:
            named = ", ".join(skipped[:5])
            self.warn(
                f"{len(skipped)} images of {self.dataset.name} cannot be read or measured and were skipped: {named}"
            )
        return [Exemplar(-a, image) for a, _, image in best], statistics(self.dataset.name, values, len(skipped))


def exemplar_source(context: RunContext, system: System) -> ExemplarSource:
    """Returns the fastest way to a system's exemplars on the run's data set: its own, or brute force."""
    if isinstance(system, HasExemplars):
        return system.exemplar_source(context.dataset)
    return BruteForce(context.dataset, warn=context.warn)


def statistics(
    dataset: str, values: list[float], skipped: int = 0, threshold: float | None = None, quantile: float | None = None
) -> UnitStatistics:
    """Sums up a unit's activations over a data set."""
    array = np.asarray(values, dtype=np.float64)
    return UnitStatistics(
        dataset=dataset,
        count=array.size,
        skipped=skipped,
        mean=float(array.mean()),
        std=float(array.std()),
        quantiles=tuple(np.quantile(array, QUANTILES).tolist()),
        threshold=threshold,
        threshold_quantile=quantile,
    )


def _batches(dataset: Dataset, skipped: list[str]) -> Iterator[tuple[list[int], list[Image]]]:
    indices: list[int] = []
    images: list[Image] = []
    for index in range(len(dataset)):
        try:
            image = dataset[index]
        except UnreadableImage:
            skipped.append(dataset.ids[index])
            continue
        indices.append(index)
        images.append(image)
        if len(images) == BATCH:
            yield indices, images
            indices, images = [], []
    if images:
        yield indices, images
