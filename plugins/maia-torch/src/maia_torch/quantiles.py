"""A high quantile of each unit's map over a whole data set, in bounded memory."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

BUDGET = 64 * 2**20
"""Bytes that the kept values of all units may take together."""


def kept_positions(images: int, positions: int, units: int, quantile: float, budget: int = BUDGET) -> int:
    """Returns how many positions of each map can be looked at within the budget: all of them if possible, at least 1.

    With fewer, the positions must be drawn at random for each image, without replacement. The sample's quantile is
    then, for any one unit, the quantile of rank q +- e of all positions with probability 1 - d, where
    e = sqrt(ln(2 / d) / (2 * images * kept)) (Hoeffding's inequality, which holds for sampling without replacement and
    for independent strata: W. Hoeffding, JASA 58, 1963).
    """
    most = budget // (units * 4 * 2)
    affordable = int(most / max(1 - quantile, 1e-9) / max(images, 1))
    return max(1, min(positions, affordable))


class TailQuantile:
    """The exact quantile of streams of values, one a unit, whose greatest length is known.

    Only what may still be among the largest (1 - quantile) part is kept: at most twice that many values a unit, and
    one call's values.
    """

    def __init__(self, units: int, most: int, quantile: float) -> None:
        """Makes empty streams.

        Args:
            units: Number of streams.
            most: The most values that a stream will have.
            quantile: In [0, 1].
        """
        self._quantile = quantile
        self._size = max(1, most - math.floor((most - 1) * quantile))
        self._tails = [np.empty(0, np.float32) for _ in range(units)]
        self._floor = np.full(units, -np.inf, np.float32)
        self._count = 0

    def add(self, values: NDArray[np.float32]) -> None:
        """Adds values to every stream: float32 of shape (units, values), finite."""
        self._count += values.shape[1]
        for unit, row in enumerate(values):
            # As many values as can matter are at or above the floor already: one more that equals it changes nothing.
            tail = np.concatenate([self._tails[unit], row[row > self._floor[unit]]])
            if tail.size > 2 * self._size:
                tail = np.partition(tail, tail.size - self._size)[-self._size :].copy()
                self._floor[unit] = tail.min()
            self._tails[unit] = tail

    def result(self) -> NDArray[np.float32]:
        """Returns the quantile of each stream, interpolated linearly (as `numpy.quantile`): float32 of shape (units,).

        Raises:
            ValueError: nothing was added.
        """
        if not self._count:
            raise ValueError("no values were added")
        rank = (self._count - 1) * self._quantile
        low, part = math.floor(rank), rank - math.floor(rank)
        from_top = self._count - low  # 1 is the largest
        result = np.empty(len(self._tails), np.float32)
        for unit, tail in enumerate(self._tails):
            ordered = np.sort(tail)[::-1]
            below, above = ordered[from_top - 1], ordered[max(from_top - 2, 0)]
            result[unit] = below + (above - below) * part
        return result
