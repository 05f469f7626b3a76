"""One layer of an index on disk: which files it has, and how one unit is read from them. Imports no torch.

    sheet.json         what was measured, of what (`Sheet`)
    units.npy          one record a unit (`record`): exemplars, moments, quantiles
    maps.npy           the units' maps on their first exemplars, see `maps.py`; missing where none are kept
    sample.npy         activations on the uniform sample, float32 of shape (units, sampled)
    sample_places.npy  the sample's places in the data set, ascending
    map_bins.npy, map_counts.npy                 histograms of the maps' values, unit after unit, see `histogram.py`
    activation_bins.npy, activation_counts.npy   likewise of activations; missing where the sample is the whole data set
    id_places.npy, id_ends.npy, id_letters.npy   ids of the images that are named above, by place, in UTF-8
    skipped.npy        places of the images that could not be read

All arrays are plain `.npy` files. A unit is read by its offset in them: the time does not depend on how many there are.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import numpy as np
from numpy.typing import DTypeLike, NDArray
from pydantic import Field, JsonValue, ValidationError

from maia_core.plugin import QUANTILES, Data, UnitStatistics, UsageError, content_id, one_line
from maia_torch.index.histogram import BINS, RELATIVE, Histogram
from maia_torch.index.maps import decoded, mapped
from maia_torch.index.sampling import SAMPLE, rank_error

SHEET = "sheet.json"

EXEMPLARS = 32
"""Exemplars of a unit that are kept. The paper shows 15; an answer is tested on those that follow."""

CEILING = 1e-4
"""How far below a unit's greatest value a threshold stays, as a fraction of it: see `Unit.threshold`."""

LARGEST_SHEET = 16 * 2**20
"""Bytes of a sheet that is read at most."""

LONGEST = 150
"""Letters of a layer's name in the name of its folder; of a longer one a hash is added."""

HistogramName = Literal["map", "activation"]

Range = tuple[int, int]
"""Places of a data set, the first and the one after the last."""


class Sheet(Data):
    """What a layer's files hold.

    Attributes:
        version: Counts the changes of what the files mean: those of another version are not read.
        model: Name of the model.
        model_fingerprint: Of its weights, its architecture and its preprocessing.
        layer: Name of the layer.
        key: What tells its values from those of any other layer of the model.
        dataset: Name of the data set.
        dataset_fingerprint: Of its images and their order.
        images: How many images the data set has.
        shape: Shape of one image's values: (units, rows, columns), or (units,).
        kind: As in `maia_core.types.LayerInfo`.
        k: Exemplars of each unit.
        looked: Positions of each image's map that were counted.
        sampled: Images of the sample that could be read.
        ranges: Places of the images that were measured, ascending.
        count: Images measured.
        skipped: Images that could not be read.
        fast: The floating point type in which statistics were measured where it was a faster one than the network's;
            exemplars are measured in the network's own in any case.
        labels: Names of the units where they have some.
        preprocessing: Fields of the `maia_torch.Preprocessing`.
        options: Options of the model that are not its defaults (`weights`); None where they are not known.
        made_with: Versions of what made it.
    """

    version: Literal[1] = 1
    model: str
    model_fingerprint: str
    layer: str
    key: str
    dataset: str
    dataset_fingerprint: str
    images: int = Field(gt=0)
    shape: tuple[int, ...] = Field(min_length=1, max_length=3)
    kind: str = ""
    k: int = Field(gt=0)
    looked: int = Field(gt=0)
    sampled: int = Field(ge=0)
    ranges: tuple[Range, ...]
    count: int = Field(ge=0)
    skipped: int = Field(ge=0)
    fast: str = ""
    labels: tuple[str, ...] = ()
    preprocessing: dict[str, JsonValue] = Field(default_factory=dict)
    options: dict[str, JsonValue] | None = None
    made_with: dict[str, str] = Field(default_factory=dict)

    @property
    def units(self) -> int:
        """How many units the layer has."""
        return self.shape[0]

    @property
    def has_map(self) -> bool:
        """True if a unit has a spatial map."""
        return len(self.shape) == 3

    @property
    def positions(self) -> int:
        """Positions of a unit's map; 1 without a map."""
        return math.prod(self.shape[1:])

    @property
    def complete(self) -> bool:
        """True if the whole data set was measured, not a part of it."""
        return self.ranges == ((0, self.images),)

    @property
    def mapped(self) -> int:
        """On how many of its exemplars, the first ones, each unit's map is kept."""
        return mapped(self.units, self.k, self.shape[1:]) if self.has_map else 0


