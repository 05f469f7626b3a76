"""Counts tensors into histograms, where the tensors are."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from maia_torch.index.histogram import BINS, CENTRE, MANTISSA, Histograms, floor_codes

MAGNITUDE = 0x7FFF
"""Of the upper 16 bits of a float32 all but the sign."""


class Counter:
    """Fills `Histograms` from tensors. On the CPU both share their memory; elsewhere `fetch` copies the counts back."""

    def __init__(self, histograms: Histograms, device: torch.device) -> None:
        self.histograms = histograms
        self._device = device
        self._starts = torch.arange(len(histograms.tops), device=device)[:, None] * BINS + CENTRE
        self._one = torch.ones(1, dtype=torch.int32, device=device)
        self._send()

    def add(self, values: Tensor, highest: NDArray[np.float32]) -> None:
        """Counts values.

        Args:
            values: Of shape (n, streams), finite, of any floating point type.
            highest: Not less than any value of each stream, float32 of shape (streams,).
        """
        known = self.histograms
        known.high = np.maximum(known.high, highest)
        # Stream by stream, so that the counts of one stay in the cache; in 16 bits, so that little is moved.
        codes = _codes(values).t().contiguous()
        magnitude = codes & MAGNITUDE
        tops = np.maximum(known.tops, (magnitude.amax(1) >> MANTISSA).cpu().numpy())
        if (tops > known.tops).any():
            self.fetch()
            known.widen(tops.astype(np.int32))
            self._send()
        # What is smaller than the lowest octave is 1 from the centre, and zero, whose magnitude is less than 1, in it.
        place = torch.minimum((magnitude - self._below).clamp_(min=1), magnitude)
        sign = codes >> 15
        place = (place ^ sign).sub_(sign)
        self._counts.view(-1).scatter_add_(0, (place + self._starts).view(-1), self._one.expand(place.numel()))

    def fetch(self) -> Histograms:
        """Returns the histograms, with all that was counted."""
        if self._device.type != "cpu":
            self.histograms.counts[:] = self._counts.cpu().numpy()
        return self.histograms

    def _send(self) -> None:
        self._counts = torch.from_numpy(self.histograms.counts).to(self._device)
        # A magnitude of the lowest octave is two bins from zero's.
        below = (floor_codes(self.histograms.tops) - 2).astype(np.int16)
        self._below = torch.from_numpy(below).to(self._device)[:, None]


def _codes(values: Tensor) -> Tensor:
    """Returns the upper 16 bits of values as float32: int16 of the same shape."""
    if values.dtype == torch.bfloat16:
        return values.view(torch.int16)
    return (values.float().view(torch.int32) >> 16).to(torch.int16)
