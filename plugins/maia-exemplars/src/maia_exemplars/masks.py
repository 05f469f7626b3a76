"""Masks of the active region: a unit's map, laid over the part of the image that the network saw."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from maia_core.plugin import Mask
from maia_exemplars.preprocess import Box


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
    left, across = _along(width, activation.shape[1], box[0], box[2])
    top, down = _along(height, activation.shape[0], box[1], box[3])
    # Columns first, while the array is small. No matrix product: its threads would fight those of the network.
    upsampled = _interpolated(np.ascontiguousarray(_interpolated(activation.T, across).T), down)
    mask = np.zeros((height, width), np.bool_)
    mask[top : top + upsampled.shape[0], left : left + upsampled.shape[1]] = upsampled > threshold
    return mask


Steps = tuple[NDArray[np.intp], NDArray[np.float32]]
"""For each pixel the cell at or before its centre, and how far it lies on the way to the next, in [0, 1]."""


def _interpolated(values: NDArray[np.float32], steps: Steps) -> NDArray[np.float32]:
    """Interpolates along the first axis: float32 of shape (cells, n) becomes (pixels, n)."""
    cell, part = steps
    slope = np.diff(values, axis=0, append=values[-1:])
    result: NDArray[np.float32] = slope[cell]
    result *= part[:, None]
    result += values[cell]
    return result


@lru_cache(maxsize=64)
def _along(pixels: int, cells: int, start: float, end: float) -> tuple[int, Steps]:
    """Bilinear interpolation along one axis.

    A map of `cells` values covers [start, end) of an axis of `pixels` pixels; a value belongs to the centre of its
    cell (the convention of `align_corners=False`) and is continued unchanged from the outer centres to the border.

    Returns:
        The first pixel whose centre is covered, and the steps of the covered pixels.
    """
    centres = np.arange(pixels) + 0.5
    covered = np.flatnonzero((centres >= start) & (centres < end))
    position = np.clip((centres[covered] - start) / (end - start) * cells - 0.5, 0, cells - 1)
    cell = position.astype(np.intp)
    return int(covered[0]) if len(covered) else 0, (cell, (position - cell).astype(np.float32))
