"""What a pass keeps of one layer: statistics of all images, and the best images with their maps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maia_exemplars.checkpoint import parts
from maia_exemplars.counting import ArrayCounter
from maia_exemplars.histogram import Histograms
from maia_exemplars.maps import encoded, mapped
from maia_exemplars.measured import Counter, MeasuredLayer, Measurer, Values
from maia_exemplars.moments import Moments
from maia_exemplars.sample_file import SampleFile
from maia_exemplars.sampling import SAMPLE, drawn_positions, positions_counted
from maia_exemplars.scale import Scales
from maia_exemplars.topk import TopK

Arrays = dict[str, NDArray[Any]]

CAPTURED = 1 << 20
"""Most values of maps that leave the device at once: 4 MB."""


class Statistics:
    """How the values of a layer's units are distributed: moments, histograms, and the uniform sample's activations."""

    def __init__(
        self,
        layer: MeasuredLayer,
        images: int,
        sampled: NDArray[np.int64],
        sample: SampleFile,
        scales: Scales,
        saved: Arrays | None,
    ) -> None:
        """Starts, or resumes where it was saved.

        Args:
            layer: The layer.
            images: Images of the data set; where the sample holds them all, a histogram of activations is redundant.
            sampled: Numbers of the images of the uniform sample, ascending.
            sample: Gets the sample's activations, one row per image.
            scales: Of the histograms.
            saved: The result of `arrays`.
        """
        self._layer, self._sampled, self._sample = layer, sampled, sample
        self._looked = positions_counted(images, layer.positions, layer.units)
        self.moments = Moments.empty(layer.units)
        self.maps = Histograms.empty(scales["map"]) if layer.has_map else None
        self.activations = None if images <= SAMPLE else Histograms.empty(scales["activation"])
        if saved is not None:
            self.moments = Moments(int(saved["count"]), saved["mean"], saved["squares"])
            self.maps = _histograms(saved, "map") if self.maps else None
            self.activations = _histograms(saved, "activation") if self.activations else None
        self._map_counter: Counter | None = None

    @property
    def histograms(self) -> dict[str, Histograms]:
        """The histograms that there are, by name."""
        found = {"map": self.maps, "activation": self.activations}
        return {name: histograms for name, histograms in found.items() if histograms is not None}

    def add(self, measurer: Measurer, images: NDArray[np.int64], maxima: NDArray[np.float32], values: Values) -> None:
        """Adds some images.

        Args:
            measurer: The origin of the values.
            images: Their numbers in the data set.
            maxima: Spatial maxima of all units, float32 of shape (images, units), finite.
            values: The layer's values.
        """
        self.moments.add(Moments.of(maxima))
        at = np.searchsorted(self._sampled, images)
        for row in np.flatnonzero(np.isin(images, self._sampled)):
            self._sample.write(int(at[row]), maxima[row])
        highest = maxima.max(axis=0)
        if self.activations is not None:
            ArrayCounter(self.activations).add(maxima, None, highest)
        if self.maps is not None:
            self._map_counter = self._map_counter or measurer.counter(self.maps)
            every = self._looked == self._layer.positions
            positions = None if every else drawn_positions(images, self._layer.positions, self._looked)
            self._map_counter.add(values, positions, highest)

    def arrays(self) -> Arrays:
        """Returns all measurements except the sample, which is on disk."""
        moments = self.moments
        saved: Arrays = {"count": np.array(moments.count), "mean": moments.mean, "squares": moments.squares}
        if self._map_counter is not None:
            self._map_counter.fetch()
        for name, histograms in self.histograms.items():
            saved |= {f"{name}_counts": histograms.counts, f"{name}_tops": histograms.tops}
            saved |= {f"{name}_high": histograms.high, f"{name}_scales": histograms.scales}
        return saved


Kept = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]
"""Rows of a batch, units and slots: see `TopK.offer`."""


class TopImages:
    """The images on which each unit is highest, where in them, and the unit's maps on the first of them.

    Attributes:
        top: The exemplars.
        positions: Where in the flattened map the maximum lies (the first place, where several are equal), int32 of
            shape (units, k); zeros for a layer without maps.
        lows: The map's least value, float32 of shape (units, k); likewise.
        first: The first of the exemplars, in slots of their own; None where no maps are kept.
        maps: Their maps, uint16 of shape (units, slots of `first`, rows, columns), see `maia_exemplars.maps`.
    """

    def __init__(self, layer: MeasuredLayer, k: int, saved: Arrays | None) -> None:
        """Starts, or resumes where it was saved."""
        self._layer = layer
        units, shape = layer.units, layer.shape[1:]
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

    def add(self, measurer: Measurer, images: NDArray[np.int64], maxima: NDArray[np.float32], values: Values) -> None:
        """Adds some images; see `Statistics.add`."""
        kept = self.top.offer(images, maxima)
        if self._layer.has_map:
            for unit, slot, maps in self._captured(measurer, values, kept):
                flat = maps.reshape(len(maps), -1)
                self.positions[unit, slot], self.lows[unit, slot] = flat.argmax(axis=1), flat.min(axis=1)
        if self.first is not None:
            for unit, slot, maps in self._captured(measurer, values, self.first.offer(images, maxima)):
                self.maps[unit, slot] = encoded(maps)

    def arrays(self) -> Arrays:
        """Returns all that is kept."""
        kept: Arrays = {"values": self.top.values, "places": self.top.places}
        kept |= {"positions": self.positions, "lows": self.lows}
        if self.first is not None:
            kept |= {"first_values": self.first.values, "first_places": self.first.places, "maps": self.maps}
        return kept

    def _captured(
        self, measurer: Measurer, values: Values, entered: Kept
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]]:
        """Yields units, slots and maps, float32 of shape (n, rows, columns), some at a time."""
        step = max(1, CAPTURED // self._layer.positions)
        for begin in range(0, len(entered[0]), step):
            image, unit, slot = (part[begin : begin + step] for part in entered)
            yield unit, slot, measurer.maps(values, image, unit)


class LayerMeasures:
    """All measurements of one layer of a build.

    Attributes:
        layer: The layer.
        statistics: Of all images.
        best: The exemplars.
        sample: Activations on the uniform sample.
    """

    def __init__(
        self,
        layer: MeasuredLayer,
        number: int,
        images: int,
        sampled: NDArray[np.int64],
        sample: SampleFile,
        k: int,
        scales: Scales,
        saved: Arrays | None,
    ) -> None:
        """Starts, or resumes where layer `number` was saved; see `Statistics` and `TopImages`."""
        self.layer, self.sample, self._number = layer, sample, number
        self.statistics = Statistics(layer, images, sampled, sample, scales, parts(saved, f"statistics/{number}"))
        self.best = TopImages(layer, k, parts(saved, f"best/{number}"))

    def arrays(self) -> Arrays:
        """Returns all measurements, with the sample written to the disk."""
        self.sample.sync()
        kept = {f"statistics/{self._number}/{name}": array for name, array in self.statistics.arrays().items()}
        return kept | {f"best/{self._number}/{name}": array for name, array in self.best.arrays().items()}


def _histograms(saved: Arrays, name: str) -> Histograms:
    return Histograms(*(saved[f"{name}_{part}"] for part in ("counts", "tops", "high", "scales")))
