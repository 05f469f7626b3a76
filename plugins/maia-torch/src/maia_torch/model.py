"""Any torch module as a MAIA model."""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import Dataset, Image, LayerInfo, PluginConfig, RunContext, UsageError
from maia_torch.exemplars import LayerExemplars
from maia_torch.layers import Layer, derived, find_layer, find_unit
from maia_torch.prefetch import BATCH, prefetched
from maia_torch.preprocess import Preprocessing
from maia_torch.readout_files import directions_file, latents_file
from maia_torch.readouts import Applied, Directions, Encoder, Latents, Readout
from maia_torch.unit import TorchUnit

if TYPE_CHECKING:
    import torch
    from torch import nn

    from maia_torch.discovery import Layouts

DATASETS_KEPT = 4
"""Layers whose measurements over a data set stay in memory."""

RUNNING = ("model", "device", "channels_last", "compile", "quantile")
"""Options that do not tell one index from another: the name's other half, and how a model runs."""

READERS: dict[str, Callable[[str, int], Readout]] = {"direction": directions_file, "sae": latents_file}
"""What may follow a layer in a reference, `LAYER:direction=FILE`, and what reads the file."""


class TorchModel:
    """Any torch module as a `maia_core.protocols.Model`.

    Every named module with an output that has units is a layer (`maia_torch.discovery` says which have, and
    `maia_torch.layouts` how they are laid out). A network whose own output is (images, classes) also has the layers
    `logit` and `prob`, whose units are classes, by number or by name; any other network has the layer `output`.

    Images run in batches of `BATCH`. The result of one image depends on the others only through the order in which
    torch adds: less than 1e-4 of the largest activation in float32.

        model = TorchModel(module, Preprocessing(size=224), name="mine")
        activations, masked = model.unit("layer4:12").neuron(images)
    """

    options: dict[str, Any] | None = None
    """The options that the model was chosen with, but for defaults; None: it was not made from options."""

    def __new__(cls, *given: Any, **named: Any) -> TorchModel:
        """Keeps the options, which a plugin's constructor takes and does not hand on."""
        made = super().__new__(cls)
        config = named.get("config", given[0] if given else None)
        if isinstance(config, PluginConfig):
            made.options = config.model_dump(mode="json", exclude_defaults=True, exclude=set(RUNNING))
        return made

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
    ) -> None:
        """Takes over a module: it is set to evaluation, and moved where a device or a type is given.

        Args:
            module: Takes float tensors of shape (images, 3, height, width).
            preprocess: Says how an image becomes such a tensor; None: inferred (`maia_torch.inference`), with a
                warning that says what was taken.
            name: First part of a unit's reference.
            classes: Names of the outputs, in order.
            classifier: Whether the network's outputs are classes; None: if it has no map, or as many as `classes`.
            main: Names of the layers that a listing shows first; None: the outer modules.
            context: The run: where exemplars, thresholds and the cache come from. Without one a mask's threshold is
                the quantile of each image's own map.
            quantile: Which quantile of a unit's map over the run's data set is the threshold of its masks.
            channels_last: A memory format in which many convolutional networks are faster.
            device: Where it runs, in torch's words; None: where it is.
            dtype: Floating point type of weights and input, such as `bfloat16`; None: that of the weights.
            compiled: Whether `torch.compile` compiles the network's blocks; see `maia_torch.engine.Engine`.
            layouts: How layers' outputs are laid out where their shapes do not tell; see `maia_torch.discovery`.
            fingerprint: Changes whenever the weights, the architecture or the preprocessing do; None: computed.

        Raises:
            UsageError: the module cannot take such images, it has no layer, or an argument is out of range.
        """
        from maia_torch.engine import Engine
        from maia_torch.inference import inferred

        if not 0 <= quantile <= 1:
            raise UsageError(f"the quantile of a mask's threshold lies between 0 and 1, not at {quantile}")
        if ":" in name or not name:
            raise UsageError(f"a model's name ends at the first colon of a reference, so '{name}' cannot be one")
        self.name = name
        self.quantile = quantile
        self.context = context
        if preprocess is None:
            preprocess = inferred(module)
            self.warn(f"{name}: preprocessing was not given and is taken to be: {preprocess}")
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
        self.classes = tuple(classes)
        outputs = next((layer.info.units for layer in self.engine.layers if layer.info.kind == "classes"), 0)
        if classes and len(classes) != outputs:
            raise UsageError(f"{name} has {outputs} classes, but {len(classes)} names were given")
        self._fingerprint = fingerprint
        self._exemplars: dict[tuple[str, str], LayerExemplars] = {}
        self._derived: dict[str, Layer] = {}
        self._lock = threading.Lock()

    @cached_property
    def fingerprint(self) -> str:
        """Hash of architecture, weights and preprocessing."""
        return self._fingerprint or self.engine.fingerprint()

    def layers(self) -> list[LayerInfo]:
        """See `maia_core.protocols.Model`; `kind` is "main", "inner" (any other module) or "classes"."""
        return [layer.info for layer in self.engine.layers]

    def layer(self, name: str) -> Layer:
        """Returns a layer by name; `LAYER:direction=FILE` and `LAYER:sae=FILE` are layers too.

        Raises:
            UsageError: there is none; the message lists what exists, nearest first.
        """
        outer, _, readout = name.partition(":")
        layer = find_layer(outer, self.engine.layers, self.name)
        kind, equals, where = readout.partition("=")
        if not equals:
            return layer if not readout else find_layer(name, self.engine.layers, self.name)
        if kind not in READERS:
            raise UsageError(f"'{readout}' is no unit: after a layer comes a number, direction=FILE or sae=FILE:NUMBER")
        known = self._derived.get(f"{layer.name}:{readout}")
        return known or self._derive(layer, kind, where, READERS[kind](where, layer.info.units))

    def direction(self, layer: str, vector: NDArray[np.float32] | Sequence[float], name: str) -> TorchUnit:
        """Returns the unit <vector, x>, where x are the layer's units at each position; the vector is not normalised.

        Args:
            layer: Name of a layer.
            vector: As many numbers as the layer has units (a tensor on the CPU will do).
            name: What it is called: the reference `LAYER:direction=NAME` leads back to it in this model.

        Raises:
            UsageError: there is no such layer, or the vector does not fit it.
        """
        found = find_layer(layer, self.engine.layers, self.name)
        row = np.array(vector, np.float32)
        if row.shape != (found.info.units,) or not np.isfinite(row).all():
            raise UsageError(f"a direction in {layer} has {found.info.units} finite numbers, not the shape {row.shape}")
        return TorchUnit(self, self._derive(found, "direction", name, Directions(row[None])), 0)

    def latents(self, layer: str, encoder: Encoder | nn.Module | Callable[[Any], Any], name: str) -> Layer:
        """Returns a layer whose units are computed from another's at each position: a sparse autoencoder's latents.

        Args:
            layer: Name of a layer.
            encoder: The weights, or whatever turns a tensor (vectors, units of the layer) into (vectors, latents); of
                a module with a method `encode`, that is asked.
            name: What they are called: a unit is `model.unit("LAYER:sae=NAME:NUMBER")`.

        Raises:
            UsageError: there is no such layer, or the encoder does not fit it.
        """
        found = find_layer(layer, self.engine.layers, self.name)
        units = found.info.units
        readout = Latents(encoder) if isinstance(encoder, Encoder) else Applied(encoder, units)
        if readout.inputs != units:
            raise UsageError(f"the encoder takes {readout.inputs} units, but {layer} has {units}")
        return self._derive(found, "sae", name, readout)

    def activations(self, images: Sequence[Image], layer: str) -> NDArray[np.float32]:
        """See `maia_core.protocols.Model`."""
        found = self.layer(layer)
        parts = [self.engine.maxima(pixels, found) for _, pixels in self.batches(images)]
        return np.concatenate(parts) if parts else np.zeros((0, found.info.units), np.float32)

    def unit(self, ref: str) -> TorchUnit:
        """See `maia_core.protocols.Model`; `LAYER:direction=FILE` and `LAYER:sae=FILE:NUMBER` are units, too."""
        name, _, unit = ref.partition(":")
        if "=" not in unit:
            layer = find_layer(name, self.engine.layers, self.name)
            return TorchUnit(self, layer, find_unit(unit, layer, self.classes))
        numbered = re.fullmatch(r"(.+):(-?[0-9]*)", unit)
        layer = self.layer(f"{name}:{numbered[1] if numbered else unit}")
        if numbered is None and layer.info.units == 1:
            return TorchUnit(self, layer, 0)
        return TorchUnit(self, layer, find_unit(numbered[2] if numbered else "", layer, ()))

    def exemplars(self, layer: Layer, dataset: Dataset) -> LayerExemplars:
        """Returns what is measured of a layer over a data set, shared by the layer's units."""
        key = layer.key, dataset.fingerprint
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

    def warn(self, line: str) -> None:
        """Says something that the user must know: in the run's record, or as a Python warning where there is none."""
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

    def _derive(self, layer: Layer, kind: str, where: str, readout: Readout) -> Layer:
        made = derived(layer, kind, where, readout)
        with self._lock:
            known = self._derived.get(made.name)
            if known is None or known.key != made.key:
                self._derived[made.name] = known = made
            return known
