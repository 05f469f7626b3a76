"""`tools.unit_exemplars`: what one unit of the layer responds to most in a large set of real images."""

from __future__ import annotations

from pydantic import Field

from maia_core.plugin import Image, PluginConfig, RunContext
from maia_exemplars import exemplar_source
from maia_layers.system import layer_of


class UnitExemplars:
    """Finds the exemplars of any unit of the layer; the first call measures the layer, later ones look them up."""

    uses = ()

    class Config(PluginConfig):
        """Options of `unit_exemplars`."""

        count: int = Field(15, gt=0, le=1000)
        """How many exemplars are shown."""

    def __init__(self, config: Config, context: RunContext) -> None:
        self._count = config.count
        self._context = context

    def __call__(self, unit: int) -> tuple[list[float], list[Image]]:
        """Finds the real images that activate one unit of the layer most.

        Args:
            unit: The unit's number.

        Returns:
            Two lists: the activations, highest first, and the images, masked to where the unit is active, titled
            "unit 3, exemplar 1".

        Example:
            >>> def run_experiment(system, tools):
            ...     activations, images = tools.unit_exemplars(3)
            ...     tools.log_experiment(activations, images, [image.title for image in images])

        Example:
            >>> def run_experiment(system, tools):
            ...     return tools.unit_exemplars(3)
        """
        system = layer_of(self._context.system).unit(unit)
        exemplars, statistics = exemplar_source(self._context, system).exemplars(system, self._count)
        self._context.show(
            f"Unit {unit} over {statistics.count} real images: mean {statistics.mean:.4g}, standard deviation "
            f"{statistics.std:.4g}, highest {statistics.quantiles[-1]:.4g}."
        )
        # Ids, file names and captions of the data set stay on this side.
        images = [exemplar.image.retitled(f"unit {unit}, exemplar {n}") for n, exemplar in enumerate(exemplars, 1)]
        return [exemplar.activation for exemplar in exemplars], images
