"""Measures layers of a torch module for the exemplar index, where the tensors are."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from maia_exemplars.counting import ArrayCounter
from maia_exemplars.histogram import BINS, CENTRE, SHIFT, Histograms, floor_codes
from maia_exemplars.measured import MeasuredLayer, NotFiniteError, Receive
from maia_exemplars.options import FAST
from maia_exemplars.preprocess import Pixels, Preprocessing
from maia_torch.engine import Engine
from maia_torch.layers import Layer
from maia_torch.takes import Take

MAGNITUDE = 0x7FFF
"""All but the sign of the upper 16 bits of a float32."""


class TorchMeasurer:
    """A `maia_exemplars.Measurer` of some layers of an engine.

    Attributes:
        layers: Descriptions of the layers, in the order of computation.
        preprocess: How the network sees an image.
    """

    def __init__(
        self,
        engine: Engine,
        preprocess: Preprocessing,
        layers: Sequence[tuple[Layer, MeasuredLayer]],
    ) -> None:
        order = {layer.name: number for number, layer in enumerate(engine.layers)}
        ordered = sorted(layers, key=lambda pair: order.get(pair[0].name, len(order)))
        self._engine = engine
        self._layers = [layer for layer, _ in ordered]
        self.layers = [description for _, description in ordered]
        self.preprocess = preprocess

    def read(self, pixels: Pixels, receive: Receive) -> None:
        """See `maia_exemplars.Measurer`; values are tensors (images, units, ...) of the network's own type."""
        self._engine.read(pixels, {layer: _take(layer, number, receive) for number, layer in enumerate(self._layers)})

    def maps(self, values: Tensor, images: NDArray[np.intp], units: NDArray[np.intp]) -> NDArray[np.float32]:
        """See `maia_exemplars.Measurer`."""
        index = tuple(torch.from_numpy(part).to(values.device) for part in (images, units))
        maps: NDArray[np.float32] = values[index].float().cpu().numpy()
        return maps

    def counter(self, histograms: Histograms) -> TensorCounter:
        """See `maia_exemplars.Measurer`."""
        return TensorCounter(histograms, self._engine.device)

    def faster(self) -> TorchMeasurer | None:
        """Returns a copy in bfloat16, with the units of a pixel side by side; None where the network cannot run so."""
        if self._engine.dtype != torch.float32:
            return None
        try:
            module = copy.deepcopy(self._engine.module)
            engine = Engine(module, self.preprocess, dtype=FAST, channels_last=True)
        except Exception:  # A network may refuse to be copied, or have an operation that bfloat16 lacks, in any way.
            return None
        return TorchMeasurer(engine, self.preprocess, list(zip(self._layers, self.layers, strict=True)))

    def close(self) -> None:
        """See `maia_exemplars.Measurer`."""
        self._engine.close()


class TensorCounter(ArrayCounter):
    """Fills `Histograms` from tensors. On the CPU both share their memory; elsewhere `fetch` copies the counts back."""

    def __init__(self, histograms: Histograms, device: torch.device) -> None:
        super().__init__(histograms)
        self._device = device
        self._starts = torch.arange(len(histograms.tops), device=device)[:, None] * BINS + CENTRE
        self._one = torch.ones(1, dtype=torch.int32, device=device)
        centres, extra = histograms.scales["centre"].copy(), histograms.scales["shift"] - SHIFT
        self._centres = torch.from_numpy(centres).to(device) if centres.any() else None
        self._extra = torch.from_numpy(extra.astype(np.int16)).to(device)[:, None] if extra.any() else None
        self._send()

    def add(self, values: Tensor, positions: NDArray[np.int64] | None, highest: NDArray[np.float32]) -> None:
        """See `maia_exemplars.measured.Counter`."""
        # Stream by stream, so that the counts of one stay in the cache; in 16 bits, so that little is moved.
        streams = _streams(values, positions)
        codes = _codes(streams if self._centres is None else streams.float() - self._centres).t().contiguous()
        if self._extra is not None:
            codes = codes >> self._extra
        magnitude = codes & (MAGNITUDE if self._extra is None else MAGNITUDE >> self._extra)
        self.histograms.high = np.maximum(self.histograms.high, highest)
        tops = magnitude.amax(1).cpu().numpy().astype(np.int32) >> (23 - self.histograms.scales["shift"])
        if (tops > self.histograms.tops).any():
            self.fetch()
            self.histograms.widen(tops)
            self._send()
        # A magnitude below the lowest octave is 1 from the centre; zero, whose magnitude is less than 1, is in it.
        place = torch.minimum((magnitude - self._below).clamp_(min=1), magnitude)
        sign = codes >> 15
        place = (place ^ sign).sub_(sign)
        self._counts.view(-1).scatter_add_(0, (place + self._starts).view(-1), self._one.expand(place.numel()))

    def fetch(self) -> Histograms:
        """See `maia_exemplars.measured.Counter`."""
        if self._device.type != "cpu":
            self.histograms.counts[:] = self._counts.cpu().numpy()
        return self.histograms

    def _send(self) -> None:
        self._counts = torch.from_numpy(self.histograms.counts).to(self._device)
        # A magnitude of the lowest octave is two bins from zero's.
        below = (floor_codes(self.histograms.tops, self.histograms.scales["shift"]) - 2).astype(np.int16)
        self._below = torch.from_numpy(below).to(self._device)[:, None]


def _take(layer: Layer, number: int, receive: Receive) -> Take:
    done = 0  # a layer with very many units comes some images at a time

    def take(values: Tensor) -> Sequence[Tensor]:
        nonlocal done
        first, done = done, done + len(values)
        highest = (values.amax((2, 3)) if values.ndim == 4 else values).float().cpu().numpy()
        if not np.isfinite(highest).all():
            raise NotFiniteError(layer.name)
        receive(number, first, highest, values)
        return []

    return take


def _streams(values: Tensor, positions: NDArray[np.int64] | None) -> Tensor:
    """Returns values of shape (n, units): of all positions of each map, or of some."""
    if values.ndim == 2:
        return values
    last = values.permute(0, 2, 3, 1)
    if positions is None:
        return last.reshape(-1, last.shape[3])
    row, column = (torch.from_numpy(part).to(values.device) for part in np.divmod(positions, last.shape[2]))
    image = torch.arange(len(last), device=values.device)[:, None]
    return last[image, row, column].flatten(0, 1)


def _codes(values: Tensor) -> Tensor:
    """Returns the upper 16 bits of values as float32: int16 of the same shape."""
    if values.dtype == torch.bfloat16:
        return values.view(torch.int16)
    return (values.float().view(torch.int32) >> 16).to(torch.int16)
