"""Quantiles of many streams of values at once, one stream a unit, in bounded memory and with a bound on their error.

Values are counted in bins whose width is a fixed fraction of the value, as in HDR histograms (G. Tene) and DDSketch
(C. Masson, J. Rim, H. Lee, VLDB 2019). A bin is the upper 16 bits of a float32: its sign, its exponent, and 7 bits of
its mantissa, so a bin is at most 1/128 as wide as the values in it are large. A unit has bins for the `OCTAVES` powers
of two up to its largest magnitude; what is smaller than those shares one bin a sign, and zero has its own.

**Bound.** The estimate of a quantile lies in the bin of the value that has its rank: they differ by at most
`RELATIVE` of the value, or by `ABSOLUTE` of the unit's largest magnitude where the value is smaller than that. This
holds always, not with some probability.

**Scales.** A stream that is large everywhere and varies little would share a bin: its values are counted as differences
from a centre. One whose largest magnitude is far beyond most of its values has twice as many octaves of bins twice as
wide. A few images of the data set decide which streams these are (`scale.py`); all others have the centre zero. The
bound is on the difference from the centre.

**Merging.** Which bins there are depends on the largest magnitude alone, so the counts are a function of the values,
whatever their order and however they were divided: merging is exact, where the scales are equal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MANTISSA = 7
"""Bits of the mantissa that tell bins apart."""

SHIFT = 16
"""Bits of a float32 that do not tell bins apart; 17 in a stream with more octaves."""

SCALE = np.dtype([("centre", "<f4"), ("shift", "<i4")])
"""The scale of a stream: what is subtracted from its values, and how many bits do not tell bins apart."""

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
        scales: Each stream's scale, of type `SCALE` and shape (streams,).
    """

    counts: Counts
    tops: NDArray[np.int32]
    high: NDArray[np.float32]
    scales: NDArray[np.void]

    @classmethod
    def empty(cls, scales: NDArray[np.void]) -> Histograms:
        """Makes histograms of nothing."""
        streams = len(scales)
        counts, tops = np.zeros((streams, BINS), np.int32), np.ones(streams, np.int32)
        return cls(counts, tops, np.full(streams, -np.inf, np.float32), scales)

    def codes(self, values: NDArray[np.float32]) -> NDArray[np.int32]:
        """Returns the bits of values, float32 of shape (streams, n), that tell bins apart, with their sign."""
        shifted = np.ascontiguousarray(values - self.scales["centre"][:, None])
        codes: NDArray[np.int32] = shifted.view(np.int32) >> self.scales["shift"][:, None]
        return codes

    def add(self, codes: NDArray[np.int32], counts: Counts | int = 1) -> None:
        """Counts values by their `codes`, of shape (streams, n), each once or `counts` times."""
        magnitude = codes & (0x7FFFFFFF >> self.scales["shift"][:, None])
        self.widen((magnitude.max(axis=1) >> (23 - self.scales["shift"])).astype(np.int32))
        # A magnitude below the lowest octave is 1 from the centre; zero, whose magnitude is less than 1, is in it.
        below = floor_codes(self.tops, self.scales["shift"])[:, None] - 2
        bins = np.minimum(np.maximum(magnitude - below, 1), magnitude)
        bins = CENTRE + np.where(codes < 0, -bins, bins)
        starts = np.arange(len(bins), dtype=np.int64)[:, None] * BINS
        np.add.at(self.counts.reshape(-1), (bins + starts).reshape(-1), np.broadcast_to(counts, bins.shape).reshape(-1))

    def widen(self, tops: NDArray[np.int32]) -> None:
        """Makes room for magnitudes of these exponents; bins that are too small for their octaves now are joined."""
        tops = np.maximum(self.tops, tops)
        shift = self.scales["shift"]
        shifts = np.minimum(floor_codes(tops, shift) - floor_codes(self.tops, shift), SIDE)
        for up in np.unique(shifts[shifts > 0]):
            streams = np.flatnonzero(shifts == up)
            for first in range(0, len(streams), AT_ONCE):
                part = streams[first : first + AT_ONCE]
                moved = self.counts[part]
                for side in (moved[:, CENTRE + 1 :], moved[:, CENTRE - 1 :: -1]):  # from the smallest magnitude up
                    side[:, 0] += side[:, 1 : up + 1].sum(axis=1, dtype=np.int32)
                    side[:, 1 : SIDE - up + 1] = side[:, up + 1 :].copy()
                    side[:, SIDE - up + 1 :] = 0
                self.counts[part] = moved
        self.tops = tops

    def merge(self, other: Histograms) -> None:
        """Adds another's counts, stream by stream; `other` is widened, too.

        A stream whose scale differs (another machine found another centre) is counted again, a bin less exactly.
        """
        other = other.rescaled(self.scales)
        self.widen(other.tops)
        other.widen(self.tops)
        self.counts += other.counts
        self.high = np.maximum(self.high, other.high)

    def rescaled(self, scales: NDArray[np.void]) -> Histograms:
        """Returns the counts at other scales: as they are where a stream's scale stays, else by the middles of bins."""
        changed = np.flatnonzero(self.scales != scales)
        if not len(changed):
            return self
        result = Histograms(self.counts.copy(), self.tops.copy(), self.high, scales)
        result.counts[changed], result.tops[changed] = 0, 1
        for stream in changed.tolist():
            one = self.stream(stream)
            middles = [[min(sum(one.edges(int(bin))) / 2, one.high)] for bin in one.bins]
            alone = Histograms.empty(scales[[stream]])
            if middles:
                alone.add(alone.codes(np.array(middles, np.float32).T), one.counts.astype(np.int32)[None])
            result.counts[stream], result.tops[stream] = alone.counts[0], alone.tops[0]
        return result

    def stream(self, number: int) -> Histogram:
        """Returns one stream's histogram."""
        bins = np.flatnonzero(self.counts[number])
        top, high, scale = int(self.tops[number]), float(self.high[number]), self.scales[number]
        return Histogram(bins, self.counts[number][bins], top, high, float(scale["centre"]), int(scale["shift"]))

    def quantile(self, quantile: float) -> NDArray[np.float32]:
        """Returns each stream's quantile, float32 of shape (streams,); nan for a stream of nothing."""
        return np.array([self.stream(number).quantile(quantile) for number in range(len(self.counts))], np.float32)


