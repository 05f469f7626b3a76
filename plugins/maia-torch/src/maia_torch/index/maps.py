"""Maps of units on their exemplars, small enough to keep: what masks are made from without a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVELS = np.iinfo(np.uint16).max

KEPT = 64 * 2**20
"""Most bytes that the maps of one layer take; of a layer with larger ones only the places of the maxima are kept."""


class StoredMaps:
    """The map of each unit in each slot, in 65,535 steps between its least and its greatest value.

    Attributes:
        positions: Where in the flattened map the maximum lies (the first place, where several are equal), int32 of
            shape (units, k).
        lows: The map's least value, float32 of shape (units, k).
        codes: uint16 of shape (units, k, rows, columns); None where that would take more than `KEPT` bytes.
    """

    def __init__(
        self, positions: NDArray[np.int32], lows: NDArray[np.float32], codes: NDArray[np.uint16] | None
    ) -> None:
        self.positions, self.lows, self.codes = positions, lows, codes

    @classmethod
    def empty(cls, units: int, k: int, shape: Sequence[int]) -> StoredMaps:
        """Makes slots for maps of a shape (rows, columns)."""
        codes = np.zeros((units, k, *shape), np.uint16) if fits(units, k, shape) else None
        return cls(np.zeros((units, k), np.int32), np.zeros((units, k), np.float32), codes)

    def put(self, units: NDArray[np.intp], slots: NDArray[np.intp], maps: NDArray[np.float32]) -> None:
        """Keeps maps, float32 of shape (n, rows, columns), in the slots of units."""
        flat = maps.reshape(len(maps), -1)
        self.positions[units, slots] = flat.argmax(axis=1)
        self.lows[units, slots] = flat.min(axis=1)
        if self.codes is not None:
            self.codes[units, slots] = encoded(maps)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Returns what is kept, by name."""
        kept: dict[str, NDArray[Any]] = {"positions": self.positions, "lows": self.lows}
        return kept if self.codes is None else kept | {"maps": self.codes}


def fits(units: int, k: int, shape: Sequence[int]) -> bool:
    """Returns whether maps of this shape are kept."""
    return units * k * int(np.prod(shape)) * 2 <= KEPT


def encoded(maps: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Turns maps, of shape (n, rows, columns), into steps between their least and greatest values."""
    low = maps.min(axis=(1, 2), keepdims=True)
    span = maps.max(axis=(1, 2), keepdims=True) - low
    steps = (maps - low) * (LEVELS / np.where(span > 0, span, 1))
    codes: NDArray[np.uint16] = np.rint(steps).astype(np.uint16)
    return codes


def decoded(codes: NDArray[np.uint16], low: float, high: float) -> NDArray[np.float32]:
    """Turns one map's steps back into values, within (high - low) / 131,070 of what they were."""
    return (low + codes * ((float(high) - float(low)) / LEVELS)).astype(np.float32)
