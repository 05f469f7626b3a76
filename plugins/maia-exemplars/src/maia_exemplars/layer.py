"""One layer of an index on disk: which files it has, and how one unit is read from them.

    sheet.json         what was measured, of what (`IndexInfo`)
    units.npy          one record per unit (`record`): exemplars, moments, quantiles
    maps.npy           the units' maps on their first exemplars, see `maps.py`; missing where none are stored
    sample.npy         activations on the uniform sample, float32 of shape (units, sampled)
    sample_places.npy  the numbers of the sample's images in the data set, ascending
    map_bins.npy, map_counts.npy                 histograms of the maps' values, unit after unit, see `histogram.py`
    map_scales.npy, activation_scales.npy        the histograms' scales, where a unit's is not the usual one
    activation_bins.npy, activation_counts.npy   likewise of activations; missing where the sample is the whole data set
    id_places.npy, id_ends.npy, id_letters.npy   ids of the images that are named above, by number, in UTF-8
    skipped.npy        numbers of the unreadable images

All arrays are plain `.npy` files. A unit is read by its offset in them: the time does not depend on their number.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import DTypeLike, NDArray

from maia_core.plugin import UnitStatistics, UsageError, content_id, open_plain, validated
from maia_exemplars.arrays import UNREADABLE, open_array, reason
from maia_exemplars.histogram import BINS, RELATIVE, SCALE, Histogram, scales
from maia_exemplars.info import HistogramName, IndexInfo, record
from maia_exemplars.maps import decoded
from maia_exemplars.sampling import SAMPLE, rank_error

INFO = "sheet.json"

CEILING = 1e-4
"""How far below a unit's greatest value a threshold stays, as a fraction of its range: see `Unit.threshold`."""

MAX_INFO_BYTES = 16 * 2**20
"""Bytes of a description that are read at most."""

MAX_NAME = 150
"""Letters of a layer's name in the name of its folder; a longer one gets a hash."""


class LayerIndex:
    """A layer's files, opened for reading.

    Attributes:
        folder: Where they are.
        info: What they hold.
    """

    def __init__(self, folder: Path) -> None:
        """Reads the description.

        Raises:
            UsageError: there is none, or it cannot be used.
        """
        self.folder = folder
        self._arrays: dict[str, NDArray[Any]] = {}
        try:
            with open_plain(folder / INFO) as file:
                data = file.read(MAX_INFO_BYTES + 1)
            if len(data) > MAX_INFO_BYTES:
                raise ValueError("it is too large")
            self.info = validated(IndexInfo, dict(json.loads(data)), str(folder / INFO))
        except FileNotFoundError as error:
            raise UsageError(f"{folder} holds no layer of an exemplar index") from error
        except UsageError as error:
            raise self._broken(INFO, str(error).partition(": ")[2]) from error
        except UNREADABLE as error:
            raise self._broken(INFO, reason(error)) from error

    def unit(self, number: int) -> Unit:
        """Reads one unit.

        Raises:
            UsageError: there is no such unit, no image was readable, or a file is broken.
        """
        if not self.info.count:
            raise UsageError(
                f"no image of {self.folder} could be read, so it has no exemplars: join it (maia exemplars merge) with "
                "the other parts of the data set"
            )
        if not 0 <= number < self.info.units:
            raise UsageError(
                f"unit {number} of layer {self.info.layer} does not exist: it has units 0 to {self.info.units - 1}"
            )
        return Unit(self, number, self.units[number])

    @property
    def units(self) -> NDArray[np.void]:
        """All units' records."""
        return self.array("units", record(self.info.k), (self.info.units,))

    @property
    def sample_images(self) -> NDArray[np.int64]:
        """Places of the sample's images in the data set, ascending: int64 of shape (sampled,)."""
        return self.array("sample_places", np.int64, (self.info.sampled,))

    @property
    def sample(self) -> NDArray[np.float32]:
        """Activations on the sample, float32 of shape (units, sampled): a matrix of all units on the same images."""
        return self.array("sample", np.float32, (self.info.units, self.info.sampled))

    @property
    def maps(self) -> NDArray[np.uint16] | None:
        """The units' maps on their first exemplars, see `maia_exemplars.maps`; None where none are stored."""
        if not self.info.mapped:
            return None
        return self.array("maps", np.uint16, (self.info.units, self.info.mapped, *self.info.shape[1:]))

    @property
    def skipped(self) -> NDArray[np.int64]:
        """Places of the images that could not be read."""
        return self.array("skipped", np.int64, (self.info.skipped,))

    def ids(self, places: Sequence[int]) -> list[str]:
        """Returns the ids of exemplars, of images of the sample, or of skipped ones."""
        known = self.array("id_places", np.int64, (None,))
        ends = self.array("id_ends", np.int64, known.shape)
        letters = self.array("id_letters", np.uint8, (int(ends[-1]) if len(ends) else 0,))
        rows = np.minimum(np.searchsorted(known, places), len(known) - 1)
        if len(places) and (not len(known) or (known[rows] != places).any()):
            raise self._broken("id_places.npy", "an image has no id")
        return [letters[ends[row - 1] if row else 0 : ends[row]].tobytes().decode("utf-8", "replace") for row in rows]

    def histogram(self, name: HistogramName, unit: int) -> Histogram:
        """Reads a unit's histogram; `histograms` names those that there are."""
        ends = self.units[f"{name}_end"]
        first, last = int(ends[unit - 1]) if unit else 0, int(ends[unit])
        bins = self.array(f"{name}_bins", np.uint16, (None,))
        counts = self.array(f"{name}_counts", np.int32, bins.shape)
        if not 0 <= first <= last <= len(bins):
            raise self._broken("units.npy", "a histogram ends beyond the file")
        row = self.units[unit]
        if (bins[first:last] >= BINS).any():
            raise self._broken(f"{name}_bins.npy", "it holds bins that do not exist")
        scale, top, high = self.scales(name)[unit], row[f"{name}_top"].item(), row[f"{name}_high"].item()
        return Histogram(bins[first:last], counts[first:last], top, high, float(scale["centre"]), int(scale["shift"]))

    def scales(self, name: HistogramName) -> NDArray[np.void]:
        """Returns the scale of each unit's histogram, of type `SCALE`."""
        if self.info.version == 1:
            return scales(self.info.units)
        return self.array(f"{name}_scales", SCALE, (self.info.units,))

    def check(self) -> None:
        """Opens every file.

        Raises:
            UsageError: one is missing, or does not fit the description.
        """
        _ = self.units, self.maps, self.sample, self.sample_images, self.ids(self.skipped[:1].tolist())
        for name in self.histograms:
            self.histogram(name, self.info.units - 1)

    @property
    def histograms(self) -> list[HistogramName]:
        """Names of the histograms that there are."""
        stored: dict[HistogramName, bool] = {"map": self.info.has_map, "activation": self.info.images > SAMPLE}
        return [name for name, there in stored.items() if there]

    def array(self, name: str, kind: DTypeLike, shape: tuple[int | None, ...]) -> NDArray[Any]:
        """Opens one of the arrays, memory-mapped; it stays open.

        Raises:
            UsageError: it is missing, a link, of another type or shape, or cut short.
        """
        if name not in self._arrays:
            try:
                self._arrays[name] = open_array(self.folder / f"{name}.npy", kind, shape)
            except UNREADABLE as error:
                raise self._broken(f"{name}.npy", reason(error)) from error
        return self._arrays[name]

    def _broken(self, file: str, why: str) -> UsageError:
        return UsageError(f"{self.folder / file} cannot be used: {why}; build the index again")


