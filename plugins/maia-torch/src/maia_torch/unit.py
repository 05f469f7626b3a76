"""One unit of a torch model, as the backbone sees it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import Dataset, Image, ToolError, UnitInfo, UnitStatistics, UsageError
from maia_exemplars import LayerExemplars, MeasuredLayer
from maia_exemplars.masks import active
from maia_exemplars.measured import NotFiniteError
from maia_exemplars.prefetch import BATCH
from maia_exemplars.units import listed
from maia_torch.layers import Layer
from maia_torch.network import Network

NUMBERED = re.compile(r"(.+):(-?[0-9]*)")
"""A readout and the number of one of its units, `sae=FILE:123`."""


class TorchUnit:
    """One unit of a `TorchModel`: a `maia_core.protocols.System` that knows its exemplars.

    Attributes:
        info: Model, layer and unit, and what a reader of its activations must know.
        model: The model, shared by its units.
        layer: The unit's layer.
        index: The unit's number in the layer.
    """

    def __init__(self, model: Network, layer: Layer, index: int) -> None:
        self.model = model
        self.layer = layer
        self.index = index
        name = layer.base or layer.name
        readout = layer.name[len(name) + 1 :]
        labels = model.labels(layer)
        label = labels[index] if labels else str(index)
        # A name that ends like a unit's number needs the number, too.
        alone = readout.startswith("direction=") and layer.info.units == 1 and not NUMBERED.fullmatch(readout)
        self.info = UnitInfo(
            model=model.name,
            layer=name,
            unit=readout if alone else f"{readout}:{label}" if readout else label,
            has_map=layer.has_map,
            note=self._note(),
        )

    def neuron(self, images: Sequence[Image]) -> tuple[list[float], list[Image]]:
        """See `maia_core.protocols.System`.

        Raises:
            ToolError: the network gives values that are not finite for some of the images; the message says for which.
            NotFiniteError: it does for all of several images.
        """
        threshold = self._threshold if self.layer.has_map and images else None
        activations: list[float] = []
        masked: list[Image] = []
        wrong: list[int] = []
        for first, (batch, pixels) in zip(range(0, len(images), BATCH), self.model.batches(images), strict=True):
            try:
                maps = self.model.engine.unit(pixels, self.layer, self.index)
            except NotFiniteError as error:
                wrong += [first + image for image in error.images]
                continue
            activations += maps.reshape(len(batch), -1).max(axis=1).tolist()
            if self.layer.has_map:
                masked += [
                    self._masked(image, unit_map, threshold) for image, unit_map in zip(batch, maps, strict=True)
                ]
            else:
                masked += batch
        if 1 < len(wrong) == len(images):
            raise NotFiniteError(self.layer.name)
        if wrong:
            raise ToolError(
                f"the activation of {len(wrong)} of {len(images)} images is not finite: leave out those at the places "
                f"{listed(list(map(str, wrong)))} of the list"
            )
        return activations, masked

    def exemplar_source(self, dataset: Dataset) -> LayerExemplars:
        """See `maia_core.protocols.HasExemplars`."""
        return self.model.exemplars(self.layer, dataset)

    @property
    def measured(self) -> MeasuredLayer:
        """The description of its layer: see `maia_exemplars.source.IndexedUnit`."""
        return self.model.describe(self.layer)

    @property
    def idle(self) -> Mapping[int, str]:
        """The dead and the dense latents of its layer by number, each with the reason: what a sweep leaves out."""
        return self.model.idle(self.layer)

    @property
    def statistics(self) -> UnitStatistics:
        """The unit's statistics over the run's data set, computed or read from the cache when asked for.

        Raises:
            UsageError: the model was made without a run's context, so that there is no data set.
        """
        if self.model.context is None:
            raise UsageError(
                f"{self.info.ref} has no data set: make the model with a context, or use exemplar_source()"
            )
        return self.exemplar_source(self.model.context.dataset).statistics(self.index)

    @cached_property
    def _threshold(self) -> float | None:
        return None if self.model.context is None else self.statistics.threshold

    def _masked(self, image: Image, unit_map: NDArray[np.float32], threshold: float | None) -> Image:
        if threshold is None:
            threshold = float(np.quantile(unit_map, self.model.quantile))
        box = self.model.preprocess.box(image.width, image.height)
        return image.masked(active(unit_map, threshold, image.width, image.height, box))

    def _note(self) -> str:
        what = ""
        if self.layer.readout is not None:
            what = self.layer.readout.note_of(self.index)
        elif self.layer.info.kind == "classes":
            what = (
                "a class probability between 0 and 1"
                if self.layer.softmax
                else "a class score before the softmax, of any sign"
            )
        where = {"class": "read at the class token", "all": "the maximum over all tokens"}.get(self.layer.layout.token)
        what = f"{what}, {where}" if what and where else what or where or ""
        if not self.layer.has_map:
            return f"{what or 'one value per image'}; it has no map, so images come back without a mask"
        over = "of the image's own map" if self.model.context is None else "over the data set"
        quantile = f"{self.model.quantile:g} quantile {over}"
        maximum = f"the spatial maximum of the unit's map; masks keep the places where the map exceeds its {quantile}"
        return f"{what}; {maximum}" if what else maximum
