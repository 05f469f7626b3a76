"""Any torch module as a MAIA model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import Image, UsageError
from maia_exemplars import Measurer
from maia_exemplars.units import find_unit
from maia_sae import Applied, Directions, Encoder, Latents, Readout, directions_file, is_sum
from maia_torch.autoencoders import Autoencoders
from maia_torch.layers import Layer, at_token, derived, find_layer, split_ref
from maia_torch.network import Network
from maia_torch.unit import NUMBERED, TorchUnit

if TYPE_CHECKING:
    from torch import nn

    from maia_torch.engine import Engine

READOUTS = ("direction", "sae")
"""What may follow a layer in a reference, `LAYER:direction=FILE`."""


class TorchModel(Network):
    """Any torch module as a `maia_core.protocols.Model`.

    Every named module with an output that has units is a layer (`maia_torch.discovery` says which have, and
    `maia_torch.layouts` how they are laid out). A network whose own output is (images, classes) also has the layers
    `logit` and `prob`, whose units are classes, by number or by name; any other network has the layer `output`.

    Images run in batches of `BATCH`. The result of one image depends on the others only through the order in which
    torch adds: less than 1e-4 of the largest activation in float32.

        model = TorchModel(module, Preprocessing(size=224), name="mine")
        activations, masked = model.unit("layer4:12").neuron(images)
    """

    def layer(self, name: str) -> Layer:
        """Returns a layer by name; `LAYER:direction=FILE`, `LAYER:sae=FILE` and `LAYER:token=class` are layers too.

        Raises:
            UsageError: there is none; the message lists what exists, nearest first.
        """
        if exact := next((layer for layer in self.engine.layers if layer.name == name), None):
            return exact
        layer, readout = self._base(name)
        kind, equals, where = readout.partition("=")
        if not readout:
            return layer
        if not equals:
            return find_layer(name, self.engine.layers, self.name)
        if kind not in READOUTS:
            raise UsageError(
                f"'{readout}' is not a unit: after a layer comes a number, direction=FILE or sae=FILE:NUMBER"
            )
        if known := self._derived.get(f"{layer.name}:{readout}"):
            return known
        if kind == "direction":
            return self._derive(layer, kind, where, directions_file(where, layer.info.units))
        layer, latents = self.autoencoders.attach(layer, where)
        return self._derive(layer, kind, where, latents)

    def direction(self, layer: str, vector: NDArray[np.float32] | Sequence[float], name: str) -> TorchUnit:
        """Returns the unit <vector, x>, where x are the layer's units at each position; the vector is not normalised.

        Args:
            layer: Name of a layer.
            vector: As many numbers as the layer has units (a tensor on the CPU will do).
            name: What it is called: the reference `LAYER:direction=NAME` leads back to it in this model.

        Raises:
            UsageError: there is no such layer, or the vector does not fit it.
        """
        measured = find_layer(layer, self.engine.layers, self.name)
        row = np.array(vector, np.float32)
        if row.shape != (measured.info.units,) or not np.isfinite(row).all():
            raise UsageError(
                f"a direction in {layer} has {measured.info.units} finite numbers, not the shape {row.shape}"
            )
        return TorchUnit(self, self._derive(measured, "direction", name, Directions(row[None])), 0)

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
        measured = find_layer(layer, self.engine.layers, self.name)
        units = measured.info.units
        readout = Latents(encoder) if isinstance(encoder, Encoder) else Applied(encoder, units)
        if readout.inputs != units:
            raise UsageError(f"the encoder takes {readout.inputs} units, but {layer} has {units}")
        return self._derive(measured, "sae", name, readout)

    def activations(self, images: Sequence[Image], layer: str) -> NDArray[np.float32]:
        """See `maia_core.protocols.Model`."""
        return self._maxima(self.engine, images, self.layer(layer))

    @cached_property
    def autoencoders(self) -> Autoencoders:
        """The sparse autoencoders that are attached to its layers."""
        return Autoencoders(self)

    @property
    def fast_dtype(self) -> str:
        """The type that `folded_activations` computes in if it is `fast`, such as `bfloat16`."""
        return str(self.engine.fast_dtype).removeprefix("torch.")

    def folded_activations(self, images: Sequence[Image], layer: str, fast: bool = False) -> NDArray[np.float32]:
        """Measures a layer as `activations` does, to within rounding, with a copy of the network of fewer operations.

        The copy is made once per layer, see `maia_torch.folding`: it pays for hundreds of images.

        Args:
            images: The images.
            layer: Name of the layer.
            fast: Whether values may be rounded to `fast_dtype` on the way: a few per cent of the largest.
        """
        chosen = self.layer(layer)
        with self._lock:
            if (chosen.module, fast) not in self._folded:
                self._folded[chosen.module, fast] = self.engine.folded(chosen, fast)
        return self._maxima(self._folded[chosen.module, fast], images, chosen)

    def _maxima(self, engine: Engine, images: Sequence[Image], layer: Layer) -> NDArray[np.float32]:
        parts = [engine.maxima(pixels, layer) for _, pixels in self.batches(images)]
        return np.concatenate(parts) if parts else np.zeros((0, layer.info.units), np.float32)

    def unit(self, ref: str) -> TorchUnit:
        """See `maia_core.protocols.Model`.

        `LAYER:direction=FILE`, `LAYER:sae=FILE:NUMBER` and `LAYER:token=class:NUMBER` are units, too; `sae=FILE:NUMBER`
        finds the layer in the file.
        """
        layer, unit = self._base(ref)
        names = self.classes if layer.info.kind == "classes" else ()
        kind, equals, where = unit.partition("=")
        if not equals or (names and kind not in READOUTS):
            return TorchUnit(self, layer, find_unit(unit, layer.name, layer.info.units, names))
        numbered = NUMBERED.fullmatch(unit)
        if numbered and f"{layer.name}:{unit}" in self._derived and f"{layer.name}:{numbered[1]}" not in self._derived:
            numbered = None  # The name of a direction ends like a number.
        if kind == "direction" and is_sum(where):
            numbered = None
        layer = self.layer(f"{layer.name}:{numbered[1] if numbered else unit}")
        if numbered is None and layer.info.units == 1:
            return TorchUnit(self, layer, 0)
        number = find_unit(numbered[2] if numbered else "", layer.name, layer.info.units, ())
        if reason := self.autoencoders.reason(layer, number):
            self.warn(f"{self.name}:{layer.name}:{number} is {reason}")
        return TorchUnit(self, layer, number)

    def idle_units(self, layer: str) -> Mapping[int, str]:
        """Returns the units of a layer that are not worth an explanation, each with the reason in words.

        These are the dead and the dense latents of a sparse autoencoder, measured on the run's data set.
        """
        return self.idle(self.layer(layer))

    def idle(self, layer: Layer) -> Mapping[int, str]:
        """See `Network`: the dead and the dense latents of a sparse autoencoder, measured on the run's data set."""
        return self.autoencoders.idle(layer)

    def measurer(self, layers: Sequence[str]) -> Measurer:
        """See `maia_exemplars.IndexableModel`."""
        by_name = {layer.name: layer for layer in map(self.layer, layers)}
        return self.measurer_of(list(by_name.values()))

    def _base(self, ref: str) -> tuple[Layer, str]:
        """Returns the layer that a reference begins with, at the tokens that it names, and the rest of it."""
        name, rest = split_ref(ref, self.engine.layers)
        if name.startswith("sae=") and all(name not in (layer.name, layer.module) for layer in self.engine.layers):
            file = numbered[1] if (numbered := NUMBERED.fullmatch(ref)) else ref
            return self.autoencoders.home(file.removeprefix("sae=")), ref
        layer = find_layer(name, self.engine.layers, self.name)
        if rest.startswith("token="):
            token, _, rest = rest.removeprefix("token=").partition(":")
            layer = at_token(layer, token)
        return layer, rest

    def _derive(self, layer: Layer, kind: str, where: str, readout: Readout) -> Layer:
        new = derived(layer, kind, where, readout)
        with self._lock:
            known = self._derived.get(new.name)
            if known is None or known.key != new.key:
                self._derived[new.name] = known = new
                if kind == "sae":
                    self.autoencoders.keep(new, layer)
                if readout.assumed:
                    self.warn(f"{self.name}:{new.name}: {readout.assumed}")
            return known
