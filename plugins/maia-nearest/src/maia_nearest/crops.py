"""Cutting squares out of images: what the model gets to see."""

from __future__ import annotations

import numpy as np
from PIL import Image as PILImage

from maia_core.plugin import Mask, Pixels

SIDE = 260
"""Side of every crop in pixels; a model resizes it to its own input size."""

WORKING_SIDE = 384
"""Longest side at which images are looked at; larger ones are reduced first."""

NEUTRAL = 124
"""Grey level that stands where there is nothing to see."""


def reduced(pixels: Pixels, mask: Mask | None) -> tuple[Pixels, Mask | None]:
    """Shrinks an image and its mask to the working side; smaller ones stay as they are, a mask never vanishes."""
    height, width = pixels.shape[:2]
    scale = WORKING_SIDE / max(height, width)
    if scale >= 1:
        return pixels, mask
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(PILImage.fromarray(pixels).resize(size, PILImage.Resampling.BOX))
    if mask is None:
        return small, None
    cover = resized(mask, size[1], size[0])
    return small, cover >= min(0.5, float(cover.max()))


def resized(values: Mask, height: int, width: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Resizes a mask to float32 in [0, 1]: the share of each new pixel that the mask covers."""
    image = PILImage.fromarray(values.astype(np.float32))
    return np.asarray(image.resize((width, height), PILImage.Resampling.BOX)).clip(0, 1)


def square(pixels: Pixels, focus: Mask | None = None, margin: float = 0.0, hide: bool = False) -> Pixels:
    """Cuts the square around a region, neutral where it leaves the image.

    Args:
        pixels: The image.
        focus: The region; the whole image where it is None or empty.
        margin: Added on each side, as a fraction of the region's longer side.
        hide: Whether what lies outside of the region (and a thin rim) is made neutral too.

    Returns:
        uint8 of shape (SIDE, SIDE, 3).
    """
    from scipy import ndimage

    height, width = pixels.shape[:2]
    if focus is None or not focus.any():
        focus = np.ones((height, width), np.bool_)
    rows, columns = np.flatnonzero(focus.any(1)), np.flatnonzero(focus.any(0))
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    if hide:
        rim = max(1, round(0.015 * max(height, width)))
        pixels = np.where(ndimage.binary_dilation(focus, iterations=rim)[..., None], pixels, np.uint8(NEUTRAL))
    side = max(1, round(max(bottom - top, right - left) * (1 + 2 * margin)))
    y, x = (top + bottom - side) // 2, (left + right - side) // 2
    canvas = np.full((side, side, 3), NEUTRAL, np.uint8)
    inside = pixels[max(y, 0) : max(y + side, 0), max(x, 0) : max(x + side, 0)]
    offset = (max(-y, 0), max(-x, 0))
    canvas[offset[0] : offset[0] + inside.shape[0], offset[1] : offset[1] + inside.shape[1]] = inside
    return np.asarray(PILImage.fromarray(canvas).resize((SIDE, SIDE), PILImage.Resampling.BICUBIC))
