"""Exemplars, thresholds and statistics of a layer's units, from the index of the layer, which is built if need be."""

from __future__ import annotations

import base64
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from pydantic import JsonValue

from maia_core.plugin import Dataset, Exemplar, RunError, System, UnitStatistics, UsageError, content_id
from maia_exemplars import pictures
from maia_exemplars.build import build
from maia_exemplars.folder import cache_folder, folders
from maia_exemplars.info import DEFAULT_K
from maia_exemplars.layer import LayerIndex, folder_name
from maia_exemplars.measured import MeasuredLayer, Measurer
from maia_exemplars.options import Options
from maia_exemplars.recheck import disagreement

MAX_MAP = 32
"""Longest side of a map that a record holds."""

MAX_NAMED = 5
"""Unreadable images that a warning names at most."""


class IndexedUnit(System, Protocol):
    """A unit whose exemplars an index can serve.

    Attributes:
        measured: The description of its layer, as in `Measurer.layers`.
        index: Its number in the layer.
    """

    measured: MeasuredLayer
    index: int


class LayerExemplars:
    """The `maia_core.protocols.ExemplarSource` of a layer's units on one data set.

    Reads the index that `maia exemplars build` made. Where there is none, it builds the layer's index when a unit first
    needs it, in the cache folder; without a cache folder the index lasts as long as the object.
    """

    def __init__(
        self,
        measurer: Measurer,
        dataset: Dataset,
        *,
        cache: Path | None,
        quantile: float,
        warn: Callable[[str], None],
    ) -> None:
        """Opens nothing yet.

        Args:
            measurer: Measures the layer, and no other.
            dataset: The images.
            cache: The run's cache folder; None: no run.
            quantile: Quantile of a unit's map that is the threshold of its masks.
            warn: Called with anything that the user must know.
        """
        self._measurer, self._layer = measurer, measurer.layers[0]
        self._dataset, self._cache, self._quantile, self._warn = dataset, cache, quantile, warn
        self._index: LayerIndex | None = None
        self._agreeing: set[tuple[Path, int]] = set()
        self._refused: set[Path] = set()
        self._lock = threading.Lock()

    def exemplars(self, system: System, k: int) -> tuple[list[Exemplar], UnitStatistics]:
        """See `maia_core.protocols.ExemplarSource`; `system` is an `IndexedUnit` of this layer."""
        number = self._number(system)
        unit = self._opened(k, number).unit(number)
        images = [self._dataset[int(place)] for place in unit.places[: max(k, 0)]]
        masked = images
        if self._layer.has_map:
            masked = pictures.masked(unit, images, self._measurer.preprocess, self._quantile)
            if rest := images[len(masked) :]:
                masked += system.neuron(rest)[1]
        exemplars = [Exemplar(float(value), image) for value, image in zip(unit.values, masked, strict=False)]
        return exemplars, unit.statistics(self._quantile)

    def maps(self, system: System, exemplars: Sequence[Exemplar]) -> dict[str, JsonValue]:
        """Returns the unit's map on its first exemplars, by the id of the clean image, as far as the index holds maps.

        Args:
            system: An `IndexedUnit` of this layer.
            exemplars: What `exemplars` returned.

        Returns:
            Of each map: `shape`, at most `MAX_MAP` rows and columns; `levels`, the values from 0 (lowest) to 255
            (highest) as bytes in base64; `box`, the part of the image that it covers: left, top, right, bottom.
        """
        number = self._number(system)
        unit = self._opened(1, number).unit(number)
        found: dict[str, JsonValue] = {}
        for rank, (_, image) in enumerate(exemplars):
            if (values := unit.map(rank)) is None:
                break
            box = self._measurer.preprocess.box(image.width, image.height)
            found[(image.clean or image).id] = {"box": [round(float(edge), 1) for edge in box], **_levels(values)}
        return found

    def statistics(self, number: int) -> UnitStatistics:
        """Returns the statistics of a unit over the data set, its masks' threshold among them."""
        return self._opened(1, number).unit(number).statistics(self._quantile)

    def is_known(self) -> bool:
        """Returns whether the layer was measured before: here, or in an index of the cache."""
        with self._lock:
            return self._index is not None or self._existing(1, 0) is not None

    def inactive(self) -> NDArray[np.bool_]:
        """Returns which units respond alike to all images of the data set: bool of shape (units,)."""
        quantiles = self._opened(1, 0).units["quantiles"]
        return np.asarray((quantiles[:, -1] <= 0) | (quantiles[:, 0] == quantiles[:, -1]))

    def _number(self, system: System) -> int:
        number: int | None = getattr(system, "index", None)
        if number is None or getattr(system, "measured", None) != self._layer:
            raise UsageError(
                f"these are exemplars of units of {self._layer.model}:{self._layer.layer}, not of {system.info.ref}"
            )
        return number

    # --- the index ---

    def _opened(self, k: int, unit: int) -> LayerIndex:
        """Returns an index with at least `k` exemplars, which agrees with the model about a unit."""
        with self._lock:
            index, first = self._index, self._index is None
            if index is None or index.info.k < min(k, len(self._dataset)) or not self._agrees(index, unit):
                index = self._existing(k, unit) or self._built(max(DEFAULT_K, 1 << (k - 1).bit_length()), unit)
                self._index = index
                if first and index.info.skipped:
                    self._warn(_skipped(index))
            return index

    def _existing(self, k: int, unit: int) -> LayerIndex | None:
        """Returns an index from the cache; None where there is none that can be used.

        An unusable one (torn, of an earlier version) is built again without a warning: a run's record must not depend
        on the content of a cache.
        """
        if self._cache is None:
            return None
        for folder in folders(self._cache, self._layer.model_fingerprint, self._dataset.fingerprint):
            path = folder / folder_name(self._layer.layer)
            if not path.exists() or path in self._refused:
                continue
            try:
                index = LayerIndex(path)
                if self._fits(index, k):
                    index.check()
                    if self._agrees(index, unit):
                        return index
            except UsageError:
                continue
        return None

    def _agrees(self, index: LayerIndex, unit: int) -> bool:
        """Returns whether the unit's exemplars have the values of the index; they are measured again once."""
        if (index.folder, unit) not in self._agreeing:
            if fault := disagreement(index, self._measurer, self._dataset, [unit]):
                self._refused.add(index.folder)
                self._warn(
                    f"the exemplars of layer {self._layer.layer} in {index.folder} are of another network with the "
                    f"fingerprint of this one ({fault}): the layer is measured again"
                )
                return False
            self._agreeing.add((index.folder, unit))
        return True

    def _fits(self, index: LayerIndex, k: int) -> bool:
        info, layer = index.info, self._layer
        return (
            info.complete
            and info.k >= min(k, info.images)
            and (info.model_fingerprint, info.key, info.shape) == (layer.model_fingerprint, layer.key, layer.shape)
            and (info.dataset_fingerprint, info.images) == (self._dataset.fingerprint, len(self._dataset))
        )

    def _built(self, k: int, unit: int) -> LayerIndex:
        if self._cache is not None:
            folder = cache_folder(self._cache, self._layer.model_fingerprint, self._dataset.fingerprint)
            try:
                return self._built_in(folder, k, unit)
            except (OSError, RunError) as error:
                if isinstance(error, RunError) and not isinstance(error.__cause__, OSError):
                    raise
                self._warn(f"the exemplars of layer {self._layer.layer} cannot be cached: {error}")
        folder = Path(tempfile.mkdtemp(prefix="maia-exemplars-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return self._built_in(folder, k, unit)

    def _built_in(self, folder: Path, k: int, unit: int) -> LayerIndex:
        path = folder / folder_name(self._layer.layer)
        build(
            self._measurer,
            self._dataset,
            folder,
            Options(k=k, unattended=True),
            work=folder / f".building-{content_id(f'{self._layer.key} {k}'.encode())[:12]}",
            is_done=lambda: self._existing(k, unit) is not None,
            warn=self._warn,
        )
        self._refused.discard(path)
        index = LayerIndex(path)
        self._agreeing |= {(path, number) for number in range(index.info.units)}
        return index


def _levels(values: NDArray[np.float32]) -> dict[str, JsonValue]:
    low, high = float(values.min()), float(values.max())
    levels = PILImage.fromarray(((values - low) * (255 / (high - low or 1.0))).astype(np.uint8))
    levels.thumbnail((MAX_MAP, MAX_MAP), PILImage.Resampling.BOX)
    text = base64.b64encode(levels.tobytes()).decode()
    return {"shape": [levels.height, levels.width], "levels": text}


def _skipped(index: LayerIndex) -> str:
    skipped, dataset = index.info.skipped, index.info.dataset
    names = ", ".join(index.ids(index.skipped[:MAX_NAMED].tolist()))
    more = ", ..." if skipped > MAX_NAMED else ""
    return f"{skipped} images of {dataset} cannot be read or measured and were skipped: {names}{more}"
