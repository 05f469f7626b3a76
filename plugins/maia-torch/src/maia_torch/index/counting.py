"""Counts tensors into histograms, where the tensors are."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from maia_torch.index.histogram import BINS, CENTRE, MANTISSA, SIDE, Histograms, floor_codes


class Counter:
    """Fills `Histograms` from tensors. On the CPU both share their memory; elsewhere `fetch` copies the counts back."""

    def __init__(self, histograms: Histograms, device: torch.device) -> None:
        self.histograms = histograms
        self._device = device
        self._starts = torch.arange(len(histograms.tops), device=device)[None] * BINS + CENTRE
        self._send()

    def add(self, values: Tensor) -> None:
        """Counts values: of shape (n, streams), finite, of any floating point type."""
        known = self.histograms
        values = values.float().contiguous()
        known.low = np.minimum(known.low, values.amin(0).cpu().numpy())
        known.high = np.maximum(known.high, values.amax(0).cpu().numpy())
        bits = values.view(torch.int32)
        magnitude = (bits >> (23 - MANTISSA)).bitwise_and_(0x7FFF)
        tops = np.maximum(known.tops, (magnitude.amax(0) >> MANTISSA).cpu().numpy())
        if (tops > known.tops).any():
            self.fetch()
            known.widen(tops)
            self._send()
        place = (magnitude - self._below).clamp_(min=1)
        place = torch.where(magnitude == 0, magnitude, place)
        place = torch.where(bits < 0, -place, place) + self._starts
        ones = torch.ones((), dtype=torch.int32, device=place.device).expand(place.numel())
        self._counts.view(-1).scatter_add_(0, place.view(-1), ones)

    def fetch(self) -> Histograms:
        """Returns the histograms, with all that was counted."""
        if self._device.type != "cpu":
            self.histograms.counts[:] = self._counts.cpu().numpy()
        return self.histograms

    def _send(self) -> None:
        self._counts = torch.from_numpy(self.histograms.counts).to(self._device)
        # A magnitude of the lowest octave is two bins from zero's.
        self._below = torch.from_numpy(floor_codes(self.histograms.tops) - 2).to(self._device)


assert SIDE + 1 == CENTRE