def record(k: int) -> np.dtype[np.void]:
    """Returns the type of a unit's record.

    `places` and `values` are the exemplars, best first (place -1: there are fewer); `positions` where in the flattened
    map the maximum lies; `lows` the map's least value. `mean`, `squares` (sum of squared differences from the mean) and
    `quantiles` are the activation's. `NAME_top`, `NAME_high` and `NAME_end` (of its bins in the files)
    describe a histogram. `error` is the root mean square of what the faster pass missed; 0 without one.
    """
    histogram = [("top", "<i4"), ("high", "<f4"), ("end", "<i8")]
    return np.dtype(
        [
            *(("places", "<i8", (k,)), ("values", "<f4", (k,)), ("positions", "<i4", (k,)), ("lows", "<f4", (k,))),
            *(("mean", "<f8"), ("squares", "<f8"), ("quantiles", "<f8", (len(QUANTILES),)), ("error", "<f4")),
            *((f"{name}_{field}", kind) for name in ("map", "activation") for field, kind in histogram),
        ]
    )


class LayerIndex:
    """A layer's files, opened for reading.

    Attributes:
        folder: Where they are.
        sheet: What they hold.
    """

    def __init__(self, folder: Path) -> None:
        """Reads the sheet.

        Raises:
            UsageError: there is none, or it cannot be used.
        """
        self.folder = folder
        self._arrays: dict[str, NDArray[Any]] = {}
        try:
            self.sheet = Sheet.model_validate_json(_read(folder / SHEET, LARGEST_SHEET))
        except FileNotFoundError as error:
            raise UsageError(f"{folder} holds no layer of an exemplar index") from error
        except (ValidationError, ValueError, OSError) as error:
            raise UsageError(f"{folder / SHEET} cannot be used: {_first_line(error)}; build the index anew") from error

    def unit(self, number: int) -> Unit:
        """Reads one unit.

        Raises:
            UsageError: there is no such unit, no image was readable, or a file is broken.
        """
        if not self.sheet.count:
            raise UsageError(
                f"no image of {self.folder} could be read, so it has no exemplars: join it (maia exemplars merge) with "
                "the other parts of the data set"
            )
        if not 0 <= number < self.sheet.units:
            raise UsageError(
                f"unit {number} of layer {self.sheet.layer} does not exist: it has units 0 to {self.sheet.units - 1}"
            )
        return Unit(self, number, self.units[number])

    @property
    def units(self) -> NDArray[np.void]:
        """All units' records."""
        return self.array("units", record(self.sheet.k), (self.sheet.units,))

    @property
    def sample_places(self) -> NDArray[np.int64]:
        """Places of the sample's images in the data set, ascending: int64 of shape (sampled,)."""
        return self.array("sample_places", np.int64, (self.sheet.sampled,))

    @property
    def sample(self) -> NDArray[np.float32]:
        """Activations on the sample, float32 of shape (units, sampled): a matrix of all units on the same images."""
        return self.array("sample", np.float32, (self.sheet.units, self.sheet.sampled))

    @property
    def maps(self) -> NDArray[np.uint16] | None:
        """The units' maps on their first exemplars, see `maia_torch.index.maps`; None where they are not kept."""
        if not self.sheet.mapped:
            return None
        return self.array("maps", np.uint16, (self.sheet.units, self.sheet.mapped, *self.sheet.shape[1:]))

    @property
    def skipped(self) -> NDArray[np.int64]:
        """Places of the images that could not be read."""
        return self.array("skipped", np.int64, (self.sheet.skipped,))

    def ids(self, places: Sequence[int]) -> list[str]:
        """Returns the ids of exemplars, of images of the sample, or of skipped ones."""
        known = self.array("id_places", np.int64, (None,))
        ends = self.array("id_ends", np.int64, known.shape)
        letters = self.array("id_letters", np.uint8, (int(ends[-1]) if len(ends) else 0,))
        rows = np.minimum(np.searchsorted(known, places), len(known) - 1)
        if len(places) and (not len(known) or (known[rows] != places).any()):
            raise self._broken("id_places", "an image has no id")
        return [letters[ends[row - 1] if row else 0 : ends[row]].tobytes().decode("utf-8", "replace") for row in rows]

    def histogram(self, name: HistogramName, unit: int) -> Histogram:
        """Reads a unit's histogram; the sheet tells whether there is one."""
        ends = self.units[f"{name}_end"]
        first, last = int(ends[unit - 1]) if unit else 0, int(ends[unit])
        bins = self.array(f"{name}_bins", np.uint16, (None,))
        counts = self.array(f"{name}_counts", np.int32, bins.shape)
        if not 0 <= first <= last <= len(bins):
            raise self._broken("units", "the histograms end nowhere")
        row = self.units[unit]
        if (bins[first:last] >= BINS).any():
            raise self._broken(f"{name}_bins", "it holds bins that there are not")
        return Histogram(bins[first:last], counts[first:last], row[f"{name}_top"].item(), row[f"{name}_high"].item())

    def check(self) -> None:
        """Opens every file.

        Raises:
            UsageError: one is missing, or not what the sheet says.
        """
        _ = self.units, self.maps, self.sample, self.sample_places, self.ids(self.skipped[:1].tolist())
        for name in self.histograms:
            self.histogram(name, self.sheet.units - 1)

    @property
    def histograms(self) -> list[HistogramName]:
        """Names of the histograms that there are."""
        kept: dict[HistogramName, bool] = {"map": self.sheet.has_map, "activation": self.sheet.images > SAMPLE}
        return [name for name, there in kept.items() if there]

    def array(self, name: str, kind: DTypeLike, shape: tuple[int | None, ...]) -> NDArray[Any]:
        """Opens one of the arrays, memory-mapped; it stays open.

        Raises:
            UsageError: it is missing, a link, of another type or shape, or cut short.
        """
        if name in self._arrays:
            return self._arrays[name]
        path = self.folder / f"{name}.npy"
        try:
            with _opened(path) as file:
                found = _mapped(file)
        except (OSError, ValueError, EOFError, TypeError, OverflowError, MemoryError) as error:
            raise self._broken(name, _first_line(error)) from error
        fitting = len(found.shape) == len(shape) and all(
            b in (a, None) for a, b in zip(found.shape, shape, strict=True)
        )
        if found.dtype != np.dtype(kind) or not fitting:
            raise self._broken(name, f"it holds {found.dtype} {found.shape}")
        self._arrays[name] = found
        return found

    def _broken(self, name: str, why: str) -> UsageError:
        return UsageError(f"{self.folder / name}.npy cannot be used: {why}; build the index anew")


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
        labels = self.layer.sheet.labels
        return labels[self.number] if labels else str(self.number)

    @property
    def values(self) -> NDArray[np.float32]:
        """Activations on the exemplars, highest first."""
        found: NDArray[np.float32] = self.row["values"][: self._found]
        return found

    @property
    def places(self) -> NDArray[np.int64]:
        """The exemplars' places in the data set."""
        found: NDArray[np.int64] = self.row["places"][: self._found]
        return found

    @property
    def positions(self) -> list[tuple[int, int] | None]:
        """Row and column of the map's maximum on each exemplar; None without a map."""
        if not self.layer.sheet.has_map:
            return [None] * self._found
        columns = self.layer.sheet.shape[2]
        return [divmod(int(position), columns) for position in self.row["positions"][: self._found]]

    @property
    def sample(self) -> NDArray[np.float32]:
        """Activations on the uniform sample, in the order of `LayerIndex.sample_places`."""
        return np.asarray(self.layer.sample[self.number])

    def ids(self) -> list[str]:
        """Returns the exemplars' ids."""
        return self.layer.ids(self.places.tolist())

    def map(self, rank: int) -> NDArray[np.float32] | None:
        """Returns the unit's map on an exemplar, float32 of shape (rows, columns); None where none is kept."""
        maps = self.layer.maps
        if maps is None or rank >= self.layer.sheet.mapped:
            return None
        return decoded(np.asarray(maps[self.number, rank]), self.row["lows"][rank], self.row["values"][rank])

    def threshold(self, quantile: float) -> float | None:
        """Returns the quantile of the unit's map over all images; None for a unit without a map.

        It stays below the unit's greatest value: a unit that often reaches its ceiling (6 after ReLU6) has it as its
        quantile, and no value would exceed it; its masks would be dark where it is most active. A unit that never
        changes, or so little that all its values share a bin, has dark masks.
        """
        if not self.layer.sheet.has_map:
            return None
        counted = self.layer.histogram("map", self.number)
        if len(counted.bins) < 2:
            return counted.high
        return min(counted.quantile(quantile), counted.high - CEILING * (counted.high - counted.low))

    def threshold_error(self, quantile: float) -> tuple[float, float]:
        """Bounds a threshold's error: of its value, as a fraction of it; and of its rank, see `sampling.rank_error`."""
        sheet = self.layer.sheet
        return RELATIVE, rank_error(sheet.count, sheet.positions, sheet.looked, quantile)

    def statistics(self, quantile: float) -> UnitStatistics:
        """Returns the unit's statistics, with the `quantile` of its map as the threshold of its masks."""
        sheet, row = self.layer.sheet, self.row
        return UnitStatistics(
            dataset=sheet.dataset,
            count=sheet.count,
            skipped=sheet.skipped,
            mean=float(row["mean"]),
            std=math.sqrt(max(float(row["squares"]), 0) / sheet.count),
            quantiles=tuple(map(float, row["quantiles"])),
            threshold=self.threshold(quantile),
            threshold_quantile=quantile if sheet.has_map else None,
        )

    @property
    def _found(self) -> int:
        return int((self.row["places"] >= 0).sum())


def folder_name(layer: str) -> str:
    """Returns the name of a layer's folder."""
    name = quote(layer, safe="")
    return name if len(name) <= LONGEST else f"{name[:LONGEST]}~{content_id(layer.encode())}"


def _opened(path: Path) -> Any:
    """Opens a file for reading, if it is one: no link, no device, no pipe."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path.name} is no ordinary file")
    return os.fdopen(descriptor, "rb")


def _mapped(file: Any) -> NDArray[Any]:
    """Maps an array's file; one that would need pickles is refused."""
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"an array file of version {version}")
    shape, fortran, kind = np.lib.format.read_array_header_1_0(file)
    if kind.hasobject or fortran:
        raise ValueError("an array of objects, or in another order of axes")
    if 0 in shape:
        return np.empty(shape, kind)
    return np.memmap(file, kind, "r", offset=file.tell(), shape=shape)


def _read(path: Path, most: int) -> bytes:
    with _opened(path) as file:
        data: bytes = file.read(most + 1)
    if len(data) > most:
        raise ValueError("it is too large")
    return data


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return error.strerror or one_line(error) if isinstance(error, OSError) else str(error)
