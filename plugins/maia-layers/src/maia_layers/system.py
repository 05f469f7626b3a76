"""A whole layer as the system that the backbone studies."""

from __future__ import annotations

from maia_core.config import PluginConfig
from maia_core.context import Context
from maia_core.errors import ToolError, UsageError, did_you_mean
from maia_core.protocols import System
from maia_core.types import Image, LayerInfo, UnitInfo


class LayerSystem:
    """The layer that you study: all its units at once, or one of them by its number."""

    methods = ("layer", "neuron")

    class Config(PluginConfig):
        """Options of a layer; others cannot be given, choose the model's in its own plugin's defaults."""

        ref: str = ""
        """`MODEL:LAYER`."""

    def __init__(self, config: Config, context: Context) -> None:
        """Finds the layer.

        Raises:
            UsageError: there is no such layer; the nearest ones are named.
        """
        name, _, layer = config.ref.partition(":")
        self._model = context.model(name)
        known = {info.name: info for info in self._model.layers()}
        if layer not in known:
            main = [info.name for info in known.values() if info.kind != "inner"]
            hint = did_you_mean(layer, known) or f" It has {', '.join(main)}."
            raise UsageError(f"{name} has no layer '{layer}'.{hint}")
        self.layer_info: LayerInfo = known[layer]
        units = self.layer_info.units
        self.info = UnitInfo(
            model=self._model.name, layer=layer, note=f"a layer of {units} units, numbered 0 to {units - 1}"
        )
        self.fingerprint = self._model.fingerprint

    def layer(self, images: list[Image]) -> list[list[float]]:
        """Measures all units of the layer on a batch of images at once.

        Args:
            images: The images.

        Returns:
            For each image one activation (the spatial maximum) for each unit, by the unit's number.

        Example:
            >>> def run_experiment(system, tools):
            ...     activations = system.layer(tools.text2image(["a dog on grass"] * 4))
            ...     print(max(range(len(activations[0])), key=lambda unit: min(row[unit] for row in activations)))
        """
        rows: list[list[float]] = self._model.activations(images, self.layer_info.name).tolist()
        return rows

    def neuron(self, images: list[Image], unit: int) -> tuple[list[float], list[Image]]:
        """Measures one unit of the layer on a batch of images.

        Args:
            images: The images.
            unit: The unit's number.

        Returns:
            The activation of each image, and each image masked to where the unit is active.

        Example:
            >>> def run_experiment(system, tools):
            ...     activations, masked = system.neuron(tools.text2image(["a dog on grass"] * 4), 3)
            ...     tools.log_experiment(activations, masked, ["unit 3, a dog on grass"] * 4)
        """
        return self.unit(unit).neuron(images)

    def unit(self, number: int) -> System:
        """Returns one unit as a system of its own.

        Raises:
            ToolError: there is no such unit.
        """
        if not 0 <= number < self.layer_info.units:
            raise ToolError(f"unit {number} does not exist: the layer has units 0 to {self.layer_info.units - 1}")
        return self._model.unit(f"{self.layer_info.name}:{number}")


def layer_of(system: object) -> LayerSystem:
    """Returns the layer that a run studies.

    Raises:
        UsageError: the run studies something else.
    """
    if not isinstance(system, LayerSystem):
        raise UsageError("this tool needs a whole layer as the system: --system layer:MODEL:LAYER, or `maia ask`")
    return system
