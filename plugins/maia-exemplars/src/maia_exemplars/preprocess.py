"""From an image to what a network sees, and back: which part of the image the network's input shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from maia_core.plugin import Image, UsageError

Pixels = NDArray[np.uint8] | list[NDArray[np.uint8]]
"""What a network sees of images: of shape (images, height, width, 3), or one by one where their sizes differ."""

Box = tuple[float, float, float, float]
"""Part of an image in its own pixels: left, top, right, bottom, with fractions; (0, 0) is the top left corner."""

Fit = Literal["crop", "squash", "letterbox", "whole"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

MAX_ASPECT = 4
"""Times its shorter side that a `whole` image is seen at most, around its centre."""

WASTE = 32
"""A resized image of more than this many times the pixels that are seen is not computed whole."""


@dataclass(frozen=True)
class Preprocessing:
    """A resize, a centre crop (or a border), a normalisation: how image networks are evaluated.

    All pixels are resampled with antialiasing, as Pillow does and as torchvision, timm and open_clip do by way of it:
    the network sees what their transforms show it, within one grey level.

    Attributes:
        size: The network's input in pixels: the side of a square, or (height, width).
        resize: What the image is resized to before the centre of `size` is taken: the length of its shorter side, or
            (height, width); None: `size`, so that as much as possible is seen.
        mean: Subtracted from the values in [0, 1]: red, green, blue; one alone for a network that sees grey.
        std: What the difference is divided by.
        interpolation: How pixels are resampled.
        fit: `crop` keeps the proportions and covers `resize`; what is beyond `size` is not seen. `squash` resizes to
            exactly `resize`, whatever the proportions. `letterbox` keeps the proportions and fits into `resize`; the
            rest of the input is filled. `whole` keeps the proportions, resizes the shorter side to `size` and shows
            all: the input is as long as the image, for networks that take any size (segmentation).
        fill: What the border that a letterbox leaves is filled with: a grey level 0 to 255, or red, green and blue.
    """

    size: int | tuple[int, int]
    resize: int | tuple[int, int] | None = None
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    interpolation: Interpolation = "bilinear"
    fit: Fit = "crop"
    fill: int | tuple[int, int, int] = 0

    def __post_init__(self) -> None:
        if self.fit not in get_args(Fit) or self.interpolation not in get_args(Interpolation):
            allowed = f"{', '.join(get_args(Fit))} and {', '.join(get_args(Interpolation))}"
            raise UsageError(f"preprocessing knows {allowed}, not {self.fit} with {self.interpolation}")
        (height, width), (tall, wide) = self.input, self.target
        if not (1 <= height <= tall and 1 <= width <= wide):
            raise UsageError(f"preprocessing needs 1 <= size <= resize, not size={self.size}, resize={self.resize}")
        if self.fit == "whole" and not height == width == tall == wide:
            raise UsageError(f"preprocessing by 'whole' needs one size, not size={self.size}, resize={self.resize}")
        if len(self.mean) not in (1, 3) or len(self.std) != len(self.mean) or min(self.std) <= 0:
            raise UsageError(
                "preprocessing needs three means and three positive standard deviations (red, green, blue), "
                "or one of each for grey"
            )

    @property
    def input(self) -> tuple[int, int]:
        """Height and width of the network's input; of a square image, if `whole` images are seen."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    @property
    def target(self) -> tuple[int, int]:
        """Height and width that the resized image covers, has or fits into, by `fit`."""
        target = self.resize or self.size
        return (target, target) if isinstance(target, int) else target

    def __str__(self) -> str:
        height, width = self.input
        first = f"resize to {self.target[0]} x {self.target[1]}, " if self.resize else ""
        mean, std = (", ".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        return f"{first}{self.fit} to {height} x {width} ({self.interpolation}), minus {mean}, over {std}"

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """Returns width and height of an image after the resize.

        Lengths are rounded as in torchvision's `Resize` for a square target, and else to the nearest whole number (as
        in timm), so that published weights see the pixels that they were evaluated on.
        """
        tall, wide = self.target
        if self.fit == "squash":
            return wide, tall
        ratios = height / tall, width / wide
        if self.fit == "letterbox" or tall != wide:
            ratio = max(ratios) if self.fit == "letterbox" else min(ratios)
            return max(1, round(width / ratio)), max(1, round(height / ratio))
        return (wide, wide * height // width) if width <= height else (wide * width // height, wide)

    def box(self, width: int, height: int) -> Box:
        """Returns which part of an image of this size the input shows; a border lies outside of the image."""
        wide, tall = self.resized(width, height)
        left, top, right, bottom = self._seen(wide, tall)
        x, y = width / wide, height / tall
        return left * x, top * y, right * x, bottom * y

    def crop(self, image: Image) -> NDArray[np.uint8]:
        """Returns what the network sees of the clean image: uint8 of shape (height, width, 3), not yet normalised."""
        clean = image.clean or image
        pixels = PILImage.fromarray(clean.pixels())
        wide, tall = self.resized(clean.width, clean.height)
        left, top, right, bottom = self._seen(wide, tall)
        height, width = bottom - top, right - left
        seen = (max(left, 0), max(top, 0), min(right, wide), min(bottom, tall))
        part = np.asarray(self._resampled(pixels, (wide, tall), seen))
        if part.shape[:2] == (height, width):
            return part
        canvas = np.full((height, width, 3), self.fill, np.uint8)
        canvas[seen[1] - top : seen[3] - top, seen[0] - left : seen[2] - left] = part
        return canvas

    def _seen(self, wide: int, tall: int) -> tuple[int, int, int, int]:
        """Returns where the input lies in the resized image (left, top, right, bottom), rounded as in torchvision."""
        height, width = self.input
        if self.fit == "whole":
            height, width = min(tall, MAX_ASPECT * height), min(wide, MAX_ASPECT * width)
        left, top = _margin(wide, width), _margin(tall, height)
        return left, top, left + width, top + height

    def _resampled(
        self, pixels: PILImage.Image, resized: tuple[int, int], seen: tuple[int, int, int, int]
    ) -> PILImage.Image:
        """Returns the part `seen` (left, top, right, bottom) of the image after its resize.

        Pillow can compute that part alone, but may then take rows and columns in another order, which tells where a
        filter overshoots and is clipped: up to 40 grey levels. So that is for images so long that a whole one would
        be mostly wasted.
        """
        resample = PILImage.Resampling[self.interpolation.upper()]
        size = (seen[2] - seen[0], seen[3] - seen[1])
        if resized[0] * resized[1] <= WASTE * size[0] * size[1]:
            whole = pixels if pixels.size == resized else pixels.resize(resized, resample)
            return whole if whole.size == size else whole.crop(seen)
        x, y = pixels.width / resized[0], pixels.height / resized[1]
        return pixels.resize(size, resample, (seen[0] * x, seen[1] * y, seen[2] * x, seen[3] * y))


def stacked(crops: Sequence[NDArray[np.uint8]]) -> Pixels:
    """Returns crops as one array where they are of one size."""
    return np.stack(crops) if len({crop.shape for crop in crops}) == 1 else list(crops)


def _margin(have: int, want: int) -> int:
    """How much is cut off (or, negative, added) before the wanted part of an axis."""
    return round((have - want) / 2) if have >= want else -((want - have) // 2)
