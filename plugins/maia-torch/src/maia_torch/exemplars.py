"""Exemplars, thresholds and statistics of all units of a layer, from one pass over a data set."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from maia_core.errors import UsageError
from maia_core.exemplars import statistics
from maia_core.protocols import Dataset, System
from maia_core.types import Exemplar, UnitStatistics
from maia_torch.layers import Layer
from maia_torch.scan import Scan, scan
from maia_torch.unit import TorchUnit

if TYPE_CHECKING:
    from maia_torch.model import TorchModel

NAMED = 5
"""Unreadable images that a warning names."""


class LayerExemplars:
    """The `maia_core.protocols.ExemplarSource` of a layer's units on one data set.

    The pass runs when a unit first needs it, is kept on disk where the model has a run's context, and serves all units
    of the layer from then on.
    """

    def __init__(self, model: TorchModel, layer: Layer, dataset: Dataset) -> None:
        self._model = model
        self._layer = layer
        self._dataset = dataset
        self._scan: Scan | None = None
        self._lock = threading.Lock()

    def exemplars(self, system: System, k: int) -> tuple[list[Exemplar], UnitStatistics]:
        """See `maia_core.protocols.ExemplarSource`; `system` is a unit of this layer."""
        unit = self._unit(system)
        found = self._measured()
        values = found.maxima[:, unit.index]
        # Stable: equal values stay in the order of the data set.
        best = np.argsort(-values, kind="stable")[: max(k, 0)]
        images = [self._dataset[int(found.indices[row])] for row in best]
        _, masked = unit.neuron(images)
        return [Exemplar(float(values[row]), image) for row, image in zip(best, masked, strict=True)], self.statistics(
            unit
        )

    def statistics(self, unit: TorchUnit) -> UnitStatistics:
        """Returns a unit's statistics over the data set, its masks' threshold among them."""
        found = self._measured()
        values = found.maxima[:, unit.index].tolist()
        threshold, quantile = None, None
        if found.thresholds is not None:
            threshold, quantile = float(found.thresholds[unit.index]), self._model.quantile
        return statistics(self._dataset.name, values, len(found.skipped), threshold, quantile)

    def _unit(self, system: System) -> TorchUnit:
        if isinstance(system, TorchUnit) and system.model is self._model and system.layer == self._layer:
            return system
        raise UsageError(
            f"these are exemplars of units of {self._model.name}:{self._layer.name}, not of {system.info.ref}"
        )

    def _measured(self) -> Scan:
        with self._lock:
            if self._scan is None:
                context = self._model.context
                self._scan = scan(self._model, self._layer, self._dataset, context)
                if self._scan.skipped and context is not None:
                    context.warn(_skipped(self._dataset.name, self._scan.skipped))
            return self._scan


def _skipped(dataset: str, ids: tuple[str, ...]) -> str:
    more = ", ..." if len(ids) > NAMED else ""
    return f"{len(ids)} images of {dataset} cannot be read and were skipped: {', '.join(ids[:NAMED])}{more}"
