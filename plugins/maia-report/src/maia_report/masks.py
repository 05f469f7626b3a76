"""Draws a mask as a picture to lay over its image: as a dark veil, or as an outline."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image as PILImage
from PIL import ImageFilter

from maia_core.plugin import MASK_DARKENING, Image, Mask, content_id

SIDE = 288
"""Longest side of a drawing in pixels."""

LINE, RIM = (255, 205, 40), (20, 18, 16)
"""Colours of an outline: one of the two is seen on any image."""


def is_inactive(image: Image) -> bool:
    """Returns whether the mask of an image hides all of it: the unit is active nowhere. Reads no pixels."""
    if image.clean is None:
        return False
    nothing = bytes((image.width * image.height + 7) // 8)
    return image.id == content_id(image.clean.id.encode(), nothing)


def veil(mask: Mask) -> PILImage.Image:
    """Returns a picture that is clear where the mask keeps the image, and black of the mask's depth elsewhere."""
    kept = np.asarray(_small(mask)) >= 128
    picture = PILImage.frombytes("P", (kept.shape[1], kept.shape[0]), kept.astype(np.uint8).tobytes())
    picture.putpalette([0, 0, 0, 0, 0, 0])
    picture.info["transparency"] = bytes([round(255 * (1 - MASK_DARKENING)), 0])
    return picture


def outline(mask: Mask) -> PILImage.Image:
    """Returns a picture of the mask's border: a bright line inside of it, a dark one outside, the rest clear."""
    small = _small(mask).point(lambda level: 255 if level >= 128 else 0)
    # Framed, so that a mask that reaches the edge of its image has a border there too.
    framed = PILImage.new("L", (small.width + 8, small.height + 8))
    framed.paste(small, (4, 4))
    inner, outer = (
        np.asarray(framed.filter(edge(width)))[4:-4, 4:-4] >= 128
        for edge, width in ((ImageFilter.MinFilter, 7), (ImageFilter.MaxFilter, 3))
    )
    kept = np.asarray(small) >= 128
    colours = np.where(kept & ~inner, 1, np.where(outer & ~kept, 2, 0)).astype(np.uint8)
    picture = PILImage.frombytes("P", small.size, colours.tobytes())
    picture.putpalette([0, 0, 0, *LINE, *RIM])
    picture.info["transparency"] = bytes([0, 255, 255])
    return picture


DRAWINGS: dict[str, Callable[[Mask], PILImage.Image]] = {"dark": veil, "outline": outline}
"""The drawings by the name that a reader chooses."""


def _small(mask: Mask) -> PILImage.Image:
    small = PILImage.fromarray(mask.astype(np.uint8) * 255)
    small.thumbnail((SIDE, SIDE), PILImage.Resampling.BOX)
    return small
