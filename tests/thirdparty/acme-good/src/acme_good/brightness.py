"""A unit that responds to bright pixels."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from maia_core.plugin import Image, PluginConfig, RunContext, UnitInfo


class Brightness:
    """Responds to bright pixels."""

    class Config(PluginConfig):
        """Options of the brightness unit."""

        ref: Literal["whole", "left", "right"] = "whole"
        """Which part of an image it sees."""
        gain: float = 1.0
        """Activation of a white image."""

    def __init__(self, config: Config, context: RunContext) -> None:
        self.config = config
        self.info = UnitInfo(model="acme-brightness", unit=config.ref)

    def neuron(self, images: Sequence[Image]) -> tuple[list[float], list[Image]]:
        """Measures how bright images are."""
        seen = [self._seen(image) for image in images]
        activations = [self.config.gain * float(values.max()) for values in seen]
        return activations, [image.masked(values > 0.5) for image, values in zip(images, seen, strict=True)]

    def _seen(self, image: Image) -> np.ndarray:
        values = (image.clean or image).pixels().mean(2) / 255
        middle = image.width // 2
        if self.config.ref != "whole":
            values[:, slice(middle, None) if self.config.ref == "left" else slice(0, middle)] = 0
        return values
