"""Any torch module as a MAIA model."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from maia_core.context import Context
from maia_core.errors import UsageError
from maia_core.protocols import Dataset
from maia_core.types import Image, LayerInfo
from maia_torch.exemplars import LayerExemplars
from maia_torch.layers import Layer, find_layer, find_unit
from maia_torch.prefetch import prefetched
from maia_torch.preprocess import Preprocessing
from maia_torch.unit import TorchUnit

if TYPE_CHECKING:
    from torch import nn

BATCH = 16
"""Images of one forward pass, whatever number is asked for."""

DATASETS_KEPT = 4
"""Layers whose measurements over a data set stay in memory."""


class TorchModel:
    """Any torch module as a `maia_core.protocols.Model`.

    Every named module with an output of shape (images, units, rows, columns) or (images, units) is a layer. A network
    whose own output is (images, classes) also has the layers `logit` and `prob`, whose units are classes, by number
    or by name.

    Images run in batches of `BATCH`. The result of one image depends on the others only through the order in which
    torch adds: less than 1e-4 of the largest activation in float32.

        model = TorchModel(module, Preprocessing(size=224), name="mine")
        activations, masked = model.unit("layer4:12").neuron(images)
    """

    def __init__(
        self,
        module: nn.Module,
        preprocess: Preprocessing,
        name: str,
        *,
        classes: Sequence[str] = (),
        main: Collection[str] | None = None,
        context: Context | None = None,
        quantile: float = 0.99,
        channels_last: bool = False,
        fingerprint: str | None = None,
    ) -> None:
        """Takes over a module: it is set to evaluation, and to `channels_last` if asked for.

        Args:
            module: Takes float tensors of shape (images, 3, size, size), on the device where its parameters are.
            preprocess: Says how an image becomes such a tensor.
            name: First part of a unit's reference.
            classes: Names of the outputs, in order.
            main: Names of the layers that a listing shows first; None: the outer modules.
            context: The run: where exemplars, thresholds and the cache come from. Without one a mask's threshold is
                the quantile of each image's own map.
            quantile: Which quantile of a unit's map over the run's data set is the threshold of its masks.
            channels_last: A memory format in which many convolutional networks are faster.
            fingerprint: Changes whenever the weights, the architecture or the preprocessing do; None: computed.

        Raises:
            UsageError: the module cannot take such images, or an argument is out of range.
        """
        from maia_torch.engine import Engine

        if not 0 <= quantile <= 1:
            raise UsageError(f"the quantile of a mask's threshold lies between 0 and 1, not at {quantile}")
        self.name = name
        self.quantile = quantile
        self.context = context
        self.preprocess = preprocess
        self.engine = Engine(module, preprocess, main, channels_last=channels_last)
        self.classes = tuple(classes)
        outputs = next((layer.info.units for layer in self.engine.layers if layer.info.kind == "classes"), 0)
        if classes and len(classes) != outputs:
            raise UsageError(f"{name} has {outputs} classes, but {len(classes)} names were given")
        self._fingerprint = fingerprint
        self._exemplars: dict[tuple[str, str], LayerExemplars] = {}
        self._lock = threading.Lock()

    @cached_property
    def fingerprint(self) -> str:
        """Hash of architecture, weights and preprocessing."""
        return self._fingerprint or self.engine.fingerprint()

    def layers(self) -> list[LayerInfo]:
        """See `maia_core.protocols.Model`; `kind` is "main", "inner" (any other module) or "classes"."""
        return [layer.info for layer in self.engine.layers]

    def layer(self, name: str) -> Layer:
        """Returns a layer by name.

        Raises:
            UsageError: there is none; the message lists what exists, nearest first.
        """
        return find_layer(name, self.engine.layers, self.name)

    def activations(self, images: Sequence[Image], layer: str) -> NDArray[np.float32]:
        """See `maia_core.protocols.Model`."""
        found = self.layer(layer)
        parts = [self.engine.maxima(pixels, found) for _, pixels in self.batches(images)]
        return np.concatenate(parts) if parts else np.zeros((0, found.info.units), np.float32)

    def unit(self, ref: str) -> TorchUnit:
        """See `maia_core.protocols.Model`."""
        name, _, unit = ref.partition(":")
        layer = self.layer(name)
        return TorchUnit(self, layer, find_unit(unit, layer, self.classes))

    def exemplars(self, layer: Layer, dataset: Dataset) -> LayerExemplars:
        """Returns what is measured of a layer over a data set, shared by the layer's units."""
        key = layer.name, dataset.fingerprint
        with self._lock:
            found = self._exemplars.pop(key, None) or LayerExemplars(self, layer, dataset)
            self._exemplars[key] = found
            while len(self._exemplars) > DATASETS_KEPT:
                del self._exemplars[next(iter(self._exemplars))]
            return found

    def batches(self, images: Sequence[Image]) -> Iterator[tuple[Sequence[Image], NDArray[np.uint8]]]:
        """Cuts images into batches, cropped ahead in threads: yields images and their uint8 pixels for `engine`."""
        crops = prefetched(self.preprocess.crop, images, ahead=2 * BATCH)
        for start in range(0, len(images), BATCH):
            batch = images[start : start + BATCH]
            yield batch, np.stack(list(islice(crops, len(batch))))

    def close(self) -> None:
        """Frees the weights; the model cannot be used afterwards."""
        self.engine.close()
        with self._lock:
            self._exemplars.clear()
