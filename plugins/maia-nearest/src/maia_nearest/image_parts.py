"""The parts of one image: the region to describe, the object that it lies on, and its surroundings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maia_core.plugin import Image, Mask, Pixels
from maia_nearest import crops
from maia_nearest.saliency import Blob, blobs

OVERLAP = 0.3
"""Part of an unmasked region that must lie on an object for the region to be called a part of it."""

WIDEST = 0.7
"""Share of the image above which a salient region is taken for the background, not for an object."""

CROPS = 2
"""Crops of each image that the model sees."""


@dataclass(frozen=True)
class ImageParts:
    """The parts of one image that the describer looks at.

    Attributes:
        pixels: The clean image at working size.
        region: What is described: the unmasked region, or the most salient object of an image without a mask.
        focus: The object that the region lies on; the region itself where it lies on none.
        masked: Whether the image has a mask that hides anything.
        contrast: How far the object stands out from the image's borders, in standard deviations; 0 for no object.
        others: Other salient objects of an image without a mask.
        share: The region's share of the image.
    """

    pixels: Pixels
    region: Mask
    focus: Mask
    masked: bool
    contrast: float
    others: tuple[Blob, ...]
    share: float

    @property
    def empty(self) -> bool:
        """Whether everything is masked."""
        return not self.region.any()

    def at(self, mask: Mask, contrast: float) -> ImageParts:
        """Returns the parts with another object of the same image in focus."""
        return ImageParts(self.pixels, mask, mask, True, contrast, (), float(mask.mean()))

    def outside(self) -> Mask:
        """Returns what belongs neither to the region nor to an object."""
        taken = self.region | self.focus
        for other in self.others:
            taken = taken | other.mask
        return ~taken

    def crops(self) -> list[Pixels]:
        """Returns what the model sees: the object with what is around it, and the object alone."""
        around = 0.0 if self.focus.all() else 0.25
        return [crops.square(self.pixels, self.focus, around), crops.square(self.pixels, self.focus, 0.08, hide=True)]


def image_parts(image: Image) -> ImageParts:
    """Returns the parts of an image, from its pixels and mask alone."""
    full = image.mask()
    pixels, mask = crops.reduced((image.clean or image).pixels(), full)
    if mask is not None and mask.all():
        mask = None
    objects = [blob for blob in blobs(pixels) if blob.mask.mean() <= WIDEST]
    everything = np.ones(pixels.shape[:2], np.bool_)
    if mask is None:
        if not objects:
            return ImageParts(pixels, everything, everything, False, 0.0, (), 1.0)
        main, *others = objects
        return ImageParts(pixels, main.mask, main.mask, False, main.contrast, tuple(others), float(main.mask.mean()))
    share = float(full.mean()) if full is not None else 0.0
    if not mask.any():
        return ImageParts(pixels, mask, mask, True, 0.0, (), share)
    under = max(objects, key=lambda blob: int((blob.mask & mask).sum()), default=None)
    if under is None or (under.mask & mask).sum() < OVERLAP * mask.sum():
        return ImageParts(pixels, mask, mask, True, 0.0, (), share)
    return ImageParts(pixels, mask, under.mask, True, under.contrast, (), share)
