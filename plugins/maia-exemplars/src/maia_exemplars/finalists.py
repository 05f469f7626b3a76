"""Finds the images that a ranking in a faster precision leaves open: measuring them gives the exact exemplars.

A fast pass gives each unit `b` instead of its activation `a` on every image, and its candidates: the images with the
highest `b`. How far the two are apart is measured: on `CALIBRATION` images spread over the data set, and on every
finalist. The margin of a unit is the larger of `SIGMAS` times the root mean square of what was measured (of the
calibration or of the finalists, as the error is often larger where the activation is) and `WIDEST` times the largest
error. An image whose `b`, with the margin added, stays below the k-th best activation that is known exactly is not an
exemplar. All others among the candidates are measured, until none is left within the margin, which widens with every
larger error; and where the lowest candidate itself is within it, the ranking cannot tell, and all images are measured.

A unit that is off (exactly zero, as after a rectifier) on its lowest candidates has a margin of its own there: what was
measured of images that the fast pass saw at zero.

**What remains statistical.** What was measured exactly is never lost. An image that was not is left out because no
error that was seen, at least `CALIBRATION` of them, is half as large as its would have to be (at zero: because none was
seen there at all). A network whose error is huge on a few images, none of which is among those that were measured,
can lose an exemplar; the precision `exact` cannot.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from maia_exemplars.topk import NOWHERE, TopK

CALIBRATION = 64
"""Images on which the faster pass is compared with the exact one."""

SIGMAS = 6.0

WIDEST = 2.0
"""How many times the largest error that was seen the margin is at least: of few pairs, no root mean square tells it."""

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
        """Begins, or resumes where it was saved.

        Args:
            units: Units of the layer.
            size: Candidates of each unit.
            saved: What `arrays` returned.
        """
        self._top = TopK.empty(units, size) if saved is None else TopK(saved["values"], saved["places"])
        self._exact = np.full((units, size), np.nan, np.float32) if saved is None else saved["exact"]
        # Sum of squared errors, number of pairs, sum of squared errors where the fast pass saw zero.
        self._errors = np.zeros((3, units)) if saved is None else saved["errors"]
        # The largest error, but for those of candidates, of which both values are kept.
        self._largest = np.zeros(units) if saved is None else saved["largest"]
        self._by_place: tuple[NDArray[np.int64], NDArray[np.intp]] | None = None

    @property
    def places(self) -> NDArray[np.int64]:
        return self._top.places

    @property
    def fast(self) -> NDArray[np.float32]:
        return self._top.values

    def arrays(self) -> Arrays:
        """Returns all that is kept."""
        arrays: Arrays = {"values": self.fast, "places": self.places, "exact": self._exact}
        return arrays | {"errors": self._errors, "largest": self._largest}

    def offer(
        self, places: NDArray[np.int64], fast: NDArray[np.float32], exact: NDArray[np.float32] | None = None
    ) -> None:
        """Takes a batch: what the fast pass saw, float32 of shape (images, units), in the calibration the exact too."""
        row, unit, slot = self._top.offer(places, fast)
        self._exact[unit, slot] = np.nan if exact is None else exact[row, unit]
        if exact is not None:
            squares = np.square(fast.astype(np.float64) - exact)
            self._errors += np.stack(
                [squares.sum(axis=0), np.full(fast.shape[1], len(fast)), (squares * (fast == 0)).sum(axis=0)]
            )
            self._largest = np.maximum(self._largest, np.sqrt(squares.max(axis=0)))

    def first(self) -> NDArray[np.int64]:
        """Returns the place of each unit's highest candidate."""
        return np.take_along_axis(self.places, self._top.order()[:, :1], 1)[:, 0]

    def measured(self, places: NDArray[np.int64], maxima: NDArray[np.float32]) -> None:
        """Takes the exact activations on some images: float32 of shape (images, units)."""
        if self._by_place is None:  # Nothing is offered any more.
            flat = self.places.ravel()
            order = np.argsort(flat, kind="stable")
            self._by_place = flat[order], order
        ranked, order = self._by_place
        for place, values in zip(places, maxima, strict=True):
            first, last = np.searchsorted(ranked, (place, place + 1))
            unit, slot = np.divmod(order[first:last], self.places.shape[1])
            self._exact[unit, slot] = values[unit]
            # Any other unit's fast activation was no higher than that of its lowest candidate.
            missed = np.maximum(values - self._top.worst.astype(np.float64), 0)
            missed[unit] = 0
            self._largest = np.maximum(self._largest, missed)
            self._errors[2] += np.square(missed) * (self._top.worst == 0)

    def known(self) -> NDArray[np.int64]:
        """Returns places of candidates that were measured exactly; some of them several times."""
        return self.places[~np.isnan(self._exact)]

    @property
    def error(self) -> NDArray[np.float64]:
        """Root mean square of each unit's error: on the calibration or on the finalists, the larger."""
        squares = self._squares()
        pairs = (~np.isnan(self._exact)).sum(axis=1)
        top = squares.sum(axis=1) / np.maximum(pairs, 1)
        errors: NDArray[np.float64] = np.sqrt(np.maximum(top, self._errors[0] / np.maximum(self._errors[1], 1)))
        return errors

    @property
    def margin(self) -> NDArray[np.float64]:
        """How far below its exact activation an image may have been seen, by unit; more is seen as it is measured."""
        largest = np.maximum(self._largest, np.sqrt(self._squares().max(axis=1)))
        margins: NDArray[np.float64] = np.maximum(SIGMAS * self.error, WIDEST * largest)
        return margins

    def open(self, best: TopK) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Returns the candidates that must still be measured.

        Args:
            best: The activations that are known exactly.

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
        margin = self.margin[:, None]
        unmeasured = unknown & np.where(self._sure(self.fast), ~loses, self.fast + margin >= worst)
        # The first ones alone, as long as there are some: they raise what the others must reach.
        ahead = unmeasured & first
        unmeasured = np.where(ahead.any(axis=1, keepdims=True), ahead, unmeasured)

        lowest = self._top.worst[:, None]
        reaches_beyond = np.where(self._sure(lowest), lowest > worst, lowest + margin >= worst)
        return unmeasured, there.all(axis=1) & reaches_beyond[:, 0]

    def _sure(self, fast: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Says where nothing was ever missed: there the fast pass ranks as the exact one, equal values by place."""
        missed_at_zero = self._errors[2] + (self._squares() * (self.fast == 0)).sum(axis=1)
        sure: NDArray[np.bool_] = (self.margin == 0)[:, None] | ((fast == 0) & (missed_at_zero == 0)[:, None])
        return sure

    def _squares(self) -> NDArray[np.float64]:
        """Squared errors of the finalists, 0 where the exact activation is not known."""
        missed = self.fast.astype(np.float64) - self._exact
        return np.where(np.isnan(self._exact), 0.0, np.square(missed))
