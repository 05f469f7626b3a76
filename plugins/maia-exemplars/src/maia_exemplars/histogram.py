"""Quantiles of many streams of values at once, one stream a unit, in bounded memory and with a bound on their error.

Values are counted in bins whose width is a fixed fraction of the value, as in HDR histograms (G. Tene) and DDSketch
(C. Masson, J. Rim, H. Lee, VLDB 2019). A bin is the upper 16 bits of a float32: its sign, its exponent, and 7 bits of
its mantissa, so a bin is at most 1/128 as wide as the values in it are large. A unit has bins for the `OCTAVES` powers
of two up to its largest magnitude; what is smaller than those shares one bin a sign, and zero has its own.

**Bound.** The estimate of a quantile lies in the bin of the value that has its rank: they differ by at most
`RELATIVE` of the value, or by `ABSOLUTE` of the unit's largest magnitude where the value is smaller than that. This
holds always, not with some probability.

**Merging.** Which bins there are depends on the largest magnitude alone, so the counts are a function of the values,
whatever their order and however they were divided: merging is exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MANTISSA = 7
"""Bits of the mantissa that tell bins apart."""

OCTAVES = 10
"""Powers of two below the largest magnitude that have bins of their own."""

SIDE = OCTAVES << MANTISSA
CENTRE = SIDE + 1
"""The bin of zero. CENTRE + 1 holds what is positive and small, CENTRE + 2 and on the octaves; likewise below."""

BINS = 2 * CENTRE + 1

AT_ONCE = 256
"""Streams whose counts are moved at once."""

RELATIVE = 2.0**-MANTISSA
ABSOLUTE = 2.0 ** (1 - OCTAVES)

Counts = NDArray[np.int32]


@dataclass
class Histograms:
    """Histograms of several streams.

    Attributes:
        counts: int32 of shape (streams, BINS).
        tops: Biased exponent (as in the bits of a float32) of each stream's largest magnitude, int32 of shape
            (streams,); 1 where nothing but zero was seen.
        high: Largest value seen, float32 of shape (streams,); -inf where there is none.
    """

    counts: Counts
    tops: NDArray[np.int32]
    high: NDArray[np.float32]

    @classmethod
    def empty(cls, streams: int) -> Histograms:
        """Makes histograms of nothing."""
        return cls(
            np.zeros((streams, BINS), np.int32),
            np.ones(streams, np.int32),
            np.full(streams, -np.inf, np.float32),
        )

    def widen(self, tops: NDArray[np.int32]) -> None:
        """Makes room for magnitudes of these exponents; bins that are too small for their octaves now are joined."""
        tops = np.maximum(self.tops, tops)
        shifts = np.minimum(floor_codes(tops) - floor_codes(self.tops), SIDE)
        for shift in np.unique(shifts[shifts > 0]):
            streams = np.flatnonzero(shifts == shift)
            for first in range(0, len(streams), AT_ONCE):
                part = streams[first : first + AT_ONCE]
                moved = self.counts[part]
                for side in (moved[:, CENTRE + 1 :], moved[:, CENTRE - 1 :: -1]):  # from the smallest magnitude up
                    side[:, 0] += side[:, 1 : shift + 1].sum(axis=1, dtype=np.int32)
                    side[:, 1 : SIDE - shift + 1] = side[:, shift + 1 :].copy()
                    side[:, SIDE - shift + 1 :] = 0
                self.counts[part] = moved
        self.tops = tops

    def merge(self, other: Histograms) -> None:
        """Adds what another counted, stream by stream; `other` is widened, too."""
        self.widen(other.tops)
        other.widen(self.tops)
        self.counts += other.counts
        self.high = np.maximum(self.high, other.high)

    def quantile(self, quantile: float) -> NDArray[np.float32]:
        """Returns each stream's quantile, float32 of shape (streams,); nan for a stream of nothing."""
        return np.array(
            [
                Histogram.of(row, int(top), float(high)).quantile(quantile)
                for row, top, high in zip(self.counts, self.tops, self.high, strict=True)
            ],
            np.float32,
        )


@dataclass(frozen=True)
class Histogram:
    """One stream's histogram, empty bins left out: what an index keeps.

    Attributes:
        bins: Numbers of the bins that are not empty, ascending, integers of shape (n,).
        counts: How many values each holds, integers of shape (n,).
        top: See `Histograms`.
        high: Likewise.
    """

    bins: NDArray[np.integer]
    counts: NDArray[np.integer]
    top: int
    high: float

    @classmethod
    def of(cls, row: NDArray[np.integer], top: int, high: float) -> Histogram:
        """Makes one from a row of `Histograms`."""
        bins = np.flatnonzero(row)
        return cls(bins, row[bins], top, high)

    def quantile(self, quantile: float) -> float:
        """Returns a quantile, interpolated linearly inside its bin, the highest exactly; nan if nothing was counted."""
        upto = np.cumsum(self.counts, dtype=np.int64)
        total = int(upto[-1]) if len(upto) else 0
        if not total:
            return math.nan
        rank = (total - 1) * quantile
        if rank == total - 1:
            return self.high
        at = int(np.searchsorted(upto, math.floor(rank), side="right"))
        before = int(upto[at]) - int(self.counts[at])
        inside = (rank - before + 0.5) / int(self.counts[at])
        low, high = edges(int(self.bins[at]), self.top)
        high = min(high, self.high)
        return low + (high - low) * min(inside, 1.0)

    @property
    def low(self) -> float:
        """A lower bound of all values, that of the lowest bin; nan if nothing was counted."""
        return edges(int(self.bins[0]), self.top)[0] if len(self.bins) else math.nan


def edges(bin: int, top: int) -> tuple[float, float]:
    """Returns the bounds of a bin: what it holds is not below the first and not above the second."""
    beyond = abs(bin - CENTRE)
    if beyond == 0:
        return 0.0, 0.0
    floor = int(floor_codes(np.array(top, np.int32)))
    near = 0.0 if beyond == 1 else _magnitude(floor + beyond - 2)
    far = _magnitude(floor + beyond - 1)
    return (near, far) if bin > CENTRE else (-far, -near)


def floor_codes(tops: NDArray[np.int32]) -> NDArray[np.int32]:
    """Returns the upper 16 bits of the smallest magnitude with a bin of its own, for each largest exponent."""
    codes: NDArray[np.int32] = np.maximum(tops - OCTAVES + 1, 1) << MANTISSA
    return codes


def _magnitude(code: int) -> float:
    return float(np.array(min(code, 0x7F80) << 16, np.int32).view(np.float32))
