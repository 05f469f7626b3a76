"""`tools.log_experiment`, `tools.results` and `tools.display`: what the backbone sees and what later programs get."""

from __future__ import annotations

import re
from typing import Any

from maia_core.plugin import Image, PluginConfig, RunContext, ToolError, UnitStatistics
from maia_standard.exemplars import EXEMPLAR_MEAN, PICTURES, STATISTICS
from maia_standard.statistics import percentile

_CONTROL = re.compile(r"\b(controls?|baseline|negatives?|unrelated|neutral)\b", re.IGNORECASE)
"""Words of titles and notes that mark images which should not activate the unit."""

_NEXT = "Exemplars alone do not show the cause. Next, generate images that share one property with them, and controls."


class LogExperiment:
    """Logs results in the run's context."""

    uses = ()

    is_free = True

    def __init__(self, config: PluginConfig, context: RunContext) -> None:
        self._context = context

    def __call__(
        self,
        activations: list[float],
        images: list[Image],
        titles: list[str],
        notes: str | list[str] = "",
    ) -> None:
        """Logs results: you see each image with its title and activation.

        Later programs find them in `tools.results`.

        You see a result only if the program logs, prints, displays or returns it.

        Args:
            activations: One activation per image.
            images: The images; log the masked ones to see where the unit is active.
            titles: One title per image.
            notes: Notes on the results, such as descriptions: one text, or one per image.

        Example:
            >>> def run_experiment(system, tools):
            ...     prompts = ["a dog on grass"] * 3 + ["an empty lawn"] * 3
            ...     activations, images = system.neuron(tools.text2image(prompts))
            ...     tools.log_experiment(activations, images, prompts, tools.describe_images(images, prompts))

        Example:
            >>> def run_experiment(system, tools):
            ...     prompts = ["a dog on grass"] * 3 + ["an empty lawn"] * 3
            ...     activations, images = system.neuron(tools.text2image(prompts))
            ...     tools.log_experiment(activations, images, prompts)

        Example:
            >>> def run_experiment(system, tools):
            ...     activations, images = tools.dataset_exemplars(system)
            ...     tools.log_experiment(activations, images, [image.title for image in images])
        """
        context = self._context
        if not len(activations) == len(images) == len(titles):
            raise ToolError(
                "log_experiment needs one activation and one title per image: "
                f"{len(activations)} activations, {len(images)} images, {len(titles)} titles; images have titles: "
                "[image.title for image in images]"
            )
        if isinstance(notes, list) and len(notes) != len(images):
            notes = "\n".join(notes)  # They are about the experiment as a whole.
        for n, (activation, image, title) in enumerate(zip(activations, images, titles, strict=True)):
            note = notes[n] if isinstance(notes, list) else ""
            context.log(title, activation, image, note)
            where = f"{place(context, activation)}{inactive(image)}"
            context.show(f"{title}: activation {activation:.4g}{where}{note and f'; {note}'}", image)
        if isinstance(notes, str) and notes:
            context.show(f"Notes: {notes}")
        if titles and all(title.startswith("exemplar ") for title in titles):
            context.show(_NEXT)
        mean = context.facts.get(EXEMPLAR_MEAN)
        controls = all(map(_CONTROL.search, titles)) or bool(isinstance(notes, str) and _CONTROL.search(notes))
        if isinstance(mean, float) and activations and max(activations) < mean and not controls:
            context.show(
                f"The highest of these activations, {max(activations):.4g}, is below the mean of the exemplars, "
                f"{mean:.4g}: these images do not explain the unit yet. Continue your experiments."
            )


def place(context: RunContext, activation: float) -> str:
    """Says where an activation lies in the distribution over the data set; nothing where that is not known yet."""
    statistics = context.facts.get(STATISTICS)
    if statistics is None:
        return ""
    below = percentile(activation, UnitStatistics.model_validate(statistics).quantiles)
    share = f"{below:.0%}" if below < 0.995 else f"{min(below, 0.999):.1%}"
    return f" (above {share} of {context.facts.get(PICTURES, 'real images')})"


def inactive(image: Image) -> str:
    """Says so of a masked image without an active region, which looks like one without a mask."""
    mask = image.mask()
    return "" if mask is None or mask.any() else ", no active region"


class Results:
    """Gives programs what was logged."""

    uses = ()

    is_property = is_free = True

    def __init__(self, config: PluginConfig, context: RunContext) -> None:
        self._context = context

    def __call__(self) -> list[dict[str, Any]]:
        """Everything logged so far, oldest first: `{title: {"activation": float, "image": Image}}`, one per result."""
        return [{r.title: {"activation": r.activation, "image": r.image}} for r in self._context.logged]


class Display:
    """Shows things to the backbone."""

    uses = ()

    is_free = True

    def __init__(self, config: PluginConfig, context: RunContext) -> None:
        self._context = context

    def __call__(self, *items: Any) -> None:
        """Shows you texts, numbers and images after the program has ended, in this order, without logging them.

        Args:
            items: Texts, numbers, images, or lists and dicts of them.

        Example:
            >>> def run_experiment(system, tools):
            ...     before, after = tools.edit_images(["a dog on grass"], "change the background to snow")[0]
            ...     tools.display("before", before, "after", after)

        Example:
            >>> def run_experiment(system, tools):
            ...     activations, images = tools.dataset_exemplars(system)
            ...     tools.display("the strongest exemplar", images[0], activations[0])
        """
        for item in items:
            if isinstance(item, dict):
                self(*(part for pair in item.items() for part in pair))
            elif isinstance(item, list | tuple):
                self(*item)
            elif isinstance(item, Image):
                named = item.title + inactive(item)
                self._context.show(*([f"{named.removeprefix(', ')}:"] if named else []), item)
            else:
                self._context.show(f"{item:.4g}" if isinstance(item, float) else str(item))
