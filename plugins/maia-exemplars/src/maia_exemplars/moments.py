"""Count, mean and variance of many streams, in parts that can be joined."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass
class Moments:
    """Running statistics of several streams of equal length.

    Attributes:
        count: Values of each stream.
        mean: Their mean, float64 of shape (streams,).
        squares: Sum of the squared differences from it, likewise.
    """

    count: int
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]

    @classmethod
    def empty(cls, streams: int) -> Moments:
        """Makes the moments of nothing."""
        return cls(0, np.zeros(streams), np.zeros(streams))

    @classmethod
    def of(cls, values: NDArray[np.float32]) -> Moments:
        """Makes the moments of values of shape (n, streams)."""
        mean = values.mean(axis=0, dtype=np.float64)
        return cls(len(values), mean, np.square(values - mean).sum(axis=0))

    def add(self, other: Moments) -> None:
        """Joins two parts (T. Chan, G. Golub, R. LeVeque, 1979)."""
        count = self.count + other.count
        if not count:
            return
        apart = other.mean - self.mean
        self.mean = self.mean + apart * (other.count / count)
        self.squares = self.squares + other.squares + np.square(apart) * (self.count * other.count / count)
        self.count = count

    @property
    def std(self) -> NDArray[np.float64]:
        """Standard deviation of each stream, as numpy's `std`."""
        deviations: NDArray[np.float64] = np.sqrt(self.squares / max(self.count, 1))
        return deviations
