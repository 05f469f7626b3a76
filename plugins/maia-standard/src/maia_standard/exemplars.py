"""`tools.dataset_exemplars`: what the unit responds to most in a large set of real images."""

from __future__ import annotations

from contextlib import suppress
from typing import Literal

import numpy as np
from pydantic import Field

from maia_core.plugin import (
    QUANTILES,
    Exemplar,
    Image,
    PluginConfig,
    RunContext,
    System,
    ToolError,
    UnreadableImage,
)
from maia_exemplars import exemplar_source

EXEMPLAR_FLOOR = "maia-standard.exemplar_floor"
"""Fact: the activation of the lowest exemplar."""

EXEMPLAR_MEAN = "maia-standard.exemplar_mean"
"""Fact: the mean activation of the exemplars, which the paper calls the activation threshold."""

STATISTICS = "maia-standard.statistics"
"""Fact: the unit's `UnitStatistics` over the data set, as JSON."""


MAPS = "maia-standard.maps"
"""Fact: the unit's map on each exemplar, by the id of the clean image, for reports: see `LayerExemplars.maps`."""

PICTURES = "maia-standard.pictures"
"""Fact: what the data set's images are called."""

MAX_COUNT = 100
"""Most exemplars of one call."""

MAX_TIED = 32
"""Images with the highest activation among which the shown ones are chosen: what an index holds without a new build."""

SAMPLE = 300
"""Images that are measured to find middle and low ones, drawn at random."""

BATCH = 32
"""Images of the sample that are measured at once."""


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

    def __call__(
        self, system: System, level: Literal["highest", "middle", "lowest"] = "highest", count: int = 0
    ) -> tuple[list[float], list[Image]]:
        """Finds the images of the data set that activate the unit most.

        MAIA measures a large set of images. You get the highest activations, highest first, and their images, masked:
        the region that activates the unit is bright, the rest is darkened. Exemplars show how the unit behaves on such
        images. They do not show which property of an image is the cause. You also see how the activation is distributed
        over the whole set: judge other activations against that distribution.

        Args:
            system: The unit.
            level: "highest"; "middle" (about half as high as the exemplars) or "lowest", of a random part of the set.
            count: How many, up to 100; 0: the usual number.

        Returns:
            Two lists: the activations, and the masked images, titled "exemplar 1", "exemplar 2", ... ("middle 1", ...).
            There are fewer where fewer images activate the unit.

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
        if not 0 <= count <= MAX_COUNT:
            raise ToolError(f"dataset_exemplars gives 1 to {MAX_COUNT} images, not {count}")
        count = count or self._count
        title = "exemplar" if level == "highest" else level
        found = self._highest(system, count) if level == "highest" else self._sampled(system, level, count)
        # Ids, file names and captions of the data set stay on this side.
        titled = [Exemplar(a, image.retitled(f"{title} {n}")) for n, (a, image) in enumerate(found, 1)]
        if level == "highest" and count == self._count:
            self._context.keep(titled)
        return [exemplar.activation for exemplar in titled], [exemplar.image for exemplar in titled]

    def _highest(self, system: System, count: int) -> list[Exemplar]:
        source, facts = exemplar_source(self._context, system), self._context.facts
        exemplars, statistics = source.exemplars(system, count)
        pictures = facts[PICTURES] = getattr(self._context.dataset, "pictures", "real images")
        levels = dict(zip(QUANTILES, statistics.quantiles, strict=True))
        shown = ", ".join(f"{levels[q]:.4g} at {q:.0%}" for q in (0.5, 0.75, 0.9, 0.95, 0.99))
        notes = [
            f"Activation over {statistics.count:,} {pictures}: mean {statistics.mean:.4g}, standard deviation "
            f"{statistics.std:.4g}; quantiles {shown}; highest {statistics.quantiles[-1]:.4g}."
        ]
        top, ranked = exemplars[0].activation, exemplars
        if len(exemplars) == count > 1 and exemplars[-1].activation == top > levels[0.0]:
            ranked = source.exemplars(system, max(count, MAX_TIED))[0]
            tied = [exemplar for exemplar in ranked if exemplar.activation == top]
            # The data set is often sorted by what its images show: equal steps give variety.
            exemplars = [tied[round(n * (len(tied) - 1) / (count - 1))] for n in range(count)]
            least = "at least " if len(tied) == len(ranked) < statistics.count else ""
            notes.append(f"{count} of {least}{len(tied)} {pictures} with the highest activation are shown.")
        if levels[0.0] == levels[0.5]:  # A unit that is silent on most images.
            active = [exemplar for exemplar in exemplars if exemplar.activation > levels[0.0]]
            if not active:
                notes.append(f"None of them activates the unit: its activation is {top:.4g} on each.")
            elif len(active) < len(exemplars):
                notes.append(f"{len(active)} of {statistics.count:,} {pictures} activate the unit.")
            exemplars = active or exemplars
        activations = [exemplar.activation for exemplar in exemplars]
        if count == self._count:  # The reference of a run does not move when a program asks for more or fewer.
            facts[EXEMPLAR_FLOOR], facts[EXEMPLAR_MEAN] = min(activations), sum(activations) / len(activations)
            if maps := getattr(source, "maps", None):
                shown_ids = {(exemplar.image.clean or exemplar.image).id for exemplar in exemplars}
                facts[MAPS] = {name: known for name, known in maps(system, ranked).items() if name in shown_ids}
        facts[STATISTICS] = statistics.model_dump(mode="json")
        self._context.show("\n".join(notes))
        return exemplars

    def _sampled(self, system: System, level: str, count: int) -> list[Exemplar]:
        dataset, facts = self._context.dataset, self._context.facts
        order = np.random.default_rng(self._context.seed).permutation(len(dataset))[:SAMPLE]
        images: list[Image] = []
        for index in order:
            with suppress(UnreadableImage):
                images.append(dataset[int(index)])
        found: list[Exemplar] = []
        for start in range(0, len(images), BATCH):
            found += map(Exemplar, *system.neuron(images[start : start + BATCH]))
        found.sort(key=lambda exemplar: -exemplar.activation)
        pictures = getattr(dataset, "pictures", "real images")
        self._context.show(f"The {level} of {len(found)} {pictures} that were drawn at random:")
        if level == "lowest":
            return found[-count:]
        high = facts.get(EXEMPLAR_MEAN, found[0].activation)
        target = (high + found[-1].activation) / 2 if isinstance(high, float) else found[len(found) // 2].activation
        nearest = sorted(found, key=lambda exemplar: abs(exemplar.activation - target))[:count]
        return sorted(nearest, key=lambda exemplar: -exemplar.activation)
