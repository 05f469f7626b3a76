"""The exemplars of a unit, from the index of its layer or from its runs, and pictures of them."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from maia_core.plugin import (
    Context,
    Dataset,
    HostCall,
    Image,
    MaiaError,
    RunConfig,
    RunReader,
    UnreadableImage,
    UsageError,
    one_line,
)
from maia_exemplars.layer import LayerIndex, Unit
from maia_exemplars.masks import active
from maia_exemplars.pictures import preprocessing, same_data
from maia_report.maps import ActivationMap
from maia_view.atlas import Atlas
from maia_view.library import Library
from maia_view.units import UnitRow

QUANTILE = 0.99
"""Quantile of a unit's map that is the threshold of its masks, as in a run."""

MAX_EXEMPLARS = 15
"""Exemplars of a unit that its page shows."""


@dataclass(frozen=True)
class Shown:
    """One exemplar.

    Attributes:
        activation: The unit's activation on it.
        image: The image, masked where the unit's map is known.
        name: What the data set calls it; empty for one from a run.
        map: The unit's map; None where it is not known.
    """

    activation: float
    image: Image
    name: str = ""
    map: ActivationMap | None = None


class Exemplars:
    """Finds the exemplars of units. Methods may be called from several threads."""

    def __init__(self, library: Library, config: RunConfig | None = None) -> None:
        """Opens nothing yet.

        Args:
            library: The runs.
            config: Chooses the data set whose images an index names, and the similarity; the defaults where it is None.
        """
        self._library = library
        self.config = config or RunConfig()
        self._lock = threading.Lock()

    @cached_property
    def context(self) -> Context:
        """The parts that the reader's configuration chooses."""
        return Context(self.config)

    @cached_property
    def _dataset(self) -> Dataset | str:
        try:
            return self.context.dataset
        except MaiaError as error:
            return one_line(error)

    def dataset_of(self, index: LayerIndex) -> Dataset:
        """Returns the data set of an index.

        Raises:
            UsageError: the configuration chooses another one; the message says how to choose.
            MaiaError: it cannot be opened.
        """
        with self._lock:
            data = self._dataset
        if isinstance(data, str):
            raise MaiaError(data)
        same_data(index, data)
        return data

    def problem(self, atlas: Atlas) -> str:
        """Says why the images of an index cannot be shown; empty if they can, and for an atlas without an index."""
        if atlas.index is None:
            return ""
        try:
            self.dataset_of(atlas.index)
        except MaiaError as error:
            return one_line(error)
        return ""

    def of(self, atlas: Atlas, row: UnitRow, most: int = MAX_EXEMPLARS) -> list[Shown]:
        """Returns the exemplars of a unit, the highest first; none where neither index nor run has some."""
        if atlas.index is not None and row.number is not None and not self.problem(atlas):
            return self._from_index(atlas.index.unit(row.number), most)
        for run in row.runs:
            if (folder := self._library.find(run.key)) and (found := _from_run(folder.path, most)):
                return found
        return []

    def _from_index(self, unit: Unit, most: int) -> list[Shown]:
        data, threshold = self.dataset_of(unit.layer), unit.threshold(QUANTILE)
        preprocess = None
        with suppress(UsageError):  # Where it was not recorded, images are shown without masks.
            preprocess = preprocessing(unit.layer.info)
        shown: list[Shown] = []
        found = zip(unit.values[:most].tolist(), unit.places[:most].tolist(), unit.ids()[:most], strict=True)
        for rank, (activation, place, name) in enumerate(found):
            try:
                image = data[place]
            except (UnreadableImage, IndexError):
                continue
            unit_map = unit.map(rank)
            if unit_map is None or threshold is None or preprocess is None:
                shown.append(Shown(activation, image, name))
                continue
            box = preprocess.box(image.width, image.height)
            mask = active(unit_map, threshold, image.width, image.height, box)
            shown.append(Shown(activation, image.masked(mask), name, ActivationMap.of(unit_map, box)))
        return shown


def _from_run(folder: Path, most: int) -> list[Shown]:
    try:
        run = RunReader(folder)
    except MaiaError:
        return []
    for call in run.of_type(HostCall):
        if call.effects.kept:
            return [Shown(activation, image) for activation, image in call.effects.kept[:most]]
    return []
