"""Counts numpy arrays into histograms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maia_exemplars.histogram import Histograms
from maia_exemplars.measured import Values


class ArrayCounter:
    """Fills `Histograms` from float32 arrays of shape (images, units, rows, columns) or (images, units)."""

    def __init__(self, histograms: Histograms) -> None:
        self.histograms = histograms

    def add(self, values: Values, positions: NDArray[np.int64] | None, highest: NDArray[np.float32]) -> None:
        """See `maia_exemplars.measured.Counter`."""
        flat = np.asarray(values, np.float32).reshape(*values.shape[:2], -1)
        if positions is not None:
            flat = np.take_along_axis(flat, positions[:, None], 2)
        streams = np.ascontiguousarray(flat.swapaxes(0, 1).reshape(flat.shape[1], -1))
        self.histograms.high = np.maximum(self.histograms.high, highest)
        self.histograms.add(self.histograms.codes(streams))

    def fetch(self) -> Histograms:
        """See `maia_exemplars.measured.Counter`."""
        return self.histograms
