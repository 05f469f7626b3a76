"""A whole layer as the system that the backbone studies."""

from __future__ import annotations

from pydantic import ConfigDict

from maia_core.plugin import (
    Image,
    LayerInfo,
    Model,
    PluginConfig,
    RunContext,
    System,
    ToolError,
    UnitInfo,
    UsageError,
    did_you_mean,
)


class LayerSystem:
    """The layer that you study: all its units at once, or one of them by its number."""

    methods = ("layer", "neuron")

    class Config(PluginConfig):
        """Which layer; all other options are those of the model."""

        model_config = ConfigDict(extra="allow")

        ref: str = ""
        """`MODEL:LAYER`."""

    def __init__(self, config: Config, context: RunContext) -> None:
        """Finds the layer.

        Raises:
            UsageError: there is no such layer, the nearest ones are named; or the model does not have an option.
        """
        name, _, layer = config.ref.partition(":")
        self._model = context.model(name, **(config.model_extra or {}))
        self.layer_info = find_layer(self._model, layer)
        units = self.layer_info.units
        self.info = UnitInfo(
            model=self._model.name,
            layer=self.layer_info.name,
            note=f"a layer of {units} units, numbered 0 to {units - 1}",
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

        Example:
            >>> def run_experiment(system, tools):
            ...     return system.neuron(tools.text2image(["a dog on grass"] * 4), 3)
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


def find_layer(model: Model, name: str) -> LayerInfo:
    """Returns a layer by name: as the model itself finds it, or, where it has no method `layer`, in its list.

    Raises:
        UsageError: there is no such layer; the nearest ones are named.
    """
    if callable(own := getattr(model, "layer", None)):
        # It knows more than its list: other spellings, a sparse autoencoder behind a layer.
        found: LayerInfo = own(name).info
        return found
    known = {info.name: info for info in model.layers()}
    if name not in known:
        main = [info.name for info in known.values() if info.kind != "inner"]
        hint = did_you_mean(name, known) or f" It has {', '.join(main)}."
        raise UsageError(f"{model.name} has no layer '{name}'.{hint}")
    return known[name]


def layer_of(system: object) -> LayerSystem:
    """Returns the layer that a run studies.

    Raises:
        UsageError: the run studies something else.
    """
    if not isinstance(system, LayerSystem):
        raise UsageError("this tool needs a whole layer as the system: --system layer:MODEL:LAYER, or `maia ask`")
    return system