@dataclass(frozen=True)
class Histogram:
    """One stream's histogram, empty bins left out: what an index keeps.

    Attributes:
        bins: Numbers of the bins that are not empty, ascending, integers of shape (n,).
        counts: How many values each holds, integers of shape (n,).
        top: See `Histograms`.
        high: Likewise.
        centre: See `SCALE`.
        shift: Likewise.
    """

    bins: NDArray[np.integer]
    counts: NDArray[np.integer]
    top: int
    high: float
    centre: float = 0.0
    shift: int = SHIFT

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
        low, high = self.edges(int(self.bins[at]))
        high = min(high, self.high)
        return low + (high - low) * min(inside, 1.0)

    @property
    def low(self) -> float:
        """A lower bound of all values, that of the lowest bin; nan if nothing was counted."""
        return self.edges(int(self.bins[0]))[0] if len(self.bins) else math.nan

    def edges(self, bin: int) -> tuple[float, float]:
        """Returns the bounds of a bin: its values are not below the first and not above the second."""
        beyond = abs(bin - CENTRE)
        if beyond == 0:
            return self.centre, self.centre
        floor = int(floor_codes(np.array(self.top, np.int32), np.array(self.shift, np.int32)))
        near = 0.0 if beyond == 1 else _magnitude(floor + beyond - 2, self.shift)
        far = _magnitude(floor + beyond - 1, self.shift)
        return (self.centre + near, self.centre + far) if bin > CENTRE else (self.centre - far, self.centre - near)


def scales(streams: int) -> NDArray[np.void]:
    """Returns the usual scales: no centre, `OCTAVES` octaves."""
    usual = np.zeros(streams, SCALE)
    usual["shift"] = SHIFT
    return usual


def floor_codes(tops: NDArray[np.int32], shift: NDArray[np.int32]) -> NDArray[np.int32]:
    """Returns the code of the smallest magnitude with a bin of its own, for each largest exponent and each shift."""
    mantissa = 23 - shift
    codes: NDArray[np.int32] = np.maximum(tops - (SIDE >> mantissa) + 1, 1) << mantissa
    return codes


def _magnitude(code: int, shift: int) -> float:
    return float(np.array(min(code << shift, 0x7F800000), np.int32).view(np.float32))
