"""The system `permuted`: a unit under the name of another one, so that remembering the name misleads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import Field

from maia_core.plugin import Image, PluginConfig, RunContext, UsageError, content_id


class PermutedUnit:
    """Measures the unit that a permutation of the layer puts in the place of the named one.

    The permutation is one cycle through all units, so no unit keeps its place. It is drawn by the seed.

    Attributes:
        info: Model, layer and unit as named; the measured unit is another one.
        fingerprint: Of the permutation, and of the model where it has one.
    """

    class Config(PluginConfig):
        """The named unit and the permutation."""

        ref: str = ""
        """The named unit, `MODEL:LAYER:UNIT`."""
        seed: int = Field(0, ge=0)
        """Random seed of the permutation."""

    def __init__(self, config: Config, context: RunContext) -> None:
        """Builds the named and the measured unit.

        Raises:
            UsageError: the reference names no numbered unit of a layer with several units.
        """
        name, _, ref = config.ref.partition(":")
        if not name or not ref:
            raise UsageError(f"the system 'permuted' needs a unit, as in permuted:MODEL:LAYER:UNIT, not '{config.ref}'")
        model = context.model(name)
        named: Any = model.unit(ref)
        units = {layer.name: layer.units for layer in model.layers()}.get(named.info.layer, 0)
        index = getattr(named, "index", None)
        if units < 2 or not isinstance(index, int):
            raise UsageError(
                f"'{config.ref}' cannot be permuted: its layer has no other numbered units; choose another"
            )
        order = np.random.default_rng([config.seed, units]).permutation(units)
        place = int(np.flatnonzero(order == index)[0])
        self._unit: Any = model.unit(f"{named.info.layer}:{order[(place + 1) % units]}")
        self.info = named.info
        print_of_model = getattr(model, "fingerprint", "")
        self.fingerprint = content_id(f"permuted/{config.seed}/{self._unit.info.ref}/{print_of_model}".encode())

    def neuron(self, images: Sequence[Image]) -> tuple[list[float], list[Image]]:
        """See `maia_core.protocols.System`."""
        activations, masked = self._unit.neuron(images)
        return list(activations), list(masked)

    def __getattr__(self, name: str) -> Any:
        """Returns the measured unit's own, such as its exemplars and its place in the layer."""
        if name == "_unit":
            raise AttributeError(name)
        return getattr(self._unit, name)
