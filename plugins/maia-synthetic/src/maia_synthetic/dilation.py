"""Widens masks as the paper does (appendix C4), so that they resemble those of units inside a network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import Mask

SIDE = 224
"""Side of the images whose masks the paper's code dilates."""


def proportional(times: int, side: int) -> int:
    """Returns how often a mask of another side is dilated to grow by the same share; at least once, if at all."""
    return max(1, round(times * side / SIDE)) if times else 0


def dilate(mask: Mask, times: int) -> Mask:
    """Dilates a mask by a 5x5 ellipse, again and again; each time it grows by 2 pixels to every side.

    The ellipse is three rows of five pixels with one pixel above and one below.

    Args:
        mask: bool of shape (height, width).
        times: How often.
    """
    height, width = mask.shape
    if not times or not mask.any():
        return mask
    # Work on no more than what can change.
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    top, bottom = max(0, rows[0] - 2 * times), min(height, rows[-1] + 1 + 2 * times)
    left, right = max(0, columns[0] - 2 * times), min(width, columns[-1] + 1 + 2 * times)
    part = np.pad(mask[top:bottom, left:right], 2)
    for _ in range(times):
        grown = part.copy()
        wide = _row(part)
        for shift in (-1, 0, 1):
            grown[2:-2] |= wide[2 + shift : wide.shape[0] - 2 + shift]
        for shift in (-2, 2):
            grown[2:-2] |= part[2 + shift : part.shape[0] - 2 + shift]
        # What left the image does not come back.
        grown[:2] = grown[-2:] = grown[:, :2] = grown[:, -2:] = False
        part = grown
    result = mask.copy()
    result[top:bottom, left:right] = part[2:-2, 2:-2]
    return result


def _row(part: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Spreads every pixel over the two to its left and right."""
    wide = part.copy()
    for shift in (1, 2):
        wide[:, shift:] |= part[:, :-shift]
        wide[:, :-shift] |= part[:, shift:]
    return wide
