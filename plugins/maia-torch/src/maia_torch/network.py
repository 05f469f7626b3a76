"""A torch module with all that the units of a model share: passes, preprocessing, exemplars, labels."""

from __future__ import annotations

import json
import threading
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from importlib import metadata
from itertools import islice
from typing import TYPE_CHECKING

from pydantic import JsonValue

from maia_core.plugin import Dataset, Image, LayerInfo, RunContext, UsageError
from maia_exemplars import LayerExemplars, MeasuredLayer, Preprocessing
from maia_exemplars.prefetch import BATCH, prefetched
from maia_exemplars.preprocess import Pixels, stacked
from maia_exemplars.units import unit_labels
from maia_torch.layers import Layer, at_tokens

if TYPE_CHECKING:
    import torch
    from torch import nn

    from maia_torch.discovery import Layouts
    from maia_torch.measuring import TorchMeasurer

MAX_SOURCES = 4
"""Layers whose measurements over a data set stay in memory."""


class Network:
    """A torch module, and the state that its units share.

    Attributes:
        name: First part of a unit's reference.
        engine: Makes the passes.
        preprocess: How the network sees an image.
        classes: Names of the outputs.
        quantile: Quantile of a unit's map that is the threshold of its masks.
        context: The run; None without one.
        options: The options that the model was made with and that are not its defaults; None: not known.
    """

    def __init__(
        self,
        module: nn.Module,
        preprocess: Preprocessing | None = None,
        name: str = "module",
        *,
        classes: Sequence[str] = (),
        classifier: bool | None = None,
        main: Collection[str] | None = None,
        context: RunContext | None = None,
        quantile: float = 0.99,
        channels_last: bool = False,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        compiled: bool = False,
        layouts: Layouts | None = None,
        fingerprint: str | None = None,
        options: Mapping[str, JsonValue] | None = None,
        token: str = "patches",
    ) -> None:
        """Takes over a module: it is set to evaluation, and moved where a device or a type is given.

        Args:
            module: Takes float tensors of shape (images, 3, height, width).
            preprocess: Says how an image becomes such a tensor; None: inferred (`maia_torch.inference`), with a
                warning that states it.
            name: First part of a unit's reference.
            classes: Names of the outputs, in order.
            classifier: Whether the network's outputs are classes; None: if it has no map, or as many as `classes`.
            main: Names of the layers that a listing shows first; None: the outer modules.
            context: The run: where exemplars, thresholds and the cache come from. Without one a mask's threshold is
                the quantile of each image's own map.
            quantile: Which quantile of a unit's map over the run's data set is the threshold of its masks.
            channels_last: A memory format in which many convolutional networks are faster.
            device: Where it runs: `auto` (an accelerator, else the CPU), `cuda`, `cpu`; None: where it is.
            dtype: Floating point type of weights and input, such as `bfloat16`; None: that of the weights.
            compiled: Whether `torch.compile` compiles the network's blocks; see `maia_torch.engine.Engine`.
            layouts: How layers' outputs are laid out where their shapes do not tell; see `maia_torch.discovery`.
            fingerprint: Changes whenever the weights, the architecture or the preprocessing do; None: computed.
            options: The options that the model was made with and that are not its defaults, for indexes to show
                (`TorchOptions.running` has them); None: not known.
            token: At which tokens layers are read: `patches`, `class` or `all`; a layer that has no such tokens stays
                as it is.

        Raises:
            UsageError: the module cannot take such images, it has no layer, or an argument is out of range.
        """
        from maia_torch.engine import Engine
        from maia_torch.inference import inferred
        from maia_torch.modules import readable

        module = readable(module, name)
        if not 0 <= quantile <= 1:
            raise UsageError(f"the quantile of a mask's threshold lies between 0 and 1, not at {quantile}")
        if ":" in name or not name or not name.isprintable():
            raise UsageError(
                f"a model's name is printable and ends at the first colon of a reference: {name!a} cannot be one"
            )
        self.name = name
        self.options = None if options is None else dict(options)
        self.quantile = quantile
        self.context = context
        if preprocess is None:
            preprocess = inferred(module)
            self.warn(f"{name}: preprocessing was not given; MAIA uses: {preprocess}")
        self.preprocess = preprocess
        self.engine = Engine(
            module,
            preprocess,
            main,
            channels_last=channels_last,
            device=device,
            dtype=dtype,
            compiled=compiled,
            layouts=layouts,
            classes=0 if classifier is False else len(classes) or None,
        )
        if not self.engine.layers:
            raise UsageError(
                f"{name} has no layer that can be read: let a module of it return a tensor of images and units, or say "
                "in which order the axes of an output are (layouts)"
            )
        if token != "patches":
            self.engine.layers = at_tokens(self.engine.layers, token)
        for line in self.engine.warnings:
            self.warn(f"{name}: {line}")
        self.classes = tuple(classes)
        self._class_labels = unit_labels(classes)
        outputs = next((layer.info.units for layer in self.engine.layers if layer.info.kind == "classes"), 0)
        if classes and len(classes) != outputs:
            raise UsageError(f"{name} has {outputs} classes, but {len(classes)} names were given")
        self._fingerprint = fingerprint
        self._exemplars: dict[tuple[str, str], LayerExemplars] = {}
        self._derived: dict[str, Layer] = {}
        self._folded: dict[tuple[str, bool], Engine] = {}
        self._lock = threading.Lock()

    @cached_property
    def fingerprint(self) -> str:
        """Hash of architecture, weights and preprocessing."""
        return self._fingerprint or self.engine.fingerprint()

    def layers(self) -> list[LayerInfo]:
        """See `maia_core.protocols.Model`; `kind` is "main", "inner" (any other module) or "classes"."""
        return [layer.info for layer in self.engine.layers]

    def labels(self, layer: Layer) -> tuple[str, ...]:
        """Returns the names of a layer's units in references; empty where they have none."""
        return self._class_labels if layer.info.kind == "classes" else ()

    def idle(self, layer: Layer) -> Mapping[int, str]:
        """Returns the units of a layer that are not worth an explanation, each with the reason in words."""
        return {}

    def describe(self, layer: Layer) -> MeasuredLayer:
        """Returns the description of a layer that an index stores."""
        return MeasuredLayer(
            model=self.name,
            model_fingerprint=self.fingerprint,
            layer=layer.name,
            key=layer.key,
            shape=layer.info.shape,
            kind=layer.info.kind,
            labels=self.labels(layer),
            preprocessing=json.loads(json.dumps(asdict(self.preprocess))),
            options=self.options,
            made_with={name: metadata.version(name) for name in ("maia-torch", "torch")},
        )

    def measurer_of(self, layers: Sequence[Layer]) -> TorchMeasurer:
        """Returns a `maia_exemplars.Measurer` of some layers."""
        from maia_torch.measuring import TorchMeasurer

        return TorchMeasurer(self.engine, self.preprocess, [(layer, self.describe(layer)) for layer in layers])

    def exemplars(self, layer: Layer, dataset: Dataset) -> LayerExemplars:
        """Returns the measurements of a layer over a data set, shared by the layer's units."""
        key = layer.key, dataset.fingerprint
        with self._lock:
            source = self._exemplars.pop(key, None)
            if source is None:
                cache = None if self.context is None else self.context.cache
                measurer = self.measurer_of([layer])
                source = LayerExemplars(measurer, dataset, cache=cache, quantile=self.quantile, warn=self.warn)
            self._exemplars[key] = source
            while len(self._exemplars) > MAX_SOURCES:
                del self._exemplars[next(iter(self._exemplars))]
            return source

    def batches(self, images: Sequence[Image]) -> Iterator[tuple[Sequence[Image], Pixels]]:
        """Cuts images into batches, cropped ahead in threads: yields images and their pixels for `engine`."""
        crops = prefetched(self.preprocess.crop, images, ahead=2 * BATCH)
        for start in range(0, len(images), BATCH):
            batch = images[start : start + BATCH]
            yield batch, stacked(list(islice(crops, len(batch))))

    def join_passes(self, most: int) -> None:
        """Lets threads that measure one layer share a pass of at most so many images; see `maia_sweep.batching`."""
        self.engine.join_passes(most)

    def warn(self, line: str) -> None:
        """Warns the user: in the run's record, or as a Python warning where there is none."""
        if self.context is not None:
            self.context.warn(line)
        else:
            warnings.warn(line, stacklevel=3)

    def close(self) -> None:
        """Frees the weights; the model cannot be used afterwards."""
        self.engine.close()
        with self._lock:
            self._exemplars.clear()
            self._derived.clear()
            self._folded.clear()
