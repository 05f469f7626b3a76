"""Maps of units on their first exemplars, small enough to store: masks come from them without a network.

A map is stored in 65,535 steps between its least and its greatest value.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LEVELS = np.iinfo(np.uint16).max

MAPPED = 15
"""Exemplars of a unit, the first ones, whose maps are stored: those that a run usually shows."""

MAX_MAP_BYTES = 64 * 2**20
"""Bytes of the maps of one layer at most; a layer with larger ones stores none."""


def mapped(units: int, k: int, shape: Sequence[int]) -> int:
    """Returns on how many of its k exemplars each unit's map, of shape (rows, columns), is stored."""
    first = min(k, MAPPED)
    return first if units * first * int(np.prod(shape)) * 2 <= MAX_MAP_BYTES else 0


def encoded(maps: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Turns maps, of shape (n, rows, columns), into steps between their least and greatest values."""
    low = maps.min(axis=(1, 2), keepdims=True)
    span = maps.max(axis=(1, 2), keepdims=True) - low
    steps = maps - low
    steps /= np.where(span > 0, span, 1)  # first: LEVELS / span would overflow where the span is tiny
    steps *= LEVELS
    codes: NDArray[np.uint16] = np.rint(steps, out=steps).astype(np.uint16)
    return codes


def decoded(codes: NDArray[np.uint16], low: float, high: float) -> NDArray[np.float32]:
    """Turns one map's steps back into values, within (high - low) / 131,070 of what they were."""
    return (low + codes * ((float(high) - float(low)) / LEVELS)).astype(np.float32)