@dataclass(frozen=True)
class Unit:
    """One unit of an index.

    Attributes:
        layer: Where it is read from.
        number: Its number in the layer.
        row: Its record.
    """

    layer: LayerIndex
    number: int
    row: np.void

    @property
    def label(self) -> str:
        """Its name, or its number where it has none."""
        labels = self.layer.info.labels
        return labels[self.number] if labels else str(self.number)

    @property
    def values(self) -> NDArray[np.float32]:
        """Activations on the exemplars, highest first."""
        values: NDArray[np.float32] = self.row["values"][: self._count]
        return values

    @property
    def places(self) -> NDArray[np.int64]:
        """The exemplars' places in the data set."""
        places: NDArray[np.int64] = self.row["places"][: self._count]
        return places

    @property
    def positions(self) -> list[tuple[int, int] | None]:
        """Row and column of the map's maximum on each exemplar; None without a map."""
        if not self.layer.info.has_map:
            return [None] * self._count
        columns = self.layer.info.shape[2]
        return [divmod(int(position), columns) for position in self.row["positions"][: self._count]]

    @property
    def sample(self) -> NDArray[np.float32]:
        """Activations on the uniform sample, in the order of `LayerIndex.sample_images`."""
        return np.asarray(self.layer.sample[self.number])

    def ids(self) -> list[str]:
        """Returns the exemplars' ids."""
        return self.layer.ids(self.places.tolist())

    def map(self, rank: int) -> NDArray[np.float32] | None:
        """Returns the unit's map on an exemplar, float32 of shape (rows, columns); None where none is kept."""
        maps = self.layer.maps
        if maps is None or rank >= self.layer.info.mapped:
            return None
        return decoded(np.asarray(maps[self.number, rank]), self.row["lows"][rank], self.row["values"][rank])

    def threshold(self, quantile: float) -> float | None:
        """Returns the quantile of the unit's map over all images; None for a unit without a map.

        It stays below the unit's greatest value: a unit that often reaches its ceiling (6 after ReLU6) has it as its
        quantile, and no value would exceed it; its masks would be dark where it is most active. A unit that never
        changes, or so little that all its values share a bin, has dark masks.
        """
        if not self.layer.info.has_map:
            return None
        counted = self.layer.histogram("map", self.number)
        if len(counted.bins) < 2:
            return counted.high
        return min(counted.quantile(quantile), counted.high - CEILING * (counted.high - counted.low))

    def threshold_error(self, quantile: float) -> tuple[float, float]:
        """Bounds a threshold's error: of its value, as a fraction of it; and of its rank, see `sampling.rank_error`."""
        info = self.layer.info
        return RELATIVE, rank_error(info.count, info.positions, info.looked, quantile)

    def statistics(self, quantile: float) -> UnitStatistics:
        """Returns the unit's statistics, with the `quantile` of its map as the threshold of its masks."""
        info, row = self.layer.info, self.row
        return UnitStatistics(
            dataset=info.dataset,
            count=info.count,
            skipped=info.skipped,
            mean=float(row["mean"]),
            std=math.sqrt(max(float(row["squares"]), 0) / info.count),
            quantiles=tuple(map(float, row["quantiles"])),
            threshold=self.threshold(quantile),
            threshold_quantile=quantile if info.has_map else None,
        )

    @property
    def _count(self) -> int:
        return int((self.row["places"] >= 0).sum())


def folder_name(layer: str) -> str:
    """Returns the name of a layer's folder."""
    name = quote(layer, safe="")
    return name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}~{content_id(layer.encode())}"
