"""Where in an image a unit is active: its map, laid over the part of the image that the network saw."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from maia_core.types import Mask
from maia_torch.preprocess import Box


def active(activation: NDArray[np.float32], threshold: float, width: int, height: int, box: Box) -> Mask:
    """Returns the mask of an image: True where the upsampled map exceeds the threshold.

    Args:
        activation: The unit's map, float32 of shape (rows, columns).
        threshold: What the map must exceed.
        width: Width of the image in pixels.
        height: Height of the image in pixels.
        box: The part of the image that the map covers; what lies outside was not seen and is not active.

    Returns:
        bool array of shape (height, width).
    """
    rows, columns = activation.shape
    top, down = _weights(height, rows, box[1], box[3])
    left, across = _weights(width, columns, box[0], box[2])
    mask = np.zeros((height, width), np.bool_)
    mask[top : top + len(down), left : left + len(across)] = down @ activation @ across.T > threshold
    return mask


@lru_cache(maxsize=64)
def _weights(pixels: int, cells: int, start: float, end: float) -> tuple[int, NDArray[np.float32]]:
    """Bilinear interpolation along one axis, as a matrix.

    A map of `cells` values covers [start, end) of an axis of `pixels` pixels; a value belongs to the centre of its
    cell (the convention of `align_corners=False`) and is continued unchanged from the outer centres to the border.

    Returns:
        The first pixel whose centre is covered, and float32 weights of shape (covered pixels, cells).
    """
    centres = np.arange(pixels) + 0.5
    covered = np.flatnonzero((centres >= start) & (centres < end))
    position = (centres[covered] - start) / (end - start) * cells - 0.5
    position = np.clip(position, 0, cells - 1)
    low = np.minimum(position.astype(int), max(cells - 2, 0))
    part = position - low
    weights = np.zeros((len(covered), cells), np.float32)
    index = np.arange(len(covered))
    weights[index, low] = 1 - part
    if cells > 1:
        weights[index, low + 1] = part
    weights.flags.writeable = False
    return int(covered[0]) if len(covered) else 0, weights
