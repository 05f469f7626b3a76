"""From an image to what a network sees, and back: which part of the image the network's input shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from maia_core.errors import UsageError
from maia_core.types import Image

Box = tuple[float, float, float, float]
"""Part of an image in its own pixels: left, top, right, bottom, with fractions; (0, 0) is the top left corner."""


@dataclass(frozen=True)
class Preprocessing:
    """Resize of the shorter side, centre crop, normalisation: what most image classifiers were trained with.

    Attributes:
        size: Side of the square input in pixels.
        resize: Length of the shorter side before the crop; None: `size`, so that the crop is as large as can be.
        mean: Subtracted from RGB values in [0, 1].
        std: What the difference is divided by.
        interpolation: How pixels are resampled (always antialiased).
    """

    size: int
    resize: int | None = None
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"

    def __post_init__(self) -> None:
        if self.size < 1 or (self.resize is not None and self.resize < self.size):
            raise UsageError(f"preprocessing needs 1 <= size <= resize, not size={self.size}, resize={self.resize}")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise UsageError(
                "preprocessing needs three means and three positive standard deviations (red, green, blue)"
            )

    def box(self, width: int, height: int) -> Box:
        """Returns which part of an image of this size the network sees.

        Lengths are rounded as torchvision's `Resize` and `CenterCrop` round them, so that published weights see the
        pixels that they were evaluated on.
        """
        short = self.resize or self.size
        resized = int(short * max(1, width / height)), int(short * max(1, height / width))
        left, top = (round((side - self.size) / 2) for side in resized)
        x, y = width / resized[0], height / resized[1]
        return left * x, top * y, (left + self.size) * x, (top + self.size) * y

    def crop(self, image: Image) -> NDArray[np.uint8]:
        """Returns what the network sees of the clean image: uint8 of shape (size, size, 3), not yet normalised."""
        clean = image.clean or image
        pixels = PILImage.fromarray(clean.pixels())
        # Pillow's filter also looks at the pixels around the box: this equals a resize of the whole image and a crop
        # (but for the rounding between its two passes), and is bounded for images of any shape.
        resample = PILImage.Resampling[self.interpolation.upper()]
        return np.asarray(pixels.resize((self.size, self.size), resample, self.box(clean.width, clean.height)))
