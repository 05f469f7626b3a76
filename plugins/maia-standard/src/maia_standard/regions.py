"""`tools.hide_region` and `tools.keep_region`: occlusion of what the unit looks at, or of all else."""

from __future__ import annotations

from typing import Literal

import numpy as np

from maia_core.plugin import Image, Pixels, PluginConfig, RunContext, ToolError

INACTIVE = ": no active region"


class _Occlusion:
    """Fills one side of each image's mask with the mean colour of the other side, or with grey."""

    uses = ()
    hides_region = True
    done = ""

    class Config(PluginConfig):
        """Options of `hide_region` and `keep_region`."""

        fill: Literal["mean", "grey"] = "mean"
        """What hides pixels: the mean colour of the pixels that stay, or grey (128, 128, 128)."""

    def __init__(self, config: Config, context: RunContext) -> None:
        self._fill, self._context = config.fill, context

    def _occluded(self, images: list[Image]) -> list[Image]:
        made = [self._one(image) for image in images]
        if count := sum(image.title.endswith(INACTIVE) for image in made):
            self._context.show(f"The unit is not active in {count} of {len(made)} images; they are as they were.")
        return made

    def _one(self, image: Image) -> Image:
        mask, name = image.mask(), image.title or "image"
        if mask is None or image.clean is None:
            raise ToolError(
                f"{self.done} needs masked images, as system.neuron and tools.dataset_exemplars return them: "
                f"'{name}' has no mask"
            )
        if not mask.any():
            return image.clean.retitled(name + INACTIVE)
        hidden = mask if self.hides_region else ~mask
        pixels: Pixels = image.clean.pixels().copy()
        shown = pixels[~hidden]
        grey = self._fill == "grey" or not len(shown)
        pixels[hidden] = 128 if grey else np.rint(shown.mean(axis=0)).astype(np.uint8)
        side = "hidden" if self.hides_region else "only"
        return Image.from_pixels(pixels, f"{name}: region {side}", source=self.done, occluded_from=image.clean.id)


class HideRegion(_Occlusion):
    """Hides the region that activates the unit."""

    done = "hide_region"

    def __call__(self, images: list[Image]) -> list[Image]:
        """Hides the region that activates the unit, and leaves the rest as it is.

        If the activation falls, the unit needs what the region shows. Compare with tools.keep_region.

        Args:
            images: Masked images, as system.neuron returns them. One in which the unit is not active stays as it is.

        Returns:
            The images in the same order, the region of each in the mean colour of the rest.

        Example:
            >>> def run_experiment(system, tools):
            ...     before, images = system.neuron(tools.text2image(["a dog on grass"] * 3))
            ...     after, hidden = system.neuron(tools.hide_region(images))
            ...     return before, after, hidden
        """
        return self._occluded(images)


class KeepRegion(_Occlusion):
    """Hides all but the region that activates the unit."""

    hides_region = False
    done = "keep_region"

    def __call__(self, images: list[Image]) -> list[Image]:
        """Hides everything outside of the region that activates the unit.

        If the activation stays, what the region shows is enough for the unit: the context is not needed.

        Args:
            images: Masked images, as system.neuron returns them. One in which the unit is not active stays as it is.

        Returns:
            The images in the same order, all but the region of each in the region's mean colour.

        Example:
            >>> def run_experiment(system, tools):
            ...     before, images = tools.dataset_exemplars(system)
            ...     after, kept = system.neuron(tools.keep_region(images))
            ...     return before, after, kept

        Example:
            >>> def run_experiment(system, tools):
            ...     before, images = system.neuron(tools.text2image(["a dog on grass"] * 3))
            ...     after, kept = system.neuron(tools.keep_region(images))
            ...     return before, after, kept
        """
        return self._occluded(images)
