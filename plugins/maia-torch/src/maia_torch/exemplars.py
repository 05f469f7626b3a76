"""Exemplars, thresholds and statistics of a layer's units, from the index of the layer, which is built if need be."""

from __future__ import annotations

import tempfile
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from maia_core.plugin import Dataset, Exemplar, RunError, System, UnitStatistics, UsageError, content_id
from maia_torch.index import pictures
from maia_torch.index.folder import cache_folder, folders
from maia_torch.index.layer import EXEMPLARS, LayerIndex, folder_name
from maia_torch.layers import Layer
from maia_torch.unit import TorchUnit

if TYPE_CHECKING:
    from maia_torch.model import TorchModel

NAMED = 5
"""Unreadable images that a warning names."""


class LayerExemplars:
    """The `maia_core.protocols.ExemplarSource` of a layer's units on one data set.

    Reads the index that `maia exemplars build` made; where there is none, the layer's is built when a unit first needs
    it, and kept in the cache of the model's run. Without a run it lasts as long as the object.
    """

    def __init__(self, model: TorchModel, layer: Layer, dataset: Dataset) -> None:
        self._model = model
        self._layer = layer
        self._dataset = dataset
        self._index: LayerIndex | None = None
        self._lock = threading.Lock()

    def exemplars(self, system: System, k: int) -> tuple[list[Exemplar], UnitStatistics]:
        """See `maia_core.protocols.ExemplarSource`; `system` is a unit of this layer."""
        unit = self._unit(system)
        found = self._opened(k).unit(unit.index)
        images = [self._dataset[int(place)] for place in found.places[: max(k, 0)]]
        masked = images
        if self._layer.has_map:
            masked = pictures.masked(found, images, self._model.preprocess, self._model.quantile)
            masked += unit.neuron(images[len(masked) :])[1]
        exemplars = [Exemplar(float(value), image) for value, image in zip(found.values, masked, strict=False)]
        return exemplars, found.statistics(self._model.quantile)

    def statistics(self, unit: TorchUnit) -> UnitStatistics:
        """Returns a unit's statistics over the data set, its masks' threshold among them."""
        return self._opened(1).unit(unit.index).statistics(self._model.quantile)

    def _unit(self, system: System) -> TorchUnit:
        if isinstance(system, TorchUnit) and system.model is self._model and system.layer.key == self._layer.key:
            return system
        raise UsageError(
            f"these are exemplars of units of {self._model.name}:{self._layer.name}, not of {system.info.ref}"
        )

    # --- the index ---

    def _opened(self, k: int) -> LayerIndex:
        """Returns an index with at least `k` exemplars."""
        with self._lock:
            if self._index is None or self._index.sheet.k < min(k, len(self._dataset)):
                first = self._index is None
                self._index = self._known(k) or self._built(max(EXEMPLARS, 1 << (k - 1).bit_length()))
                if first and self._index.sheet.skipped:
                    self._model.warn(_skipped(self._index))
            return self._index

    def _known(self, k: int) -> LayerIndex | None:
        """Returns an index that is there already; None where there is none that can be used.

        One that cannot be used (torn, of an earlier version) is made again without a word: a run's record must not
        depend on what a cache held.
        """
        if self._model.context is None:
            return None
        for folder in folders(self._model.context.cache, self._model.fingerprint, self._dataset.fingerprint):
            found = folder / folder_name(self._layer.name)
            if not found.exists():
                continue
            try:
                index = LayerIndex(found)
                if self._fits(index, k):
                    index.check()
                    return index
            except UsageError:
                continue
        return None

    def _fits(self, index: LayerIndex, k: int) -> bool:
        sheet = index.sheet
        return (
            sheet.complete
            and sheet.k >= min(k, sheet.images)
            and sheet.model_fingerprint == self._model.fingerprint
            and (sheet.key, sheet.shape) == (self._layer.key, self._layer.info.shape)
            and (sheet.dataset_fingerprint, sheet.images) == (self._dataset.fingerprint, len(self._dataset))
        )

    def _built(self, k: int) -> LayerIndex:
        context = self._model.context
        if context is not None:
            folder = cache_folder(context.cache, self._model.fingerprint, self._dataset.fingerprint)
            try:
                return self._built_in(folder, k)
            except (OSError, RunError) as error:
                if isinstance(error, RunError) and not isinstance(error.__cause__, OSError):
                    raise
                context.warn(f"the exemplars of layer {self._layer.name} cannot be kept: {error}")
        folder = Path(tempfile.mkdtemp(prefix="maia-exemplars-"))
        weakref.finalize(self, _remove, folder)
        return self._built_in(folder, k)

    def _built_in(self, folder: Path, k: int) -> LayerIndex:
        from maia_torch.index.build import build
        from maia_torch.index.options import Options

        work = folder / f".building-{content_id(f'{self._layer.key} {k}'.encode())[:12]}"
        build(
            self._model,
            [self._layer],
            self._dataset,
            folder,
            Options(k=k, unattended=True),
            work=work,
            needless=lambda: self._known(k) is not None,
            warn=self._model.warn,
        )
        return LayerIndex(folder / folder_name(self._layer.name))


def _skipped(index: LayerIndex) -> str:
    skipped, dataset = index.sheet.skipped, index.sheet.dataset
    named = ", ".join(index.ids(index.skipped[:NAMED].tolist()))
    return f"{skipped} images of {dataset} cannot be read and were skipped: {named}{', ...' if skipped > NAMED else ''}"


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
