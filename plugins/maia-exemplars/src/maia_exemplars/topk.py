"""The highest values of many units at once, as images come by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NOWHERE = np.iinfo(np.int64).max
"""The place of an empty slot: after every image."""


class TopK:
    """For each unit the `k` images with the highest values; of equal values those that come first in the data set.

    The result depends on which images were offered, not on their order. Slots are not sorted, so that what a caller
    keeps beside them (maps) never moves.

    Attributes:
        values: float32 of shape (units, k); -inf in empty slots.
        places: Places in the data set, int64 of shape (units, k); NOWHERE in empty slots.
    """

    def __init__(self, values: NDArray[np.float32], places: NDArray[np.int64]) -> None:
        """Continues with saved slots; `empty` makes new ones."""
        self.values, self.places = values, places
        units = len(values)
        self._slot = np.zeros(units, np.intp)
        self.worst = np.empty(units, np.float32)
        self.worst_place = np.empty(units, np.int64)
        self._find_worst(np.arange(units))

    @classmethod
    def empty(cls, units: int, k: int) -> TopK:
        """Makes empty slots."""
        return cls(np.full((units, k), -np.inf, np.float32), np.full((units, k), NOWHERE, np.int64))

    def offer(
        self, places: NDArray[np.int64], values: NDArray[np.float32]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
        """Takes a batch of images.

        Args:
            places: Their places in the data set, of shape (images,); none that was offered before.
            values: float32 of shape (images, units), finite.

        Returns:
            For each pair that was kept: its row in the batch, its unit, and the slot that it got.
        """
        rows: list[NDArray[np.intp]] = []
        units: list[NDArray[np.intp]] = []
        slots: list[NDArray[np.intp]] = []
        hopeful = np.flatnonzero((values >= self.worst).any(axis=1))
        for row in hopeful.tolist():
            value, place = values[row], places[row]
            better = np.flatnonzero((value > self.worst) | ((value == self.worst) & (place < self.worst_place)))
            if better.size == 0:
                continue
            slot = self._slot[better]
            self.values[better, slot] = value[better]
            self.places[better, slot] = place
            self._find_worst(better)
            rows.append(np.full(better.size, row))
            units.append(better)
            slots.append(slot)
        if not rows:
            nothing = np.empty(0, np.intp)
            return nothing, nothing, nothing
        entered = np.concatenate(rows), np.concatenate(units), np.concatenate(slots)
        stayed = self.places[entered[1], entered[2]] == places[entered[0]]
        return entered[0][stayed], entered[1][stayed], entered[2][stayed]

    def order(self) -> NDArray[np.intp]:
        """Returns the slots of each unit, best first: of shape (units, k)."""
        order: NDArray[np.intp] = np.lexsort((self.places, -self.values), axis=1)
        return order

    def _find_worst(self, units: NDArray[np.intp]) -> None:
        values = self.values[units]
        worst = values.min(axis=1)
        last = np.where(values == worst[:, None], self.places[units], -1)
        slot = last.argmax(axis=1)
        self._slot[units] = slot
        self.worst[units] = worst
        self.worst_place[units] = last[np.arange(len(units)), slot]
