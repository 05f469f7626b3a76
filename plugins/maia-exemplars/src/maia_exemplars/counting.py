"""Counts numpy arrays into histograms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maia_exemplars.histogram import BINS, CENTRE, MANTISSA, Histograms, floor_codes
from maia_exemplars.measured import Values

MAGNITUDE = 0x7FFF
"""All but the sign of the upper 16 bits of a float32."""


class ArrayCounter:
    """Fills `Histograms` from float32 arrays of shape (images, units, rows, columns) or (images, units)."""

    def __init__(self, histograms: Histograms) -> None:
        self.histograms = histograms

    def add(self, values: Values, positions: NDArray[np.int64] | None, highest: NDArray[np.float32]) -> None:
        """See `maia_exemplars.measured.Counter`."""
        flat = np.asarray(values, np.float32).reshape(*values.shape[:2], -1)
        if positions is not None:
            flat = np.take_along_axis(flat, positions[:, None], 2)
        bits = np.ascontiguousarray(flat.swapaxes(0, 1).reshape(flat.shape[1], -1)).view(np.int32) >> 16
        magnitude = bits & MAGNITUDE
        self.widen(magnitude.max(axis=1) >> MANTISSA, highest)
        # A magnitude below the lowest octave is 1 from the centre; zero, whose magnitude is less than 1, is in it.
        below = floor_codes(self.histograms.tops)[:, None] - 2
        bins = np.minimum(np.maximum(magnitude - below, 1), magnitude)
        bins = CENTRE + np.where(bits < 0, -bins, bins)
        starts = np.arange(len(bins), dtype=np.int64)[:, None] * BINS
        np.add.at(self.histograms.counts.reshape(-1), (bins + starts).reshape(-1), 1)

    def fetch(self) -> Histograms:
        """See `maia_exemplars.measured.Counter`."""
        return self.histograms

    def widen(self, tops: NDArray[np.int32], highest: NDArray[np.float32]) -> bool:
        """Makes room for magnitudes of these exponents; returns whether bins moved."""
        self.histograms.high = np.maximum(self.histograms.high, highest)
        if not (tops > self.histograms.tops).any():
            return False
        self.fetch()
        self.histograms.widen(tops.astype(np.int32))
        return True
