"""Ranking images in a faster precision: which of them must be measured exactly, and whether that saves time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from maia_exemplars import passes
from maia_exemplars.checkpoint import parts
from maia_exemplars.finalists import CALIBRATION, CANDIDATES, Arrays, Candidates
from maia_exemplars.measured import MeasuredLayer, Measurer, Values
from maia_exemplars.measures import LayerMeasures
from maia_exemplars.reading import Batch

EXPECTED = 2.3
"""Finalists of a unit for each of its exemplars, as seen with real networks."""


class Ranking:
    """The candidates of all layers, found by a faster copy of the network."""

    def __init__(
        self, layers: Sequence[MeasuredLayer], k: int, images: int, batch: int, saved: Arrays | None = None
    ) -> None:
        """Starts, or resumes where it was saved.

        Args:
            layers: The layers.
            k: Exemplars per unit.
            images: Number of images to rank.
            batch: Images per forward pass.
            saved: The result of `arrays`.
        """
        self._k, self._images, self._parts = k, images, max(1, CALIBRATION // batch)
        self.candidates = [
            Candidates(layer.units, CANDIDATES * k, parts(saved, str(number))) for number, layer in enumerate(layers)
        ]
        self._calibrated = np.empty(0, np.int64) if saved is None else saved["calibrated"]

    def arrays(self) -> Arrays:
        """Returns all that is kept."""
        every = enumerate(self.candidates)
        arrays = {f"{number}/{name}": array for number, one in every for name, array in one.arrays().items()}
        return arrays | {"calibrated": self._calibrated}

    def rank(
        self, fast: Measurer, exact: Measurer, batch: Batch, done: tuple[int, int], measures: Sequence[LayerMeasures]
    ) -> None:
        """Runs a batch in the faster precision, and compares it on a few batches with the exact one.

        Args:
            fast: The faster copy.
            exact: The network.
            batch: The images.
            done: How many images, unreadable ones among them, are done before and after this batch.
            measures: Their statistics take the values of the faster copy, their exemplars those of the network; no
                image that is `measured` is added again.
        """

        def rank(layer: int, images: NDArray[np.int64], highest: NDArray[np.float32], values: Values) -> None:
            measures[layer].statistics.add(fast, images, highest, values)

        def compare(layer: int, images: NDArray[np.int64], highest: NDArray[np.float32], values: Values) -> None:
            measures[layer].best.add(exact, images, highest, values)

        ranked = passes.maxima(fast, batch, rank)
        compared: list[NDArray[np.float32]] | list[None] = [None] * len(ranked)
        before, after = done
        if before == 0 or self._part(before) < self._part(after):
            compared = passes.maxima(exact, batch, compare)
            self._calibrated = np.append(self._calibrated, batch.images)
        for candidates, maxima, exactly in zip(self.candidates, ranked, compared, strict=True):
            candidates.offer(batch.images, maxima, exactly)

    def pilot(self) -> int:
        """Returns after how many images `share` can be asked."""
        return int(self._images / (EXPECTED * self._k))

    def share(self, seen: int) -> float:
        """Estimates which part of all images will have to be measured exactly, after the pilot.

        Of n images ranked, those that are the highest of some unit are to n as those among the highest m of some unit
        are to n * m images, if nothing changes with the place in the data set.
        """
        highest = np.concatenate([candidates.first() for candidates in self.candidates])
        return len(np.unique(highest)) / max(seen, 1)

    def open(self, measures: Sequence[LayerMeasures]) -> tuple[NDArray[np.int64], dict[str, int]]:
        """Returns the images that must still be measured exactly.

        Returns:
            Their numbers, ascending, and, once there are none, how many units of which layers the ranking cannot
            decide.
        """
        images: list[NDArray[np.int64]] = []
        undecided: dict[str, int] = {}
        for candidates, measured in zip(self.candidates, measures, strict=True):
            close, beyond = candidates.open(measured.best.top)
            images.append(candidates.places[close])
            if beyond.any():
                undecided[measured.layer.layer] = int(beyond.sum())
        rest = np.unique(np.concatenate(images))
        return rest, {} if len(rest) else undecided

    def measured(self) -> NDArray[np.int64]:
        """Returns the places of all images that were measured exactly, ascending."""
        finalists = [candidates.known() for candidates in self.candidates]
        return np.unique(np.concatenate([self._calibrated, *finalists]))

    def _part(self, done: int) -> int:
        return done * self._parts // max(self._images, 1)
