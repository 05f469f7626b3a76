"""What a pass keeps of one layer: statistics of all images, and the best images with their maps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from maia_torch.index.counting import Counter
from maia_torch.index.histogram import Histograms
from maia_torch.index.maps import encoded, mapped
from maia_torch.index.moments import Moments
from maia_torch.index.sampling import drawn_positions
from maia_torch.index.scratch import Rows
from maia_torch.index.topk import TopK
from maia_torch.layers import Layer

Arrays = dict[str, NDArray[Any]]

CAPTURED = 1 << 20
"""Most values of maps that leave the device at once: 4 MB."""


class Statistics:
    """How the values of a layer's units are distributed: moments, histograms, and the uniform sample's activations."""

    def __init__(
        self, layer: Layer, looked: int, sampled: NDArray[np.int64], rows: Rows, whole: bool, saved: Arrays | None
    ) -> None:
        """Begins, or goes on where it was saved.

        Args:
            layer: The layer.
            looked: Positions of each map that are counted.
            sampled: Places of the uniform sample, ascending.
            rows: Where the sample's activations go, one row for each place.
            whole: Whether the sample is the whole data set, which makes a histogram of the activations needless.
            saved: What `arrays` returned.
        """
        units = layer.info.units
        self._layer, self._looked, self._sampled, self._rows = layer, looked, sampled, rows
        self.moments = Moments.empty(units)
        self.maps = Histograms.empty(units) if layer.has_map else None
        self.activations = None if whole else Histograms.empty(units)
        if saved is not None:
            self.moments = Moments(int(saved["count"]), saved["mean"], saved["squares"])
            self.maps = _histograms(saved, "map") if layer.has_map else None
            self.activations = None if whole else _histograms(saved, "activation")
        self._counters: dict[str, Counter] = {}

    def add(self, places: NDArray[np.int64], found: NDArray[np.float32], values: Tensor) -> None:
        """Takes a batch.

        Args:
            places: Places of the images in the data set.
            found: Spatial maxima of all units, float32 of shape (images, units), finite.
            values: The layer's values, of shape (images, units, rows, columns) or (images, units).
        """
        self.moments.add(Moments.of(found))
        at = np.searchsorted(self._sampled, places)
        for row in np.flatnonzero(np.isin(places, self._sampled)):
            self._rows.write(int(at[row]), found[row])
        highest = found.max(axis=0)
        if self.activations is not None:
            self._counter("activation", self.activations, torch.device("cpu")).add(torch.from_numpy(found), highest)
        if self.maps is not None:
            self._counter("map", self.maps, values.device).add(self._looked_at(places, values), highest)

    def arrays(self) -> Arrays:
        """Returns all that was measured, but for the sample, which is on disk."""
        moments = self.moments
        saved: Arrays = {"count": np.array(moments.count), "mean": moments.mean, "squares": moments.squares}
        for name, histograms in (("map", self.maps), ("activation", self.activations)):
            if histograms is not None:
                if name in self._counters:
                    self._counters[name].fetch()
                saved |= {f"{name}_counts": histograms.counts, f"{name}_tops": histograms.tops}
                saved[f"{name}_high"] = histograms.high
        return saved

    def _looked_at(self, places: NDArray[np.int64], values: Tensor) -> Tensor:
        """Returns values of shape (n, units): all positions, or those that are drawn for each image."""
        last = values.permute(0, 2, 3, 1)
        if self._looked == self._layer.positions:
            return last.reshape(-1, last.shape[3])
        drawn = drawn_positions(places, self._layer.positions, self._looked)
        row, column = (torch.from_numpy(part).to(values.device) for part in np.divmod(drawn, last.shape[2]))
        image = torch.arange(len(last), device=values.device)[:, None]
        return last[image, row, column].flatten(0, 1)

    def _counter(self, name: str, histograms: Histograms, device: torch.device) -> Counter:
        if name not in self._counters:
            self._counters[name] = Counter(histograms, device)
        return self._counters[name]


Kept = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]
"""Rows of a batch, units and slots: see `TopK.offer`."""


class Best:
    """The images on which each unit is highest, where in them, and the unit's maps on the first of them.

    Attributes:
        top: The exemplars.
        positions: Where in the flattened map the maximum lies (the first place, where several are equal), int32 of
            shape (units, k); zeros for a layer without maps.
        lows: The map's least value, float32 of shape (units, k); likewise.
        first: The first of the exemplars, in slots of their own; None where no maps are kept.
        maps: Their maps, uint16 of shape (units, slots of `first`, rows, columns), see `maia_torch.index.maps`.
    """

    def __init__(self, layer: Layer, k: int, saved: Arrays | None) -> None:
        """Begins, or goes on where it was saved."""
        self._layer = layer
        units, shape = layer.info.units, layer.info.shape[1:]
        first = mapped(units, k, shape) if layer.has_map else 0
        self.first: TopK | None = None
        if saved is None:
            self.top = TopK.empty(units, k)
            self.positions, self.lows = np.zeros((units, k), np.int32), np.zeros((units, k), np.float32)
            if first:
                self.first, self.maps = TopK.empty(units, first), np.zeros((units, first, *shape), np.uint16)
        else:
            self.top = TopK(saved["values"], saved["places"])
            self.positions, self.lows = saved["positions"], saved["lows"]
            if first:
                self.first, self.maps = TopK(saved["first_values"], saved["first_places"]), saved["maps"]

    def add(self, places: NDArray[np.int64], found: NDArray[np.float32], values: Tensor) -> None:
        """Takes a batch; see `Statistics.add`."""
        kept = self.top.offer(places, found)
        if self._layer.has_map:
            for unit, slot, maps in self._captured(values, kept):
                flat = maps.reshape(len(maps), -1)
                self.positions[unit, slot], self.lows[unit, slot] = flat.argmax(axis=1), flat.min(axis=1)
        if self.first is not None:
            for unit, slot, maps in self._captured(values, self.first.offer(places, found)):
                self.maps[unit, slot] = encoded(maps)

    def arrays(self) -> Arrays:
        """Returns all that is kept."""
        kept: Arrays = {"values": self.top.values, "places": self.top.places}
        kept |= {"positions": self.positions, "lows": self.lows}
        if self.first is not None:
            kept |= {"first_values": self.first.values, "first_places": self.first.places, "maps": self.maps}
        return kept

    def _captured(
        self, values: Tensor, kept: Kept
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]]:
        """Yields units, slots and maps, float32 of shape (n, rows, columns), some at a time."""
        step = max(1, CAPTURED // self._layer.positions)
        for begin in range(0, len(kept[0]), step):
            row, unit, slot = (part[begin : begin + step] for part in kept)
            index = tuple(torch.from_numpy(part).to(values.device) for part in (row, unit))
            yield unit, slot, values[index].float().cpu().numpy()


def _histograms(saved: Arrays, name: str) -> Histograms:
    return Histograms(*(saved[f"{name}_{part}"] for part in ("counts", "tops", "high")))
