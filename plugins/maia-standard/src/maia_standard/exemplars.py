"""`tools.dataset_exemplars`: what the unit responds to most in a large set of real images."""

from __future__ import annotations

from pydantic import Field

from maia_core.plugin import QUANTILES, Exemplar, Image, PluginConfig, RunContext, System
from maia_exemplars import exemplar_source

EXEMPLAR_FLOOR = "maia-standard.exemplar_floor"
"""Fact: the activation of the lowest exemplar."""

EXEMPLAR_MEAN = "maia-standard.exemplar_mean"
"""Fact: the mean activation of the exemplars, which the paper calls the activation threshold."""

STATISTICS = "maia-standard.statistics"
"""Fact: the unit's `UnitStatistics` over the data set, as JSON."""


class DatasetExemplars:
    """Finds the unit's exemplars through the run's exemplar source."""

    uses = ()

    class Config(PluginConfig):
        """Options of `dataset_exemplars`."""

        count: int = Field(15, gt=0, le=1000)
        """How many exemplars are shown (the paper shows 15)."""

    def __init__(self, config: Config, context: RunContext) -> None:
        self._count = config.count
        self._context = context

    def __call__(self, system: System) -> tuple[list[float], list[Image]]:
        """Finds the real images that activate the unit most.

        MAIA measures a large set of photographs. You get the highest activations, highest first, and their images,
        masked: the region that activates the unit is bright, the rest is darkened. Exemplars show how the unit behaves
        on natural images. They do not show which property of an image is the cause. You also see how the activation is
        distributed over the whole set: judge other activations against that distribution.

        Args:
            system: The unit.

        Returns:
            Two lists: the activations, and the masked images, titled "exemplar 1", "exemplar 2", ...

        Example:
            >>> def run_experiment(system, tools):
            ...     activations, images = tools.dataset_exemplars(system)
            ...     summary = tools.summarize_images(images)
            ...     tools.log_experiment(activations, images, [image.title for image in images], summary)

        Example:
            >>> def run_experiment(system, tools):
            ...     activations, images = tools.dataset_exemplars(system)
            ...     tools.log_experiment(activations, images, [image.title for image in images])

        Example:
            >>> def run_experiment(system, tools):
            ...     return tools.dataset_exemplars(system)
        """
        exemplars, statistics = exemplar_source(self._context, system).exemplars(system, self._count)
        facts = self._context.facts
        activations = [exemplar.activation for exemplar in exemplars]
        facts[EXEMPLAR_FLOOR], facts[EXEMPLAR_MEAN] = min(activations), sum(activations) / len(activations)
        facts[STATISTICS] = statistics.model_dump(mode="json")
        levels = dict(zip(QUANTILES, statistics.quantiles, strict=True))
        shown = ", ".join(f"{levels[q]:.4g} at {q:.0%}" for q in (0.5, 0.75, 0.9, 0.95, 0.99))
        self._context.show(
            f"Activation over {statistics.count} real images: mean {statistics.mean:.4g}, standard deviation "
            f"{statistics.std:.4g}; quantiles {shown}; highest {statistics.quantiles[-1]:.4g}."
        )
        # Ids, file names and captions of the data set stay on this side.
        titled = [Exemplar(a, image.retitled(f"exemplar {n}")) for n, (a, image) in enumerate(exemplars, 1)]
        self._context.keep(titled)
        return activations, [exemplar.image for exemplar in titled]
