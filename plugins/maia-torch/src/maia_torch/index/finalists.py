"""Which images a ranking in a faster precision leaves open, so that the exact exemplars can be told.

A fast pass gives each unit `b` instead of its activation `a` on every image, and its candidates: the images with the
highest `b`. How far the two are apart is measured: on `CALIBRATION` images spread over the data set, and on every
finalist. The margin of a unit is `SIGMAS` times the root mean square of what was measured, the larger of the two (the
error is often larger where the activation is). An image whose `b`, with the margin added, stays below the k-th best
activation that is known exactly cannot be an exemplar. All others among the candidates are measured; and where the
lowest candidate itself is not below, the ranking cannot tell, and the layer is measured as a whole.

A unit that is off (exactly zero, as after a rectifier) on its lowest candidates has a margin of its own there: what was
measured of images that the fast pass saw at zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from maia_torch.index.topk import NOWHERE, TopK

CALIBRATION = 64
"""Images on which the faster pass is compared with the exact one."""

SIGMAS = 6.0

CANDIDATES = 8
"""How many times as many candidates as exemplars are kept."""

Arrays = dict[str, NDArray[Any]]


class Candidates:
    """The candidates of one layer's units: what the fast pass saw, what the exact one measured, how they differ.

    Attributes:
        places: Places of the candidates, int64 of shape (units, candidates); NOWHERE in empty slots.
        fast: What the fast pass saw of them, float32 of the same shape.
    """

    def __init__(self, units: int, size: int, saved: Arrays | None = None) -> None:
        """Begins, or goes on where it was saved.

        Args:
            units: Units of the layer.
            size: Candidates of each unit.
            saved: What `arrays` returned.
        """
        self._top = TopK.empty(units, size) if saved is None else TopK(saved["values"], saved["places"])
        self._exact = np.full((units, size), np.nan, np.float32) if saved is None else saved["exact"]
        # Sum of squared errors, number of pairs, sum of squared errors where the fast pass saw zero.
        self._errors = np.zeros((3, units)) if saved is None else saved["errors"]
        self._by_place: tuple[NDArray[np.int64], NDArray[np.intp]] | None = None

    @property
    def places(self) -> NDArray[np.int64]:
        return self._top.places

    @property
    def fast(self) -> NDArray[np.float32]:
        return self._top.values

    def arrays(self) -> Arrays:
        """Returns all that is kept."""
        return {"values": self.fast, "places": self.places, "exact": self._exact, "errors": self._errors}

    def offer(self, places: NDArray[np.int64], found: NDArray[np.float32]) -> None:
        """Takes what the fast pass saw on a batch: float32 of shape (images, units)."""
        self._top.offer(places, found)

    def compare(self, fast: NDArray[np.float32], exact: NDArray[np.float32]) -> None:
        """Takes a batch of the calibration, measured both ways."""
        squares = np.square(fast.astype(np.float64) - exact)
        self._errors += np.stack(
            [squares.sum(axis=0), np.full(fast.shape[1], len(fast)), (squares * (fast == 0)).sum(axis=0)]
        )

    def first(self) -> NDArray[np.int64]:
        """Returns the place of each unit's highest candidate."""
        return np.take_along_axis(self.places, self._top.order()[:, :1], 1)[:, 0]

    def measured(self, places: NDArray[np.int64], found: NDArray[np.float32]) -> None:
        """Takes the exact activations on some images: float32 of shape (images, units)."""
        if self._by_place is None:  # Nothing is offered any more.
            flat = self.places.ravel()
            order = np.argsort(flat, kind="stable")
            self._by_place = flat[order], order
        known, order = self._by_place
        for place, values in zip(places, found, strict=True):
            first, last = np.searchsorted(known, (place, place + 1))
            unit, slot = np.divmod(order[first:last], self.places.shape[1])
            self._exact[unit, slot] = values[unit]

    def known(self) -> NDArray[np.int64]:
        """Returns places of candidates that were measured exactly; some of them several times."""
        return self.places[~np.isnan(self._exact)]

    @property
    def error(self) -> NDArray[np.float64]:
        """Root mean square of each unit's error: on the calibration or on the finalists, the larger."""
        squares = self._squares()
        pairs = (~np.isnan(self._exact)).sum(axis=1)
        top = squares.sum(axis=1) / np.maximum(pairs, 1)
        found: NDArray[np.float64] = np.sqrt(np.maximum(top, self._errors[0] / np.maximum(self._errors[1], 1)))
        return found

    def open(self, best: TopK) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Says what must be measured still.

        Args:
            best: What is known exactly.

        Returns:
            Which candidates, bool of shape (units, candidates), and of which units the candidates are too few, bool of
            shape (units,).
        """
        there = self.places != NOWHERE
        unknown = there & np.isnan(self._exact)
        k = best.values.shape[1]
        first = np.zeros_like(there)
        np.put_along_axis(first, self._top.order()[:, :k], True, axis=1)
        worst, worst_place = best.worst[:, None], best.worst_place[:, None]
        loses = (self.fast < worst) | ((self.fast == worst) & (self.places >= worst_place))
        margin = SIGMAS * self.error[:, None]
        sure = self._sure(self.fast)
        reaches = np.where(sure, ~loses, self.fast + margin >= worst)
        wanted = unknown & np.where(np.isneginf(worst), first, reaches)

        lowest = self._top.worst[:, None]
        reaches_beyond = np.where(self._sure(lowest), lowest > worst, lowest + margin >= worst)
        return wanted, there.all(axis=1) & reaches_beyond[:, 0]

    def _sure(self, fast: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Says where nothing was ever missed: there the fast pass ranks as the exact one, equal values by place."""
        missed_at_zero = self._errors[2] + (self._squares() * (self.fast == 0)).sum(axis=1)
        found: NDArray[np.bool_] = (self.error == 0)[:, None] | ((fast == 0) & (missed_at_zero == 0)[:, None])
        return found

    def _squares(self) -> NDArray[np.float64]:
        """Squared errors of the finalists, 0 where the exact activation is not known."""
        missed = self.fast.astype(np.float64) - self._exact
        return np.where(np.isnan(self._exact), 0.0, np.square(missed))
