"""Ranking images in a faster precision: which of them must be measured exactly, and whether that saves time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from maia_torch.engine import Engine
from maia_torch.index import passes
from maia_torch.index.finalists import CALIBRATION, CANDIDATES, Arrays, Candidates
from maia_torch.index.measures import Best, Statistics
from maia_torch.index.reading import Batch
from maia_torch.index.state import parts
from maia_torch.index.topk import TopK
from maia_torch.layers import Layer

EXPECTED = 2.3
"""Finalists of a unit for each of its exemplars, as seen with real networks."""


class Ranking:
    """The candidates of all layers, found by a faster copy of the network."""

    def __init__(self, layers: Sequence[Layer], k: int, images: int, batch: int, saved: Arrays | None = None) -> None:
        """Begins, or goes on where it was saved.

        Args:
            layers: The layers.
            k: Exemplars of each unit.
            images: How many images will be ranked.
            batch: Images of one forward pass.
            saved: What `arrays` returned.
        """
        self._k, self._images, self._parts = k, images, max(1, CALIBRATION // batch)
        self.candidates: dict[Layer, Candidates] = {}
        for number, layer in enumerate(layers):
            self.candidates[layer] = Candidates(layer.info.units, CANDIDATES * k, parts(saved, str(number)))
        self._calibrated = np.empty(0, np.int64) if saved is None else saved["calibrated"]

    def arrays(self) -> Arrays:
        """Returns all that is kept."""
        every = enumerate(self.candidates.values())
        kept = {f"{number}/{name}": array for number, one in every for name, array in one.arrays().items()}
        return kept | {"calibrated": self._calibrated}

    def rank(
        self,
        fast: Engine,
        exact: Engine,
        batch: Batch,
        done: tuple[int, int],
        statistics: Mapping[Layer, Statistics],
        best: Mapping[Layer, Best],
    ) -> None:
        """Runs a batch in the faster precision, and on a few batches compares it with the exact one.

        Args:
            fast: The faster copy.
            exact: The network.
            batch: The images.
            done: How many images, unreadable ones among them, are done with before and after this batch.
            statistics: Take what the faster copy gives.
            best: Take what the network gives: of no image again that was `measured`.
        """

        def measure(layer: Layer, places: NDArray[np.int64], highest: NDArray[np.float32], values: Tensor) -> None:
            statistics[layer].add(places, highest, values)

        def compare(layer: Layer, places: NDArray[np.int64], highest: NDArray[np.float32], values: Tensor) -> None:
            best[layer].add(places, highest, values)

        layers = list(self.candidates)
        seen = passes.maxima(fast, batch, layers, measure)
        found: dict[Layer, NDArray[np.float32]] = {}
        before, after = done
        if before == 0 or self._part(before) < self._part(after):
            found = passes.maxima(exact, batch, layers, compare)
            self._calibrated = np.append(self._calibrated, batch.places)
        for layer, candidates in self.candidates.items():
            candidates.offer(batch.places, seen[layer], found.get(layer))

    def pilot(self) -> int:
        """Returns after how many images `share` can be asked."""
        return int(self._images / (EXPECTED * self._k))

    def share(self, seen: int) -> float:
        """Estimates which part of all images will have to be measured exactly, after the pilot.

        Of n images ranked, those that are the highest of some unit are to n as those among the highest m of some unit
        are to n * m images, if nothing changes with the place in the data set.
        """
        highest = np.concatenate([candidates.first() for candidates in self.candidates.values()])
        return len(np.unique(highest)) / max(seen, 1)

    def open(self, best: Mapping[Layer, TopK]) -> tuple[NDArray[np.int64], dict[Layer, int]]:
        """Says what must still be measured exactly.

        Returns:
            Places of images, ascending, and, once there are no more, how many units of which layers the ranking cannot
            decide.
        """
        places: list[NDArray[np.int64]] = []
        undecided: dict[Layer, int] = {}
        for layer, candidates in self.candidates.items():
            wanted, beyond = candidates.open(best[layer])
            places.append(candidates.places[wanted])
            if beyond.any():
                undecided[layer] = int(beyond.sum())
        found = np.unique(np.concatenate(places))
        return found, {} if len(found) else undecided

    def measured(self) -> NDArray[np.int64]:
        """Returns the places of all images that were measured exactly, ascending."""
        finalists = [candidates.known() for candidates in self.candidates.values()]
        return np.unique(np.concatenate([self._calibrated, *finalists]))

    def _part(self, done: int) -> int:
        return done * self._parts // max(self._images, 1)
